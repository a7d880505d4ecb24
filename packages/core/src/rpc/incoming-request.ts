import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { TimerEntry, type TimerWheel } from "../util/timer-wheel.ts";

/** A running handler's view of its call or message. */
export interface HandlerContext<Peer> {
  /** The caller: on a server the connection, on a client its connection to the server. */
  readonly client: Peer;
  /** Method name or message type. */
  readonly method: string;
  /**
   * Fires when the caller cancels, its deadline passes, or the connection ends. The reason is a `ConduitError` with
   * CANCELLED, TIMEOUT or CONNECTION_CLOSED.
   */
  readonly signal: AbortSignal;
  /** When the caller gives up, as a Unix time in milliseconds; null if it did not say (netconduit peers never do). */
  readonly deadline: number | null;
}

/** The time that deadlines are measured by. */
export interface CallClock {
  readonly wheel: TimerWheel;
  /** Unix milliseconds; may be the time the current turn began. */
  wallClock(): number;
}

/** The connection that a request came on. */
export interface RequestSource<Peer> {
  readonly clock: CallClock;
  /** The peer as handlers see it: the connection on a server, the client itself on a client. */
  readonly peer: Peer;
  readonly isAuthenticated: boolean;
  /** A MESSAGE with a correlation id asks for one reply with that id. */
  readonly correlatesReplies: boolean;
  /** @throws ConduitError UNSERIALIZABLE or MESSAGE_TOO_LARGE; nothing was sent then. */
  sendResult(request: IncomingRequest<Peer>, result: unknown): void;
  sendError(request: IncomingRequest<Peer>, error: RpcError): void;
  /** The reply to a message that carries no correlation id. Throws as `sendResult`. */
  sendUncorrelatedReply(type: string, data: unknown): void;
  /** An asynchronous handler started, or settled; between the two it counts against the connection's concurrency. */
  handlerStarted(request: IncomingRequest<Peer>): void;
  handlerSettled(request: IncomingRequest<Peer>): void;
}

/**
 * One call or message of the peer, from the decoder to the reply. It waits in the queue, and is the context that its
 * handler gets. Its signal, and the timer of its deadline, exist only once the handler asks for them.
 */
export class IncomingRequest<Peer> extends TimerEntry implements HandlerContext<Peer> {
  readonly client: Peer;
  readonly method: string;
  /** True: RPC_REQUEST; false: MESSAGE. */
  readonly isCall: boolean;
  /** Parameters or data, as decoded. */
  readonly value: unknown;
  /** Halves of the correlation id; 0/0: no id. */
  readonly idHi: number;
  readonly idLo: number;
  /** Memory it takes, for the bounds on what waits and runs. */
  readonly bytes: number;
  readonly #source: RequestSource<Peer>;
  readonly #deadlineMs: number;
  #controller: AbortController | null = null;
  #abortReason: ConduitError | null = null;

  /** @param timeoutMs what the caller waits; 0: it did not say */
  constructor(
    source: RequestSource<Peer>,
    isCall: boolean,
    method: string,
    value: unknown,
    idHi: number,
    idLo: number,
    timeoutMs: number,
    bytes: number,
  ) {
    super();
    this.client = source.peer;
    this.method = method;
    this.isCall = isCall;
    this.value = value;
    this.idHi = idHi;
    this.idLo = idLo;
    this.bytes = bytes;
    this.#source = source;
    // A peer may send any number; without an end is without a deadline.
    this.#deadlineMs = timeoutMs > 0 && timeoutMs < Number.POSITIVE_INFINITY ? source.clock.wallClock() + timeoutMs : 0;
  }

  /** Carries a correlation id, so the peer can be answered. */
  get hasId(): boolean {
    return this.idHi !== 0 || this.idLo !== 0;
  }

  /** The peer waits for an answer to this id. */
  get wantsReply(): boolean {
    return this.hasId && (this.isCall || this.#source.correlatesReplies);
  }

  get deadline(): number | null {
    return this.#deadlineMs === 0 ? null : this.#deadlineMs;
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#abortReason !== null) this.#controller.abort(this.#abortReason);
      else if (this.#deadlineMs > 0) {
        const { clock } = this.#source;
        clock.wheel.schedule(this, Math.max(0, this.#deadlineMs - clock.wallClock()));
      }
    }
    return this.#controller.signal;
  }

  override onTimer(): void {
    this.abort(new ConduitError(ErrorCode.TIMEOUT, `The deadline of '${this.method}' passed`));
  }

  /** Fires the signal. Later calls change nothing. */
  abort(reason: ConduitError): void {
    if (this.#abortReason !== null) return;
    this.#abortReason = reason;
    this.finish();
    this.#controller?.abort(reason);
  }

  /** Throws the reason of the signal if it has fired: a handler that has not begun is not started then. */
  throwIfAborted(): void {
    if (this.#abortReason !== null) throw this.#abortReason;
  }

  /** Whether a handler that threw `error` only gave up because its signal fired. */
  explains(error: unknown): boolean {
    const reason = this.#abortReason;
    if (reason === null) return false;
    if (error === reason) return true;
    return error instanceof Error && (error.cause === reason || error.name === "AbortError");
  }

  /** The failure of a handler that threw `error`: the reason of its signal if `error` says no more, else `error`. */
  outcome(error: unknown): unknown {
    const reason = this.#abortReason;
    return reason !== null && this.explains(error) ? new RpcError(reason.code, reason.message) : error;
  }

  /** The handler settled: its deadline no longer matters. */
  finish(): void {
    if (this.isScheduled) this.#source.clock.wheel.cancel(this);
  }
}
