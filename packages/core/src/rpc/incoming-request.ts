import { type Called, ConduitError, ErrorCode, quoted, RpcError } from "../errors.ts";
import { TimerEntry, type TimerWheel } from "../util/timer-wheel.ts";
import { calledAs } from "../wire/called-as.ts";
import { type Metadata, NO_METADATA } from "../wire/metadata.ts";
import type { ItemStream, RequestStreams } from "./request-streams.ts";
import { noItems } from "./stream-items.ts";

/** Details of a message with `ack` or a call with `once`, for its handler. */
export interface Delivery {
  /** The sender's key. */
  readonly key: string;
  /**
   * Number of times that handlers were started for it, including this time. More than 1 if an earlier one failed, or
   * was interrupted by the end of its process.
   */
  readonly count: number;
}

/** A running handler's view of its call or message. */
export interface HandlerContext<Peer, Item = unknown, Progress = unknown> {
  /** The caller: on a server the connection, on a client its connection to the server. */
  readonly client: Peer;
  /** Method name or message type. */
  readonly method: string;
  /**
   * Fires when the caller cancels, its deadline passes, or the connection ends. The reason is a `ConduitError` with
   * CANCELLED, TIMEOUT or CONNECTION_CLOSED.
   */
  readonly signal: AbortSignal;
  /**
   * Fires on both sides when the server starts to stop. The handler may continue for the rest of `drainMs`; an
   * endless stream should return. The reason is a `ConduitError` with SERVER_STOPPING.
   */
  readonly draining: AbortSignal;
  /** When the caller stops waiting, in Unix milliseconds; null if it sent no deadline (netconduit peers never do). */
  readonly deadline: number | null;
  /** Strings sent by the caller in its option `meta`; empty if there are none. */
  readonly meta: Metadata;
  /** Set for a message with `ack` or a call with `once`; null otherwise. */
  readonly delivery: Delivery | null;
  /** Items from the caller's option `input`, if the method has an input; empty without the option. Can be read once. */
  readonly input: ItemStream<Item>;
  /**
   * Sends a value to the caller's `onProgress`; does nothing if it has none. While values can't be sent,
   * only the last one is kept.
   * @throws ConduitError INVALID_RESULT (rejected by the schema), UNSERIALIZABLE, MESSAGE_TOO_LARGE (64 KiB)
   */
  // A method's type, which is bivariant, so that a function taking any context also takes one with typed progress.
  readonly progress: { report(value: Progress): void }["report"];
}

/** A request of the peer, among those whose ids are in use. */
export interface IdentifiedRequest {
  /** Halves of the correlation id; 0/0 for none. */
  readonly idHi: number;
  readonly idLo: number;
  readonly wantsReply: boolean;
  /** The next request in its chain of the table of ids. Set only by the table. */
  nextOfChain: IdentifiedRequest | null;
}

/** The clock for deadlines. */
export interface CallClock {
  readonly wheel: TimerWheel;
  /** Unix milliseconds; may be the start of the current turn. */
  wallClock(): number;
  /** Whole monotonic milliseconds; may be the start of the current turn. */
  turnMs(): number;
}

/** Answers requests. */
export interface ReplySender<Peer> {
  /** @throws ConduitError UNSERIALIZABLE or MESSAGE_TOO_LARGE; nothing was sent */
  sendResult(request: IncomingRequest<Peer>, result: unknown): void;
  sendError(request: IncomingRequest<Peer>, error: RpcError): void;
  /** Notifies the sender of a message, or of a call without a reply, that it failed. */
  sendRefusal(request: IncomingRequest<Peer>, error: RpcError): void;
  /** Sends the reply to a message without a correlation id. Throws like `sendResult`. */
  sendUncorrelatedReply(type: string, data: unknown): void;
  /** Sends the error of a message without a correlation id. Throws like `sendResult`. */
  sendUncorrelatedError(request: IncomingRequest<Peer>, error: RpcError): void;
}

