import type { RuntimeContext } from "../context/runtime-context.ts";
import { type Called, ConduitError, cannot, ErrorCode, quoted, RpcError } from "../errors.ts";
import { UNCOUNTED_BYTES } from "../limits.ts";
import type { Validator } from "../rpc/validation.ts";
import { Flag } from "../wire/constants.ts";
import { EncodedValue } from "../wire/encoded-value.ts";
import { type FrameWriter, messageTooLarge } from "../wire/frame-writer.ts";
import { metadataOf } from "../wire/metadata.ts";
import type { FrameBytes } from "../wire/scattered-frame.ts";
import type { CloseReason } from "./close-reason.ts";
import type { Extension } from "./extension.ts";
import {
  type CallStreams,
  type CallsHost,
  mustAnswerCalls,
  type OutgoingCallOptions,
  OutgoingCalls,
  type OutgoingOptions,
} from "./outgoing-calls.ts";
import { markShared } from "./send/large-frame.ts";
import { ReportedSends } from "./send/reported-sends.ts";
import type { RequestOwner, SendQueue } from "./send/send-queue.ts";
import { SharedBytes } from "./send/shared-bytes.ts";
import type { HandledByPeer, UnhandledMessage, UnhandledMessages } from "./send/unhandled-messages.ts";

/** The connection that sends calls with streams. */
export interface StreamConnection {
  readonly settings: { readonly rpcTimeoutMs: number };
  readonly sender: Pick<ConnectionSender, "call">;
  extension<State>(extension: Extension<unknown, State>): State | undefined;
}

/** The sender's connection. */
export interface SenderHost extends CallsHost, StreamConnection {
  readonly context: RuntimeContext;
  readonly settings: {
    readonly maxMessageBytes: number;
    readonly rpcTimeoutMs: number;
    readonly sendQueueSize: number;
    readonly sendQueueBytes: number;
  };
  readonly sendQueue: SendQueue;
  readonly sender: ConnectionSender;
  readonly closeReason: CloseReason | null;
  /** Largest payload that the peer accepts. */
  readonly maxPeerPayloadBytes: number;
  /** Validators for the results of calls without their own schema. */
  resultsOf(method: string): Validator<unknown> | null;
  /** Updates the count of the connection's memory after a change. */
  countHeldBytes(): void;
  report(error: ConduitError): void;
  /** The peer rejected messages or calls without a reply. `count` is how many the report covers. */
  sendRefused(error: RpcError, count: number): void;
}

/** Sends the application's messages and calls, and frames encoded once for many peers. */
export class ConnectionSender {
  readonly #host: SenderHost;
  /** Created by the first call. */
  #calls: OutgoingCalls | null = null;
  /** Created by the first large broadcast. */
  #shared: SharedBytes | null = null;
  /** Created by the first message of a client whose server reports how many it has accepted. */
  #reportedSends: ReportedSends | null = null;
  unhandled: UnhandledMessages | null = null;
  /** Number of messages and calls that the peer has accepted, from its CLOSE. */
  #taken: number | null = null;
  /** Messages and calls that it has fully handled, from its CLOSE; null if unknown. */
  #handled: HandledByPeer | null = null;
  messagesSent = 0;
  /** Number of broadcasts and topic messages that were dropped for this peer. */
  dropped = 0;

  constructor(host: SenderHost) {
    this.#host = host;
  }

  /** Pending calls and requests; null before the first. */
  get calls(): OutgoingCalls | null {
    return this.#calls;
  }

