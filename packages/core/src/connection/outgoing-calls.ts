/**
 * This side's calls and requests to the peer, from sending to the reply.
 *
 * They are kept in a slot table with generations: the low half of a correlation id is the slot, the high half the
 * slot's generation. No id is used twice on a connection, so a late or forged reply matches no call, and the peer may
 * answer an abandoned call whenever its handler finishes. A lookup takes two array reads.
 */

import type { PeerInfo } from "../auth/peer-info.ts";
import { formatAddress } from "../bytes/address.ts";
import type { Address } from "../bytes/byte-stream.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import {
  asConduitError,
  type Called,
  ConduitError,
  cancelledError,
  cannot,
  ErrorCode,
  quoted,
  RpcError,
} from "../errors.ts";
import { unwrapNetconduitResult } from "../netconduit/result.ts";
import { isSchema } from "../rpc/schema.ts";
import type { Validator } from "../rpc/validation.ts";
import { describeValue } from "../text/describe-value.ts";
import { Fifo } from "../util/fifo.ts";
import { TimerEntry } from "../util/timer-wheel.ts";
import { calledAs, ReservedMethod } from "../wire/called-as.ts";
import type { FrameDecoder } from "../wire/frame-decoder.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import { type Metadata, metadataOf } from "../wire/metadata.ts";
import type { PayloadReader } from "../wire/payload-reader.ts";
import type { StreamKeys } from "../wire/stream-keys.ts";
import type { Features } from "./features.ts";
import type { ReadControl } from "./receive/read-control.ts";
import { KEEPS_PLACE } from "./send/large-frame.ts";
import type { UnsentRequest } from "./send/send-backlog.ts";
import type { RequestOwner, SendQueue } from "./send/send-queue.ts";

const MAX_GENERATION: number = KEEPS_PLACE - 1;

/** Options of one message. */
export interface OutgoingOptions {
  readonly meta?: Metadata | undefined;
  /** Whether this side has already accepted it, for example as a queued or repeated message, so that the send queue must not reject it. */
  readonly isTaken?: boolean | undefined;
}

/** Options of one call or request. */
export interface OutgoingCallOptions extends OutgoingOptions {
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /**
   * Set for a message with `ack`, which keeps its place. Called each time that `timeoutMs` has passed. The peer isn't told that
   * time. It pauses while the connection waits for a new stream, and restarts with it.
   */
  readonly overdue?: Overdue | undefined;
}

/**
 * Decides about a call that has no answer in time.
 * @param isSent whether it has left the send queue
 * @returns how many milliseconds, beside its timeout, it waits again in its place; null if it is abandoned
 */
export type Overdue = (isSent: boolean) => number | null;

/** A call with streams, for the extension that carries them. */
export interface CallHandle {
  readonly idHi: number;
  readonly idLo: number;
  /** Abandons the call: it rejects with this error, unless it has settled. */
  abandon(error: Error): void;
}

/** A call's streams. */
export interface CallStreams {
  readonly keys: StreamKeys;
  /** The call got its id and is about to be sent. */
  opened(call: CallHandle): void;
  /**
   * The caller has abandoned the call.
   * @param isSent whether the call was sent, so that the peer will answer
   */
  abandoned(isSent: boolean, error: Error): void;
  /** The connection has ended. */
  lost(error: Error): void;
  /** The peer has answered. */
  answered(): void;
}

/** The connection that calls are sent on. */
export interface CallsHost {
  readonly context: RuntimeContext;
  readonly writer: FrameWriter;
  readonly reader: PayloadReader;
  readonly role: "server" | "client";
  readonly settings: { readonly rpcTimeoutMs: number };
  readonly stream: { readonly remote: Address };
  readonly info: PeerInfo | null;
  readonly isOpen: boolean;
  /** Null if the connection can't outlive its stream. */
  readonly resumption: { readonly isSuspended: boolean } | null;
  readonly features: Features;
  /**
   * The caller no longer waits: withdraws its request, or cancels it if it has been sent.
   * @returns whether it had been sent
   */
  callAbandoned(call: OutgoingCall): boolean;
  readonly sendQueue: Pick<SendQueue, "withdraw" | "keeps">;
  readonly isReading: boolean;
  readonly reading: Pick<ReadControl, "startForReply">;
  readonly answersCalls: boolean;
  countError(): void;
  readonly sender: {
    /** Writer of requests. */
    readonly requestWriter: FrameWriter;
    /** @throws ConduitError CONNECTION_CLOSED */
    mustBeOpen(): void;
    /**
     * Queues a message or request.
     * @param isTaken whether to queue it even if there is no room
     * @throws ConduitError SEND_QUEUE_FULL, MESSAGE_TOO_LARGE
     */
    sendBounded(called: Called, frame: FrameWriter, owner: RequestOwner, isTaken: boolean): void;
  };
}