/** The connection that a request arrived on. */
export interface RequestSource<Peer> {
  readonly context: CallClock;
  readonly replies: ReplySender<Peer>;
  /** The peer, as passed to handlers: the connection on a server, the client itself on a client. */
  readonly peer: Peer;
  readonly isAuthenticated: boolean;
  /** Whether a MESSAGE with a correlation id requests a reply with that id. */
  readonly correlatesReplies: boolean;
  /** Whether the peer is Python netconduit. */
  readonly hasNetconduitPeer: boolean;
  /** Whether the connection has ended, so that no reply is sent. */
  readonly isOver: boolean;
  /** Fires when the server starts to stop. */
  readonly drainSignal: AbortSignal;
  /** Reports a message that failed by its sender's fault or with its handler's RpcError. Floods are merged into few reports. */
  messageFailed(error: ConduitError, type: string): void;
  /** An asynchronous handler started or settled. In between, it counts towards `handlerConcurrency`. */
  handlerStarted(request: IncomingRequest<Peer>): void;
  handlerSettled(request: IncomingRequest<Peer>): void;
}

/** A decoded call or message. */
export interface RequestContent {
  /** Method name or message type. */
  readonly name: string;
  readonly value: unknown;
  /** Memory it uses. */
  readonly size: number;
}

/** Any id, for a request whose answer isn't sent. */
const ANY_ID = { correlationHi: 0, correlationLo: 1 };

/**
 * A call or message from the peer, from the decoder to the reply. The same object is queued and passed to the handler
 * as its context. Its signal and deadline timer are created when the handler first reads them.
 */
export class IncomingRequest<Peer> extends TimerEntry implements HandlerContext<Peer, never>, IdentifiedRequest {
  readonly client: Peer;
  readonly method: string;
  /** True for RPC_REQUEST, false for MESSAGE. */
  readonly isCall: boolean;
  /** Parameters or data, as decoded. */
  readonly value: unknown;
  /** Halves of the correlation id; 0/0 for none. */
  readonly idHi: number;
  readonly idLo: number;
  /** Memory it uses, for the limits on queued and running requests. */
  readonly bytes: number;
  /** Whether the sender, which expects no reply, requests a notification of failure. */
  readonly reportsRefusal: boolean;
  readonly #source: RequestSource<Peer>;
  /** Monotonic, so that a change of the system clock doesn't end requests; 0 for none. */
  readonly #deadlineMs: number;
  /** Null if the request has none. */
  streams: RequestStreams | null = null;
  meta: Metadata = NO_METADATA;
  /** Names of fields added by middlewares, which a message's handlers share. */
  addedNames: ReadonlySet<string> | null = null;
  /** Index in the connection's list of requests with running asynchronous handlers; -1 if it isn't in the list. */
  runningAt = -1;
  nextOfChain: IdentifiedRequest | null = null;
  /** Called when the caller gives up or disconnects. */
  onAbort: ((reason: ConduitError) => void) | null = null;
  #controller: AbortController | null = null;
  #abortReason: ConduitError | null = null;

  /**
   * @param id the frame's correlation id
   * @param deadlineMs when the caller stops waiting, in monotonic milliseconds; 0 for none
   */
  constructor(
    source: RequestSource<Peer>,
    isCall: boolean,
    content: RequestContent,
    id: { readonly correlationHi: number; readonly correlationLo: number },
    deadlineMs: number = 0,
    reportsRefusal: boolean = false,
  ) {
    super();
    this.client = source.peer;
    this.method = content.name;
    this.isCall = isCall;
    this.value = content.value;
    this.idHi = id.correlationHi;
    this.idLo = id.correlationLo;
    this.bytes = content.size;
    this.reportsRefusal = reportsRefusal;
    this.#source = source;
    this.#deadlineMs = deadlineMs;
  }

  /** Whether it has a correlation id, so that a reply can be sent. */
  get hasId(): boolean {
    return this.idHi !== 0 || this.idLo !== 0;
  }

