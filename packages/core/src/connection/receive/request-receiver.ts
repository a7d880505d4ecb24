/**
 * Receives the peer's messages, calls and discovery requests. Credit, rate and ids are checked when a frame arrives.
 * When the scheduler starts it, it is decoded and dispatched.
 */

import type { RuntimeContext } from "../../context/runtime-context.ts";
import { asConduitError, ConduitError, ErrorCode, quoted, RpcError } from "../../errors.ts";
import { HEADER_BYTES, MAX_RATE_VIOLATIONS } from "../../limits.ts";
import { calledOf, IncomingRequest, type ReplySender, type RequestSource } from "../../rpc/incoming-request.ts";
import type { RequestStreams } from "../../rpc/request-streams.ts";
import { Flag, FrameType } from "../../wire/constants.ts";
import type { FrameDecoder } from "../../wire/frame-decoder.ts";
import type { PayloadReader } from "../../wire/payload-reader.ts";
import type { StreamKeys } from "../../wire/stream-keys.ts";
import type { HandledMessages } from "./handled-messages.ts";
import { type RequestFrame, wireBytes } from "./queued-frame.ts";
import { type RateGate, type Rates, rateGateOf } from "./rate-gate.ts";
import type { ReadControl } from "./read-control.ts";
import { ReceiveCredit } from "./receive-credit.ts";
import { RequestScheduler, type SchedulerHost } from "./request-scheduler.ts";

type RequestSettings = SchedulerHost["settings"] & { readonly rateLimit?: Rates | null | undefined };

/** Answers requests, including those that haven't been decoded. */
export interface RequestReplies<Peer> extends ReplySender<Peer> {
  /** Answers RPC_LIST. @throws ConduitError MESSAGE_TOO_LARGE */
  sendDiscovery(idHi: number, idLo: number): void;
  sendErrorOfFrame(idHi: number, idLo: number, error: RpcError): void;
  /**
   * Notifies the sender of a message or call without a reply that it failed before it was decoded.
   * @param name the method or message type, as far as it is known
   */
  sendRefusalOfFrame(error: RpcError, name: string): void;
}

/** The receiver's connection. */
export interface RequestHost<Peer> extends RequestSource<Peer> {
  readonly context: RuntimeContext;
  readonly isReading: boolean;
  readonly reading: ReadControl;
  readonly replies: RequestReplies<Peer>;
  readonly sendQueue: {
    readonly hasUnreadReplies: boolean;
    /** Whether replies have reached their limit. */
    readonly isOverwhelmed: boolean;
  };
  readonly settings: RequestSettings;
  readonly reader: PayloadReader;
  readonly isOver: boolean;
  /** Whether frames are still received but no longer handled. */
  readonly isClosing: boolean;
  readonly acceptsCalls: boolean;
  readonly features: {
    /** Whether messages and requests need credit. */
    readonly hasCredit: boolean;
    readonly usesDeadlines: boolean;
    readonly carriesMetadata: boolean;
    readonly reportsRefusals: boolean;
  };
  /** Null if the extension `stream` wasn't agreed on. */
  readonly streamLimits: object | null;
  messagesReceived: number;
  rateLimited: number;
  /** Passes a decoded request to its handler. */
  dispatch(request: IncomingRequest<Peer>): void;
  /** Opens the streams of a request; null if the connection has no streams. @throws RpcError if there are too many */
  openStreams(request: IncomingRequest<Peer>, keys: StreamKeys): RequestStreams | null;
  returnCredit(frames: number, bytes: number): void;
  /** Whether a message is the reply to a request that this side sent without an id. */
  takeUncorrelatedReply(frame: FrameDecoder): boolean;
  /** Resumes decoding. */
  pump(): void;
  countError(): void;
  report(error: ConduitError): void;
  fail(error: ConduitError): void;
}

export class RequestReceiver<Peer> implements SchedulerHost {
  readonly scheduler: RequestScheduler<Peer>;
  readonly #host: RequestHost<Peer>;
  readonly #rateGate: RateGate | null;
  /** Created by the first frame that needs credit. */
  #credit: ReceiveCredit | null = null;
  #reportableTaken = 0;
  /** Tracks messages and calls without a reply until they are handled; null if nothing needs it. */
  handledMessages: HandledMessages | null = null;
  /** The request whose handler is being started. */
  #dispatched: IncomingRequest<Peer> | null = null;
  /** Number of handlers being started. They nest, because a waiting request may be started within another one. */
  #dispatchDepth = 0;