/** A pending call. As a timer, it fires at the call's deadline. */
export class OutgoingCall extends TimerEntry implements RequestOwner {
  /** The method or message type, for error messages. */
  readonly called: Called;
  readonly timeoutMs: number;
  readonly validator: Validator<unknown> | null;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  /** Halves of the correlation id: generation, perhaps with `KEEPS_PLACE`, and slot. */
  idHi = 0;
  idLo = 0;
  /** False once it is settled or removed. */
  isPending = false;
  unsent: UnsentRequest | null = null;
  /** Null if the call has none. */
  streams: CallStreams | null = null;
  signal: AbortSignal | null = null;
  onAbort: (() => void) | null = null;
  /** Null if it is abandoned when its time is over. */
  overdue: Overdue | null = null;
  wireTimeoutMs = 0;
  readonly #calls: OutgoingCalls;

  constructor(
    calls: OutgoingCalls,
    called: Called,
    timeoutMs: number,
    validator: Validator<unknown> | null,
    resolve: (value: unknown) => void,
    reject: (error: Error) => void,
  ) {
    super();
    this.#calls = calls;
    this.called = called;
    this.timeoutMs = timeoutMs;
    this.validator = validator;
    this.resolve = resolve;
    this.reject = reject;
  }

  override onTimer(): void {
    this.#calls.timedOut(this);
  }

  abandon(error: Error): void {
    this.#calls.abandon(this, error);
  }

  /** Removes the listener from the signal. */
  unlisten(): void {
    if (this.onAbort !== null) this.signal?.removeEventListener("abort", this.onAbort);
    this.signal = null;
    this.onAbort = null;
  }
}

export class OutgoingCalls {
  readonly #host: CallsHost;
  readonly #maxGeneration: number;
  readonly #calls: (OutgoingCall | null)[] = [];
  readonly #generations: number[] = [];
  readonly #free: number[] = [];
  #size = 0;
  /** Requests to a netconduit server, by reply type, oldest first. Its replies have no id. */
  readonly #uncorrelated: Map<string, Fifo<OutgoingCall>> = new Map();
  /** Abandoned calls with streams, by id. The peer may send items until it has answered. */
  #abandonedStreams: Map<number, CallStreams> | null = null;

  /** @param maxGeneration default 2^20 - 1, so that an id fits exactly in a number. Set it in tests only. */
  constructor(host: CallsHost, maxGeneration: number = MAX_GENERATION) {
    this.#host = host;
    this.#maxGeneration = maxGeneration;
  }