  /** Whether the peer expects a reply to this id. */
  get wantsReply(): boolean {
    return this.hasId && (this.isCall || this.#source.correlatesReplies);
  }

  /** Whether it sends or receives items. */
  get hasStream(): boolean {
    return this.streams !== null && (this.streams.keys.input || this.streams.keys.output > 0);
  }

  get kind(): "call" | "stream" | "message" {
    if (!this.isCall) return "message";
    return this.streams !== null && this.streams.keys.output > 0 ? "stream" : "call";
  }

  get delivery(): Delivery | null {
    return null;
  }

  /** Typed by the method's schema. */
  get input(): ItemStream<never> {
    return (this.streams?.input ?? noItems()) as ItemStream<never>;
  }

  /** Bound, so that handlers can destructure it. */
  get progress(): (value: unknown) => void {
    return (value) => this.streams?.progress(value);
  }

  /** The caller has given up. */
  get isExpired(): boolean {
    return this.#deadlineMs > 0 && this.#source.context.turnMs() >= this.#deadlineMs;
  }

  get deadline(): number | null {
    if (this.#deadlineMs === 0) return null;
    const { context } = this.#source;
    return context.wallClock() + this.#deadlineMs - context.turnMs();
  }

  /** Milliseconds until the deadline, at least 1; null if there is none. */
  get remainingMs(): number | null {
    return this.#deadlineMs === 0 ? null : Math.max(1, this.#deadlineMs - this.#source.context.turnMs());
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#abortReason !== null) this.#controller.abort(this.#abortReason);
      else if (this.#deadlineMs > 0) {
        const { context } = this.#source;
        context.wheel.schedule(this, Math.max(0, this.#deadlineMs - context.turnMs()));
      }
    }
    return this.#controller.signal;
  }

  get draining(): AbortSignal {
    return this.#source.drainSignal;
  }

  override onTimer(): void {
    this.abort(new ConduitError(ErrorCode.TIMEOUT, `The deadline of ${quoted(calledOf(this))} passed`));
  }

  /** Fires the signal. Later calls have no effect. */
  abort(reason: ConduitError): void {
    if (this.#abortReason !== null) return;
    this.#abortReason = reason;
    this.finish();
    this.onAbort?.(reason);
    this.#controller?.abort(reason);
    this.streams?.abort(reason);
  }

  /** Throws if the caller has given up, so that a handler isn't started. */
  throwIfAborted(): void {
    if (this.isExpired) this.onTimer();
    if (this.#abortReason !== null) throw this.#abortReason;
  }

  /**
   * Throws if the deadline passed and the handler has accessed the signal: its result may be incomplete, and by its
   * own clock the caller may still be waiting.
   */
  throwIfLate(): void {
    if (this.#controller !== null && this.#abortReason?.code === ErrorCode.TIMEOUT) throw this.#abortReason;
  }

  /** Whether a handler threw `error` only because its signal fired. */
  explains(error: unknown): boolean {
    const reason = this.#abortReason;
    if (reason === null) return false;
    if (error === reason) return true;
    try {
      return error instanceof Error && (error.cause === reason || error.name === "AbortError");
    } catch {
      // A Proxy or getter may throw.
      return false;
    }
  }

  /** The failure of a handler that threw `error`: the signal's reason if `error` only reports that, `error` otherwise. */
  outcome(error: unknown): unknown {
    const reason = this.#abortReason;
    return reason !== null && this.explains(error) ? new RpcError(reason.code, reason.message) : error;
  }

  /** The handler has settled: cancels the deadline. */
  finish(): void {
    if (this.isScheduled) this.#source.context.wheel.cancel(this);
  }
}

/** Describes what a request called, for error messages and hooks. */
export function calledOf({
  isCall,
  method,
  value,
}: Pick<IncomingRequest<never>, "isCall" | "method" | "value">): Called {
  return isCall ? calledAs(method, value) : method;
}

/** A call or message with a key, contained in a call of `$once`. */
export class KeyedRequest<Peer> extends IncomingRequest<Peer> {
  readonly #delivery: Delivery;

  constructor(
    source: RequestSource<Peer>,
    delivery: Delivery,
    { isCall, name, value }: { readonly isCall: boolean; readonly name: string; readonly value: unknown },
    bytes: number,
  ) {
    super(source, isCall, { name, value, size: bytes }, ANY_ID);
    this.#delivery = delivery;
  }

  override get delivery(): Delivery {
    return this.#delivery;
  }
}
