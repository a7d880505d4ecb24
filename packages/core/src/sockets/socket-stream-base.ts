import type { Address, ByteSink, ByteStream, TlsInfo } from "../bytes/byte-stream.ts";
import type { Role } from "./addresses.ts";
import { lostError, type SilentEnd, type SocketErrors } from "./socket-errors.ts";
import type { StreamFacts } from "./stream-facts.ts";

/**
 * - `open`: data flows both ways.
 * - `ending`: our FIN was sent or is queued (after `close()` or the peer's FIN); data may still arrive.
 * - `destroyed`: no data flows; `closed` may not have been called yet.
 */
type State = "open" | "ending" | "destroyed";

/**
 * A {@link ByteStream} on a socket: states, pausing and calls to the sink. A runtime's subclass adds the socket: it
 * implements the abstract members, and calls `received`, `drained`, `ended`, `failed` and `finish` on the socket's
 * events.
 */
export abstract class SocketStreamBase implements ByteStream {
  // First the fields that each chunk needs.
  #state: State = "open";
  #sink: ByteSink | null = null;
  #isPaused = false;
  /** Data that arrived before `open`, or despite `pause`. */
  #held: Uint8Array[] | null = null;
  /** Null once the peer has sent data. */
  #silentEnd: SilentEnd | null;
  /** Whether `write` returned false and `drained()` hasn't been called since. */
  #owesDrained = false;
  readonly local: Address;
  readonly remote: Address;
  readonly tls: TlsInfo | null;
  readonly #role: Role;
  readonly #errors: SocketErrors;
  #error: Error | null = null;
  /** Whether the socket is closed; `closed` was called or follows immediately. */
  #isOver = false;
  #isSinkTold = false;
  #closing: Promise<void> | null = null;
  #resolveClosing: (() => void) | null = null;

  constructor(facts: StreamFacts, errors: SocketErrors) {
    this.local = facts.local;
    this.remote = facts.remote;
    this.tls = facts.tls;
    this.#role = facts.role;
    this.#silentEnd = facts.silentEnd;
    this.#errors = errors;
  }

  abstract get queuedBytes(): number;
  abstract write(bytes: Uint8Array): boolean;
  /** Starts delivery of data to `received`. It may already be running. */
  protected abstract startReading(): void;
  /** Stops delivery of data; data in transit may still arrive. */
  protected abstract stopReading(): void;
  /** Sends FIN after all written data. Called once. */
  protected abstract shutDown(): void;
  /**
   * Closes the socket and drops queued data. `finish` follows, immediately or when the socket has closed. Called once.
   * @param reset signal an abnormal end to the peer, if the socket supports that
   */
  protected abstract discard(reset: boolean): void;

  protected get state(): State {
    return this.#state;
  }

  protected get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Whether received data hasn't been delivered yet; `startReading` follows once it has. */
  protected get isHolding(): boolean {
    return this.#held !== null;
  }

  open(sink: ByteSink): void {
    this.#sink = sink;
    if (this.#isOver) this.#tellSoon();
    else this.#deliver();
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    if (this.#state !== "destroyed") this.stopReading();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.#sink !== null) this.#deliver();
  }

  close(): Promise<void> {
    this.#silentEnd = null;
    this.#end();
    // The sink was told, or there is no sink yet.
    const isClosed = this.#isSinkTold || (this.#isOver && this.#sink === null);
    this.#closing ??= isClosed
      ? Promise.resolve()
      : new Promise((resolve) => {
          this.#resolveClosing = resolve;
        });
    return this.#closing;
  }

  destroy(reason: Error | null): void {
    // Reset, so that the peer doesn't mistake a truncated stream for a complete one.
    if (this.#state !== "destroyed") this.#abort(reason, reason !== null && this.#state === "open");
  }

  /**
   * Data arrived. Passes it to the sink, or holds a copy until the sink accepts it. The caller may reuse the memory
   * afterwards.
   */
  received(chunk: Uint8Array): void {
    if (this.#state === "destroyed") return;
    this.#silentEnd = null;
    if (this.#sink !== null && !this.#isPaused && this.#held === null) {
      this.#sink.data(chunk);
      return;
    }
    this.#held ??= [];
    // Not `slice`: that of a `Buffer` is a view, and Node reads the next chunk into the same memory.
    this.#held.push(new Uint8Array(chunk));
    // Limits the held data to chunks already in transit.
    this.stopReading();
  }

  /** Returns the sink's memory for the next bytes, or null, for sockets that can read into given memory. */
  readTarget(): Uint8Array | null {
    if (this.#state === "destroyed" || this.#held !== null) return null;
    return this.#sink?.readTarget?.() ?? null;
  }

  /** Data was read into the memory from {@link readTarget}. */
  bytesRead(count: number): void {
    if (this.#state !== "destroyed") this.#sink?.bytesRead?.(count);
  }

  /** Result of `write` when the data was queued; `drained` follows. */
  protected mustWait(): false {
    this.#owesDrained = true;
    return false;
  }

  /** The socket accepts bytes again. May be called without need. */
  drained(): void {
    if (!this.#owesDrained || this.#state !== "open") return;
    this.#owesDrained = false;
    this.#sink?.drained();
  }

  /** The peer sent FIN. There is no half-close: queued data is flushed, and our side ends too. */
  ended(): void {
    if (this.#state === "destroyed") return;
    if (this.#silentEnd !== null) this.#error ??= this.#silentEnd();
    this.#end();
  }

  /** The connection failed. */
  failed(cause: unknown): void {
    // After `destroy`, a socket may fail because it was closed.
    if (this.#state === "destroyed") return;
    this.#abort(this.#errors.stream(cause, this.remote, this.#role, this.#silentEnd), true);
  }

  /** The socket closed although neither side closed it, which is never clean. `finish` follows. */
  protected lost(): void {
    this.#error ??= lostError(this.remote);
  }

  /** The socket is closed. Tells the sink, but not synchronously within the call that closed it. */
  protected finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#state = "destroyed";
    this.#held = null;
    this.#tellSoon();
  }

  #end(): void {
    if (this.#state !== "open") return;
    this.#state = "ending";
    this.shutDown();
  }

  #abort(error: Error | null, reset: boolean): void {
    this.#error ??= error;
    this.#state = "destroyed";
    this.#held = null;
    this.discard(reset);
  }

  #deliver(): void {
    if (this.#held !== null) void Promise.resolve().then(() => this.#deliverHeld());
    else if (!this.#isPaused && this.#state !== "destroyed") this.startReading();
  }

  /** Delivers held data in order, then resumes reading. */
  #deliverHeld(): void {
    while (this.#sink !== null && this.#held !== null && !this.#isPaused) {
      const chunk = this.#held.shift();
      if (chunk === undefined) {
        this.#held = null;
        this.startReading();
      } else {
        this.#sink.data(chunk);
      }
    }
  }

  #tellSoon(): void {
    void Promise.resolve().then(() => this.#tell());
  }

  #tell(): void {
    if (this.#isSinkTold) return;
    if (this.#sink !== null) {
      this.#isSinkTold = true;
      this.#sink.closed(this.#error);
    }
    this.#resolveClosing?.();
  }
}