  /** The peer's description, for error messages. */
  get #peer(): string {
    const { role, stream } = this.#host;
    return `the ${role === "client" ? "server" : "client"} ${formatAddress(stream.remote)}`;
  }

  /** Handles a call's deadline. */
  timedOut(call: OutgoingCall): void {
    if (call.overdue !== null) {
      const { context, resumption, sendQueue } = this.#host;
      if (resumption?.isSuspended === true) return;
      const longerMs = call.overdue(!sendQueue.keeps(call));
      if (longerMs !== null) {
        context.wheel.schedule(call, call.timeoutMs + longerMs);
        return;
      }
    }
    const timedOut = (why: string, details?: Readonly<Record<string, unknown>>): ConduitError => {
      const message = `${quoted(call.called)} timed out after ${call.timeoutMs} ms: ${why}`;
      return new ConduitError(ErrorCode.TIMEOUT, message, { details });
    };
    const unsent = "it could not be sent, because the send queue was full";
    this.#abandon(call, (isSent) =>
      isSent ? timedOut(`${this.#peer} has not replied`) : timedOut(unsent, { started: false }),
    );
  }

  /** The connection continues over a new stream. */
  streamIsBack(): void {
    const { wheel } = this.#host.context;
    for (const call of this.#calls) {
      if (call === null || call.overdue === null || call.timeoutMs === 0) continue;
      if (call.isScheduled) wheel.cancel(call);
      wheel.schedule(call, call.timeoutMs);
    }
  }

  /** Number of pending calls. */
  get size(): number {
    return this.#size;
  }

  /** Sends RPC_REQUEST. Rejects if it can't be sent, and with RpcError, TIMEOUT, CANCELLED or CONNECTION_CLOSED. */
  call(
    method: string,
    params: unknown,
    options: OutgoingCallOptions | undefined,
    validator: Validator<unknown> | null,
    streams: CallStreams | null = null,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const host = this.#host;
      host.sender.mustBeOpen();
      const called = calledAs(method, params);
      mustAnswerCalls(host, called);
      if (method === ReservedMethod.ONCE) mustKnowKeys(host, called);
      const meta = metadataOf(called, options?.meta, host.features.carriesMetadata);
      const call = this.#begin(called, options, validator, resolve, reject);
      if (call === null) return;
      if (streams !== null) {
        call.streams = streams;
        streams.opened(call);
      }
      try {
        const writer = host.sender.requestWriter;
        writer.rpcRequest(call.idHi, call.idLo, method, params, call.wireTimeoutMs, streams?.keys ?? null, meta);
        host.sender.sendBounded(called, writer, call, options?.isTaken === true);
      } catch (error) {
        this.#remove(call);
        streams?.abandoned(false, asConduitError(error));
        throw error;
      }
    });
  }

  /**
   * Sends MESSAGE and waits for its reply. Rejects like `call`.
   * @param replyType the message type of a netconduit peer's reply, if it isn't `<type>_response`
   */
  request(
    type: string,
    data: unknown,
    options: OutgoingCallOptions | undefined,
    validator: Validator<unknown> | null,
    replyType: string | null = null,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const host = this.#host;
      host.sender.mustBeOpen();
      if (!host.features.correlatesReplies && host.role === "server" && replyType === null) {
        const message = `Cannot request '${type}': the client doesn't answer messages (it didn't offer the extension 'reply')`;
        throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, message);
      }
      const meta = metadataOf(type, options?.meta, host.features.carriesMetadata);
      const call = this.#begin(type, options, validator, resolve, reject);
      if (call === null) return;
      try {
        const writer = host.sender.requestWriter;
        if (host.features.correlatesReplies) {
          writer.message(call.idHi, call.idLo, type, data, call.wireTimeoutMs, meta);
        } else {
          call.wireTimeoutMs = 0;
          writer.message(0, 0, type, data);
        }
        host.sender.sendBounded(type, writer, call, options?.isTaken === true);
      } catch (error) {
        this.#remove(call);
        throw error;
      }
      if (!host.features.correlatesReplies) this.#awaitUncorrelated(replyType ?? `${type}_response`, call);
    });
  }

  /** Handles RPC_RESPONSE. Ignores a reply that matches no pending call. */
  response(frame: FrameDecoder): void {
    const call = this.#answered(frame);
    if (call === null) return;
    const { reader } = this.#host;
    try {
      reader.readRpcResponse(frame);
    } catch (error) {
      this.#host.countError();
      call.reject(asConduitError(error));
      return;
    }
    this.#settle(call, reader.value);
  }

  /** Handles RPC_ERROR. */
  errorResponse(frame: FrameDecoder): void {
    const call = this.#answered(frame);
    if (call === null) return;
    const { reader } = this.#host;
    try {
      reader.readRpcError(frame);
    } catch (error) {
      this.#host.countError();
      call.reject(asConduitError(error));
      return;
    }
    call.reject(new RpcError(reader.code, reader.message, { details: reader.details, method: String(call.called) }));
  }

  /** Whether a reply without an id may arrive. */
  get awaitsUncorrelated(): boolean {
    return this.#uncorrelated.size > 0;
  }

  /** Handles a message that may be the reply to a request without an id. Returns whether it was. */
  uncorrelatedReply(type: string, value: unknown): boolean {
    if (this.#uncorrelated.size === 0) return false;
    const waiting = this.#uncorrelated.get(type);
    if (waiting === undefined) return false;
    let call = waiting.shift();
    while (call !== undefined && !call.isPending) call = waiting.shift();
    if (waiting.length === 0) this.#uncorrelated.delete(type);
    if (call === undefined) return false;
    this.#remove(call);
    this.#settle(call, value);
    return true;
  }

  /** Abandons the call because of its deadline or signal. */
  abandon(call: OutgoingCall, error: Error): void {
    this.#abandon(call, () => error);
  }

  #abandon(call: OutgoingCall, errorOf: (isSent: boolean) => Error): void {
    if (!call.isPending) return;
    this.#remove(call);
    const isSent = this.#host.callAbandoned(call);
    const error = errorOf(isSent);
    if (call.streams !== null) {
      if (isSent) {
        this.#abandonedStreams ??= new Map();
        this.#abandonedStreams.set(idOf(call), call.streams);
      }
      call.streams.abandoned(isSent, error);
    }
    call.reject(error);
  }

  /**
   * Rejects all pending calls, because the connection has ended. The error's `details.started` is whether the peer
   * has started the call; absent if unknown.
   * @param started ids of the calls that the peer has started; null if unknown
   */
  rejectAll(message: string, cause: ConduitError, started: ReadonlySet<unknown> | null): void {
    this.#uncorrelated.clear();
    for (const call of [...this.#calls]) {
      if (call === null) continue;
      this.#remove(call);
      const isUnsent = this.#host.sendQueue.withdraw(call);
      const details = isUnsent ? { started: false } : started && { started: started.has(idOf(call)) };
      const text = `${quoted(call.called)} got no reply: ${message}`;
      const error = new ConduitError(ErrorCode.CONNECTION_CLOSED, text, { cause, details: details ?? undefined });
      call.streams?.lost(error);
      call.reject(error);
    }
  }

  /**
   * Assigns an id to a call and starts its deadline. Returns null if its signal had already fired, in which case the
   * call is rejected.
   */
  #begin(
    called: Called,
    options: OutgoingCallOptions | undefined,
    validator: Validator<unknown> | null,
    resolve: (value: unknown) => void,
    reject: (error: Error) => void,
  ): OutgoingCall | null {
    checkResult(called, options);
    const timeoutMs = options?.timeoutMs ?? this.#host.settings.rpcTimeoutMs;
    checkTimeout(called, timeoutMs);
    const call = new OutgoingCall(this, called, timeoutMs, validator, resolve, reject);
    call.overdue = options?.overdue ?? null;
    if (this.#host.features.usesDeadlines && call.overdue === null) call.wireTimeoutMs = timeoutMs;
    const signal = options?.signal;
    if (signal !== undefined) {
      checkSignal(called, signal);
      if (signal.aborted) {
        reject(cancelledError(called, signal.reason));
        return null;
      }
      call.signal = signal;
      call.onAbort = () => this.abandon(call, cancelledError(called, signal.reason, this.#peer));
      signal.addEventListener("abort", call.onAbort, { once: true });
    }
    this.#add(call);
    if (!this.#host.isReading) this.#host.reading.startForReply();
    return call;
  }

  #add(call: OutgoingCall): void {
    const free = this.#free.pop();
    const slot = free === undefined ? this.#calls.length : free;
    const generation = free === undefined ? 1 : (this.#generations[slot] as number) + 1;
    this.#calls[slot] = call;
    this.#generations[slot] = generation;
    call.idHi = call.overdue === null ? generation : generation | KEEPS_PLACE;
    call.idLo = slot;
    call.isPending = true;
    this.#size += 1;
    if (call.timeoutMs > 0) this.#host.context.wheel.schedule(call, call.timeoutMs);
  }

  /** Removes and returns the call that a reply belongs to, or null. */
  #answered({ correlationHi, correlationLo }: FrameDecoder): OutgoingCall | null {
    const call = this.#take(correlationHi, correlationLo);
    if (call !== null) call.streams?.answered();
    else if (this.#abandonedStreams !== null) {
      const id = idOf({ idHi: correlationHi, idLo: correlationLo });
      this.#abandonedStreams.get(id)?.answered();
      this.#abandonedStreams.delete(id);
    }
    return call;
  }

  /** Removes and returns the call with this id, or null. */
  #take(idHi: number, idLo: number): OutgoingCall | null {
    const call = this.#calls[idLo];
    if (call === undefined || call === null || call.idHi !== idHi) return null;
    this.#remove(call);
    return call;
  }

  #remove(call: OutgoingCall): void {
    // A getter in its params may have ended it, and thrown.
    if (!call.isPending) return;
    call.isPending = false;
    this.#calls[call.idLo] = null;
    // A slot without unused generations is retired.
    if ((this.#generations[call.idLo] as number) < this.#maxGeneration) this.#free.push(call.idLo);
    this.#size -= 1;
    if (call.isScheduled) this.#host.context.wheel.cancel(call);
    if (call.signal !== null) call.unlisten();
  }

  #awaitUncorrelated(replyType: string, call: OutgoingCall): void {
    const waiting = this.#uncorrelated.get(replyType) ?? new Fifo();
    this.#uncorrelated.set(replyType, waiting);
    // Remove abandoned calls, because their replies may never arrive.
    while (waiting.peek()?.isPending === false) waiting.shift();
    waiting.push(call);
  }

  #settle(call: OutgoingCall, received: unknown): void {
    let value = received;
    try {
      if (this.#host.info?.netconduit === true) value = unwrapNetconduitResult(value);
      if (call.validator !== null) value = call.validator.run(value, String(call.called));
    } catch (error) {
      call.reject(asConduitError(error));
      return;
    }
    call.resolve(value);
  }
}

/** A call's correlation id. */
function idOf({ idHi, idLo }: { readonly idHi: number; readonly idLo: number }): number {
  return idHi * 0x1_0000_0000 + idLo;
}

/** @throws ConduitError PEER_UNSUPPORTED if the peer doesn't answer calls */
export function mustAnswerCalls(host: { readonly answersCalls: boolean }, called: Called): void {
  if (host.answersCalls) return;
  const message = `${cannot("call", called)}: the client doesn't answer calls (it didn't offer the extension 'call')`;
  throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, message);
}

