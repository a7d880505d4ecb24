import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { TimerEntry, type TimerWheel } from "../util/timer-wheel.ts";

/** What a running handler may ask about its call. */
export interface HandlerContext<Peer> {
  /** Who called: on a server the connection, on a client its connection to the server. */
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

/** Where a context gets its time from. */
export interface CallClock {
  readonly wheel: TimerWheel;
  /** Unix milliseconds; may be the time the current turn began. */
  wallClock(): number;
}

/** One handler invocation. The signal, and the deadline's timer, exist only once the handler asks for them. */
export class CallContext<Peer> extends TimerEntry implements HandlerContext<Peer> {
  readonly client: Peer;
  readonly method: string;
  /** Correlation id of the request; 0/0 if it wants no reply. */
  readonly hi: number;
  readonly lo: number;
  readonly #startedMs: number;
  readonly #timeoutMs: number;
  readonly #clock: CallClock;
  #controller: AbortController | null = null;
  #abortReason: ConduitError | null = null;

  constructor(client: Peer, method: string, hi: number, lo: number, timeoutMs: number, clock: CallClock) {
    super();
    this.client = client;
    this.method = method;
    this.hi = hi;
    this.lo = lo;
    // Whatever number a peer sent; endless is none.
    this.#timeoutMs = timeoutMs < Number.POSITIVE_INFINITY ? timeoutMs : 0;
    this.#startedMs = this.#timeoutMs === 0 ? 0 : clock.wallClock();
    this.#clock = clock;
  }

  get deadline(): number | null {
    return this.#timeoutMs === 0 ? null : this.#startedMs + this.#timeoutMs;
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#abortReason !== null) this.#controller.abort(this.#abortReason);
      else if (this.#timeoutMs > 0) {
        this.#clock.wheel.schedule(this, Math.max(0, this.#startedMs + this.#timeoutMs - this.#clock.wallClock()));
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
    if (this.isScheduled) this.#clock.wheel.cancel(this);
    this.#controller?.abort(reason);
  }

  /** Throws why the signal fired, if it has: a handler that has not begun need not. */
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

  /** What a handler that threw `error` failed with: why its signal fired, if that is all it says, else `error`. */
  outcome(error: unknown): unknown {
    const reason = this.#abortReason;
    return reason !== null && this.explains(error) ? new RpcError(reason.code, reason.message) : error;
  }

  /** The handler settled: its deadline no longer matters. */
  finish(): void {
    if (this.isScheduled) this.#clock.wheel.cancel(this);
  }
}