  /** Bytes in the send queue whose memory is shared with other clients. */
  get sharedBytes(): number {
    // A client that missed a broadcast may hold different ones than the other clients.
    return this.dropped === 0 ? (this.#shared?.queued(this.#host.sendQueue.acceptedBytes) ?? 0) : 0;
  }

  /**
   * Sends a message.
   * @returns false if the send queue is filling up
   * @throws ConduitError CONNECTION_CLOSED, SEND_QUEUE_FULL, UNSERIALIZABLE, MESSAGE_TOO_LARGE
   */
  sendMessage(type: string, data: unknown, options?: OutgoingOptions): boolean {
    const host = this.#host;
    const { unhandled } = this;
    this.mustBeOpen();
    const value = unhandled === null || data instanceof EncodedValue ? data : host.writer.encodeData(type, data);
    host.writer.message(0, 0, type, value, 0, metadataOf(type, options?.meta, host.features.carriesMetadata));
    const mayGoOn = this.#sendWithoutReply(type, options?.isTaken === true);
    unhandled?.add({ isCall: false, name: type, value: value as EncodedValue, meta: options?.meta });
    return mayGoOn;
  }

  /** Sends a call without a reply. Returns false if the send queue is filling up. */
  callNoWait(method: string, params: unknown, options?: OutgoingOptions): boolean {
    const host = this.#host;
    this.mustBeOpen();
    mustAnswerCalls(host, method);
    const { unhandled } = this;
    const meta = metadataOf(method, options?.meta, host.features.carriesMetadata);
    const value =
      unhandled === null || params instanceof EncodedValue ? params : host.writer.encodeParams(method, params);
    host.writer.rpcRequest(0, 0, method, value, 0, null, meta);
    const mayGoOn = this.#sendWithoutReply(method, options?.isTaken === true);
    unhandled?.add({ isCall: true, name: method, value: value as EncodedValue, meta: options?.meta });
    return mayGoOn;
  }

  /** Resends a message of an earlier connection that its server hasn't handled. Its memory is already bounded. */
  sendAgain({ isCall, name, value, meta }: UnhandledMessage): void {
    const { writer, features, sendQueue } = this.#host;
    const known = metadataOf(name, meta, features.carriesMetadata);
    if (isCall) writer.rpcRequest(0, 0, name, value, 0, null, known);
    else writer.message(0, 0, name, value, 0, known);
    if (writer.payloadBytes > this.#host.maxPeerPayloadBytes)
      throw this.tooLargeForPeer(`'${name}'`, writer.payloadBytes);
    if (features.reportsRefusals) {
      writer.setFlag(Flag.REPORT_REFUSAL);
      this.#reportedSends ??= new ReportedSends();
      this.#reportedSends.add(name);
    }
    this.messagesSent += 1;
    sendQueue.push(writer, "message");
    this.unhandled?.add({ isCall, name, value, meta });
    this.#host.countHeldBytes();
  }

  /** Sends the writer's frame, which expects no reply. Requests a notification of its failure if the peer supports that. */
  #sendWithoutReply(name: string, isTaken: boolean): boolean {
    const host = this.#host;
    const isReported = host.features.reportsRefusals;
    if (isReported) host.writer.setFlag(Flag.REPORT_REFUSAL);
    this.sendBounded(name, host.writer, null, isTaken);
    if (isReported) {
      this.#reportedSends ??= new ReportedSends();
      this.#reportedSends.add(name);
    }
    return !host.sendQueue.isCongested;
  }

  /**
   * Calls a method of the peer. `validator` is from the call's own options. Rejects with RpcError, TIMEOUT, CANCELLED,
   * CONNECTION_CLOSED, SEND_QUEUE_FULL, PEER_UNSUPPORTED, …
   */
  call(
    method: string,
    params: unknown,
    options: OutgoingCallOptions | undefined,
    validator: Validator<unknown> | null,
    streams: CallStreams | null = null,
  ): Promise<unknown> {
    this.#calls ??= new OutgoingCalls(this.#host);
    return this.#calls.call(method, params, options, validator ?? this.#host.resultsOf(method), streams);
  }

  /** Sends a message and resolves with the handler's reply. Rejects like `call`. */
  request(
    type: string,
    data: unknown,
    options: OutgoingCallOptions | undefined,
    validator: Validator<unknown> | null,
    replyType: string | null = null,
  ): Promise<unknown> {
    this.#calls ??= new OutgoingCalls(this.#host);
    return this.#calls.request(type, data, options, validator, replyType);
  }

  /** Sends calls with streams. */
  streamConnection(): StreamConnection {
    return this.#host;
  }

  /** Resolves when the send queue has room. Rejects with CONNECTION_CLOSED if the connection ends first. */
  waitForRoom(): Promise<void> {
    return this.#host.sendQueue.waitForRoom();
  }

  /**
   * Sends a frame that was encoded once for many connections. Returns false if it doesn't fit.
   * @param isForAll whether all clients get the frame, so that its memory isn't charged to this connection
   */
  sendShared(frame: FrameBytes, isForAll: boolean): boolean {
    const { sendQueue } = this.#host;
    if (!sendQueue.hasRoomFor(frame)) return false;
    this.messagesSent += 1;
    const bytes = frame.end - frame.start;
    if (isForAll && bytes >= UNCOUNTED_BYTES) {
      this.#shared ??= new SharedBytes();
      this.#shared.add(bytes, sendQueue.acceptedBytes);
    }
    markShared(frame);
    sendQueue.push(frame, "message");
    if (sendQueue.hasWaiting) this.#host.countHeldBytes();
    return true;
  }

  /** Drops and reports a broadcast that is larger than the peer accepts. Returns whether it was. */
  dropOversized(type: string, payloadBytes: number): boolean {
    if (payloadBytes <= this.#host.maxPeerPayloadBytes) return false;
    this.missedBroadcast();
    this.#host.report(this.tooLargeForPeer(`'${type}'`, payloadBytes));
    return true;
  }

  /** Counts dropped broadcasts or topic messages. */
  missedBroadcast(count: number = 1): void {
    this.dropped += count;
    this.#host.countHeldBytes();
  }

  /**
   * Queues a message or request.
   * @param isTaken whether to queue it even if there is no room
   * @throws ConduitError SEND_QUEUE_FULL, MESSAGE_TOO_LARGE
   */
  sendBounded(called: Called, frame: FrameWriter, owner: RequestOwner | null = null, isTaken = false): void {
    const host = this.#host;
    if (frame.payloadBytes > host.maxPeerPayloadBytes) throw this.tooLargeForPeer(quoted(called), frame.payloadBytes);
    if (!isTaken && !host.sendQueue.hasRoomFor(frame)) throw this.#sendQueueFull(called);
    this.messagesSent += 1;
    host.sendQueue.push(frame, "message", owner);
    if (host.sendQueue.hasWaiting) host.countHeldBytes();
  }

  /** The writer for requests. Frames that will wait aren't compressed, so that `timeout_ms` can be set when they are sent. */
  get requestWriter(): FrameWriter {
    const { context, sendQueue, settings, writer } = this.#host;
    if (!writer.compresses || !sendQueue.delaysRequests) return writer;
    return context.writer(settings.maxMessageBytes, false);
  }

  peerTook(reportable: number, handled: HandledByPeer | null): void {
    this.#handled = handled;
    if (this.unhandled === null) this.reportNotTaken(reportable);
    else this.#taken = reportable;
  }

  /**
   * Removes and returns messages to resend to the next server: those that the peer hasn't accepted before it closed
   * or, if it reports that, hasn't handled.
   */
  takeNotTaken(): readonly UnhandledMessage[] {
    const { unhandled } = this;
    const taken = this.#taken;
    if (unhandled === null || taken === null) return [];
    this.#taken = null;
    const { messages, lost } = unhandled.rest(this.#handled ?? { handled: taken, above: [] });
    if (lost === 0) return messages;
    if (this.#handled !== null) {
      this.#reportGivenUp(lost);
      return messages;
    }
    this.reportNotTaken(taken);
    return [];
  }

  #reportGivenUp(count: number): void {
    const message =
      `The server stopped while it hadn't handled messages of send() and callNoWait(), and ${count} of them ` +
      "can't be sent again: they were more than resume.maxBytes";
    this.#host.sendRefused(new RpcError(ErrorCode.CONNECTION_CLOSED, message, { details: { count } }), count);
  }

  /**
   * Reports messages that the peer hasn't accepted.
   * @param reportable number that it has accepted; default: the number from its CLOSE
   */
  reportNotTaken(reportable: number | null = this.#taken): void {
    if (reportable === null) return;
    const rest = this.#reportedSends?.notTaken(reportable) ?? null;
    if (rest === null) return;
    this.#reportedSends = null;
    const host = this.#host;
    const { count, names } = rest;
    const kinds = [...new Set(names)].map((name) => `'${name}'`).join(", ");
    const why = host.closeReason?.message ?? "";
    const peer = host.role === "client" ? "server" : "client";
    const message = `The ${peer} closed the connection without handling the last ${count} of send() and callNoWait() (${kinds}): ${why}`;
    const method = names.at(-1);
    const error = new RpcError(ErrorCode.CONNECTION_CLOSED, message, { method, details: { count, names } });
    host.sendRefused(error, count);
  }

  /** @throws ConduitError CONNECTION_CLOSED */
  mustBeOpen(): void {
    const { closeReason, isOpen } = this.#host;
    if (isOpen) return;
    const why = closeReason?.message ?? "the connection is not logged in";
    throw new ConduitError(ErrorCode.CONNECTION_CLOSED, `Cannot send: ${why}`, { details: { started: false } });
  }

  /** @throws ConduitError MESSAGE_TOO_LARGE if the payload exceeds the peer's limit */
  mustFitPeer(what: string, payloadBytes: number): void {
    if (payloadBytes > this.#host.maxPeerPayloadBytes) throw this.tooLargeForPeer(what, payloadBytes);
  }

  tooLargeForPeer(what: string, payloadBytes: number): ConduitError {
    const { maxPeerPayloadBytes, role } = this.#host;
    return messageTooLarge(what, payloadBytes, maxPeerPayloadBytes, role === "server" ? "client" : "server");
  }

  #sendQueueFull(called: Called): ConduitError {
    const { sendQueue, settings } = this.#host;
    const message =
      `${cannot("send", called)}: the send queue holds ${sendQueue.queuedFrames} messages, ${sendQueue.bufferedBytes} bytes ` +
      `(sendQueueSize ${settings.sendQueueSize}, sendQueueBytes ${settings.sendQueueBytes}); wait for drained()`;
    return new ConduitError(ErrorCode.SEND_QUEUE_FULL, message, { details: { started: false } });
  }
}