  constructor(host: RequestHost<Peer>) {
    this.#host = host;
    this.#rateGate = rateGateOf(host.settings.rateLimit);
    this.scheduler = new RequestScheduler<Peer>(this);
  }

  get context(): RuntimeContext {
    return this.#host.context;
  }

  get settings(): RequestSettings {
    return this.#host.settings;
  }

  get isOver(): boolean {
    return this.#host.isOver;
  }

  get hasUnreadReplies(): boolean {
    return this.#host.sendQueue.hasUnreadReplies;
  }

  /** Ids of started, unanswered requests; null if unknown, because several are on the call stack. */
  get startedIds(): readonly (number | bigint)[] | null {
    if (this.#dispatchDepth > 1) return null;
    const { runningRequests } = this.scheduler;
    if (this.#dispatched?.wantsReply === true) runningRequests.push(this.#dispatched);
    return runningRequests.map(({ idHi, idLo }) => idOf(idHi, idLo));
  }

  /** Number of started or rejected messages and calls without a reply whose sender requests notification of failures. */
  get reportableTaken(): number {
    return this.#reportableTaken;
  }

  /** Drops the waiting requests. Returns their number. */
  dropQueued(): number {
    const dropped = this.scheduler.clear();
    this.handledMessages?.dropped();
    this.#reportableTaken -= dropped.filter((frame) => this.#reportsRefusal(frame)).length;
    return dropped.length;
  }

  /** Whether a frame of this type and length is a request, so that it needs credit. */
  isRequest(type: number, length: number): boolean {
    if (type === FrameType.RPC_REQUEST) return this.#host.acceptsCalls;
    // RPC_LIST with a payload is a reply.
    return type === FrameType.MESSAGE || (type === FrameType.RPC_LIST && length === HEADER_BYTES);
  }

  /** The first chunk of a frame has arrived. Throws like `charge`. */
  frameBegun(type: number, length: number): void {
    if (this.isRequest(type, length)) this.charge(length);
  }

  /** The peer has aborted a chunked frame. */
  frameAborted(type: number, length: number): void {
    if (this.isRequest(type, length)) this.requestTaken(length);
  }

  /** @throws ConduitError FLOW_CONTROL_ERROR if the peer has no credit for a request of this length */
  charge(length: number): void {
    if (this.#credit === null) {
      if (!this.#host.features.hasCredit) return;
      const { receiveQueueSize, receiveQueueBytes } = this.settings;
      this.#credit = new ReceiveCredit(this, receiveQueueSize, receiveQueueBytes);
    }
    if (this.#credit.charge(length)) return;
    throw new ConduitError(ErrorCode.FLOW_CONTROL_ERROR, "The peer sent a message or request without credit for it");
  }

  returnCredit(frames: number, bytes: number): void {
    this.#host.returnCredit(frames, bytes);
  }

  /** Returns credit that waited until replies were sent. */
  returnDueCredit(): void {
    this.#credit?.returnDue();
  }

  /** Handles a request that was charged. */
  receive(frame: FrameDecoder): void {
    if (this.#host.isClosing) {
      this.requestTaken(wireBytes(frame));
    } else if (this.#admit(frame)) {
      this.scheduler.submit(frame);
    } else {
      this.requestTaken(wireBytes(frame));
      if (this.#reportsRefusal(frame)) this.handledMessages?.lastRefused();
    }
  }

  /** Counts a request and checks its rate and id. Returns whether it may be handled. */
  #admit(frame: FrameDecoder): boolean {
    const host = this.#host;
    const { type } = frame;
    if (type !== FrameType.RPC_LIST) host.messagesReceived += 1;
    if (this.#reportsRefusal(frame)) {
      this.#reportableTaken += 1;
      this.handledMessages?.arrived();
    }
    if (this.#rateGate !== null && !this.#chargeRate(this.#rateGate, frame, type !== FrameType.MESSAGE)) return false;
    if (this.scheduler.isIdInUse(frame.correlationHi, frame.correlationLo) && this.#rejectDuplicateId(frame))
      return false;
    return !host.takeUncorrelatedReply(frame);
  }

  /** The peer had no stream between these times, and now sends the data that waited. */
  catchUp(sinceMs: number, nowMs: number): void {
    this.#rateGate?.catchUp(sinceMs, nowMs);
  }

  /** Charges a frame with stream items of this length to the rate. Pauses reading if it is over the rate. */
  chargeItems(length: number): void {
    if (this.#rateGate === null) return;
    const pauseMs = this.#rateGate.chargeItems(length, this.#host.context.runtime.now());
    if (pauseMs > 0) this.#host.reading.throttle(pauseMs);
  }

  /**
   * Charges the frame to the rate. If it is over the rate, pauses reading, and rejects the first such frame of each
   * window. Returns whether the frame may be handled.
   */
  #chargeRate(gate: RateGate, frame: FrameDecoder, isCall: boolean): boolean {
    const host = this.#host;
    const verdict = gate.charge(frame, host.context.runtime.now());
    if (verdict === "pass") return true;
    host.rateLimited += 1;
    if (verdict === "end") {
      const message = `The peer exceeded its rate limit for more than ${MAX_RATE_VIOLATIONS} seconds in a row`;
      host.fail(new ConduitError(ErrorCode.RATE_LIMITED, message));
      return false;
    }
    host.reading.throttle(gate.pauseMs);
    const details = { retry_after: gate.retryAfter };
    if (verdict === "refuse") {
      this.#refuse(frame, new RpcError(ErrorCode.RATE_LIMITED, "Rate limit exceeded", { details }));
    }
    const kind = isCall ? "call" : "message";
    host.report(new ConduitError(ErrorCode.RATE_LIMITED, `A ${kind} exceeded the rate limit`, { details }));
    return verdict === "take";
  }

  /**
   * Ends the connection of a peer that uses an id twice, because a reply to it would be ambiguous. A netconduit peer may.
   * Returns whether it ended.
   */
  #rejectDuplicateId({ correlationHi, correlationLo }: FrameDecoder): boolean {
    if (this.#host.hasNetconduitPeer) return false;
    const id = idOf(correlationHi, correlationLo);
    const message = `Correlation id ${id} is in use by another request that has not been answered`;
    this.#host.fail(new ConduitError(ErrorCode.DUPLICATE_ID, message));
    return true;
  }

  startRequest(frame: RequestFrame, queuedAtMs: number | null): void {
    const host = this.#host;
    const { reader } = host;
    const { correlationHi: idHi, correlationLo: idLo, type } = frame;
    const isCall = type === FrameType.RPC_REQUEST;
    let timeoutMs = 0;
    try {
      if (type === FrameType.RPC_LIST) {
        host.replies.sendDiscovery(idHi, idLo);
        return;
      }
      if (isCall) reader.readRpcRequest(frame, host.hasNetconduitPeer);
      else reader.readMessage(frame, host.hasNetconduitPeer);
      timeoutMs = reader.timeoutMs > 0 ? this.#agreedTimeout(reader.timeoutMs) : 0;
      if (isCall && reader.streams !== null) this.#mustHaveStreams(idHi, idLo);
      if (reader.meta !== null) this.#mustCarryMetadata();
    } catch (error) {
      if (type !== FrameType.RPC_LIST) this.#chargeInflated(frame);
      if (this.#reportsRefusal(frame)) this.handledMessages?.nextRefused();
      this.refusePayload(frame, asConduitError(error), reader.name);
      return;
    }
    this.#chargeInflated(frame);
    const { streams, meta } = reader;
    const isReported = this.#reportsRefusal(frame);
    const deadlineMs = timeoutMs > 0 ? (queuedAtMs ?? host.context.turnMs()) + timeoutMs : 0;
    const request = new IncomingRequest<Peer>(host, isCall, reader, frame, deadlineMs, isReported);
    if (isReported) this.handledMessages?.started(request);
    if (meta !== null) request.meta = meta;
    if (queuedAtMs !== null && request.isExpired) {
      this.handledMessages?.settled(request);
      const message = `The deadline of ${quoted(calledOf(request))} passed before it started`;
      const error = new RpcError(ErrorCode.TIMEOUT, message, { details: { started: false } });
      if (request.wantsReply) host.replies.sendError(request, error);
      return;
    }
    if (isCall && streams !== null && !this.#openStreams(request, streams)) return;
    // The current async context may belong to an earlier handler.
    host.context.runtime.inOwnContext(dispatchIn<Peer>, this, request);
  }

  /** Starts the handler of a request. */
  dispatch(request: IncomingRequest<Peer>): void {
    const outer = this.#dispatched;
    this.#dispatched = request;
    this.#dispatchDepth += 1;
    try {
      this.#host.dispatch(request);
      if (this.handledMessages !== null && !this.scheduler.isRunning(request)) this.handledMessages.settled(request);
    } finally {
      this.#dispatchDepth -= 1;
      this.#dispatched = outer;
    }
  }

  /**
   * Returns the deadline in a request.
   * @throws ConduitError INVALID_PAYLOAD_SHAPE if the extension `deadline` wasn't agreed on
   */
  #agreedTimeout(timeoutMs: number): number {
    if (this.#host.features.usesDeadlines) return timeoutMs;
    const message = "timeout_ms belongs to the extension 'deadline', which was not agreed on at login";
    throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, message);
  }

  /** @throws ConduitError INVALID_PAYLOAD_SHAPE if the extension `meta` wasn't agreed on */
  #mustCarryMetadata(): void {
    if (this.#host.features.carriesMetadata) return;
    const message = "meta belongs to the extension 'meta', which was not agreed on at login";
    throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, message);
  }

  /** @throws ConduitError INVALID_PAYLOAD_SHAPE if the extension `stream` wasn't agreed on, or nothing could end the streams */
  #mustHaveStreams(idHi: number, idLo: number): void {
    const hasId = idHi !== 0 || idLo !== 0;
    if (hasId && this.#host.streamLimits !== null) return;
    const message = hasId
      ? "output, input and progress belong to the extension 'stream', which was not agreed on at login"
      : "A call without a correlation id has no streams";
    throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, message);
  }

  /** Returns false if the request was answered with an error. */
  #openStreams(request: IncomingRequest<Peer>, keys: StreamKeys): boolean {
    if (this.#host.streamLimits === null) return true;
    try {
      request.streams = this.#host.openStreams(request, keys);
      return true;
    } catch (error) {
      const { code, message } = asConduitError(error);
      this.#host.replies.sendError(request, new RpcError(code, message));
      return false;
    }
  }

  /** Charges the rate limit for a compressed frame that was decoded, or rejected after its payload was inflated. */
  #chargeInflated({ flags, payloadStart, payloadEnd }: RequestFrame): void {
    if ((flags & Flag.COMPRESSED) === 0) return;
    this.#rateGate?.chargeInflated(Math.max(0, this.#host.reader.payloadBytes - (payloadEnd - payloadStart)));
  }

  wantsReply({ type, correlationHi, correlationLo }: RequestFrame): boolean {
    const isAnswered = type === FrameType.RPC_REQUEST || (type === FrameType.MESSAGE && this.#host.correlatesReplies);
    return isAnswered && (correlationHi !== 0 || correlationLo !== 0);
  }

  /** Rejects a frame that the scheduler doesn't accept, or that its sender has cancelled. */
  refuseRequest(frame: RequestFrame, error: RpcError): void {
    this.#refuse(frame, error);
    if (this.#reportsRefusal(frame)) this.handledMessages?.lastRefused();
  }

  #refuse(frame: RequestFrame, error: RpcError, name = ""): void {
    if (this.wantsReply(frame)) this.#host.replies.sendErrorOfFrame(frame.correlationHi, frame.correlationLo, error);
    else if (this.#reportsRefusal(frame)) this.#host.replies.sendRefusalOfFrame(error, name);
  }

  /**
   * Answers and reports a complete frame with an invalid payload. The connection continues.
   * @param name the method or message type, if it could be decoded
   */
  refusePayload(frame: RequestFrame, error: ConduitError, name = ""): void {
    this.#host.countError();
    this.#refuse(frame, new RpcError(error.code, error.message), name);
    this.#host.report(error);
  }

  /** Whether the sender of a message or call without a reply requests a notification of its failure. */
  #reportsRefusal(frame: RequestFrame): boolean {
    return this.#host.features.reportsRefusals && (frame.flags & Flag.REPORT_REFUSAL) !== 0;
  }

  requestTaken(bytes: number): void {
    this.#credit?.release(bytes);
  }

  receiveQueueFull(): void {
    if (!this.#host.features.hasCredit) this.#host.reading.stopUnlessOwed();
  }

  receiveQueueHasRoom(): void {
    const { isReading, sendQueue } = this.#host;
    if (isReading || sendQueue.isOverwhelmed) return;
    this.#host.reading.start();
    this.#host.pump();
  }
}

/** An id as it is on the wire. */
function idOf(hi: number, lo: number): number | bigint {
  return hi <= 0x1f_ffff ? hi * 0x1_0000_0000 + lo : (BigInt(hi) << 32n) | BigInt(lo);
}

function dispatchIn<Peer>(receiver: RequestReceiver<Peer>, request: IncomingRequest<Peer>): void {
  receiver.dispatch(request);
}