/** @throws ConduitError PEER_UNSUPPORTED if the peer doesn't support `once` */
function mustKnowKeys(host: { readonly info: PeerInfo | null }, called: Called): void {
  if (host.info?.netconduit !== true) return;
  const message = `${cannot("send", called)} with ack or once: a netconduit server has neither`;
  throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, message);
}

/** @throws ConduitError INVALID_CONFIG if the option `result` isn't a schema */
export function checkResult(called: Called, options: object | undefined): void {
  const result = (options as { readonly result?: unknown } | undefined)?.result;
  if (result === undefined || isSchema(result)) return;
  const message = `result of ${quoted(called)} must be a schema that implements Standard Schema v1, got ${describeValue(result)}`;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
}

/** @throws ConduitError INVALID_CONFIG if the option `signal` isn't an AbortSignal */
export function checkSignal(called: Called, signal: unknown): void {
  if (signal === undefined || typeof (signal as AbortSignal | null)?.addEventListener === "function") return;
  const message = `signal of ${quoted(called)} must be an AbortSignal, got ${describeValue(signal)}`;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
}

/** @throws ConduitError INVALID_CONFIG if the timeout is out of range */
export function checkTimeout(called: Called, timeoutMs: number): void {
  if (typeof timeoutMs === "number" && timeoutMs >= 0 && timeoutMs < Number.POSITIVE_INFINITY) return;
  const message = `timeoutMs of ${quoted(called)} must be a number of at least 0 (0: no timeout), got ${describeValue(timeoutMs)}`;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
}
