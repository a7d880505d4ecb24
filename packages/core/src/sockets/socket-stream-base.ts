import type { Address, ByteSink, ByteStream, TlsInfo } from "../bytes/byte-stream.ts";
import type { Role } from "./addresses.ts";
import { lostError, type SilentEnd, type SocketErrors } from "./socket-errors.ts";
import type { StreamFacts } from "./stream-facts.ts";

/**
 * - `open`: bytes flow both ways.
 * - `ending`: our FIN is sent, or follows what is queued (`close()`, or the peer's FIN arrived); data may still arrive.
 * - `destroyed`: nothing flows any more; `closed` may still be due.
 */
type State = "open" | "ending" | "destroyed";

/**
 * A {@link ByteStream} on a socket: states, pausing, and when the sink is told. A runtime's subclass adds the socket. It
 * implements the abstract members, and calls `received`, `drained`, `ended`, `failed` and `finish` on the socket's
 * events.
 */
export abstract class SocketStreamBase implements ByteStream {
  readonly local: Address;
  readonly remote: Address;
  readonly tls: TlsInfo | null;
  readonly #role: Role;
  readonly #errors: SocketErrors;
  /** Null once the peer has sent anything. */
  #silentEnd: SilentEnd | null;
  #state: State = "open";
  #sink: ByteSink | null = null;
  #isPaused = false;
  /** `write` returned false and `drained()` has not been called since. */
  #owesDrained = false;
  /** Data that arrived before `open`, or in spite of `pause`. */
  #held: Uint8Array[] | null = null;
  #error: Error | null = null;
  /** The socket is closed; `closed` has been called, or follows at once. */
  #isOver = false;
  #isSinkTold = false;
  #closing: Promise<void> | null = null;
  #resolveClosing: () => void = () => undefined;

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
  /** Lets data arrive, by `received`. It may be arriving already. */
  protected abstract startReading(): void;
  /** Stops data from arriving; some on its way may still come. */
  protected abstract stopReading(): void;
  /** Sends FIN, once all that was written has been sent. Called once. */
  protected abstract shutDown(): void;
  /**
   * Closes the socket and drops what is queued; `finish` follows, at once or when the socket has closed. Called once.
   * @param reset the peer must not take it for an orderly end, as far as the socket can tell it so
   */
  protected abstract discard(reset: boolean): void;

  protected get state(): State {
    return this.#state;
  }

  protected get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Data that arrived has not been delivered yet; `startReading` follows once it has. */
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
    // Nobody has to be told any more, or will be before `open`.
    const isClosed = this.#isSinkTold || (this.#isOver && this.#sink === null);
    this.#closing ??= isClosed
      ? Promise.resolve()
      : new Promise((resolve) => {
          this.#resolveClosing = resolve;
        });
    return this.#closing;
  }

  destroy(reason: Error | null): void {
    // The peer must not take a stream that is cut off for a complete one.
    if (this.#state !== "destroyed") this.#abort(reason, reason !== null && this.#state === "open");
  }

  /** Data arrived. It goes to the sink, or is held until the sink takes it. The memory is the caller's again afterwards. */
  received(chunk: Uint8Array): void {
    if (this.#state === "destroyed") return;
    this.#silentEnd = null;
    if (this.#sink !== null && !this.#isPaused && this.#held === null) {
      this.#sink.data(chunk);
      return;
    }
    this.#held ??= [];
    this.#held.push(chunk.slice());
    // Bounds what is held to the chunks that are on their way already.
    this.stopReading();
  }

  /** Where the sink wants the next bytes; null: anywhere. For sockets that read into memory they are given. */
  readTarget(): Uint8Array | null {
    if (this.#state === "destroyed" || this.#held !== null) return null;
    return this.#sink?.readTarget?.() ?? null;
  }

  /** Data arrived where {@link readTarget} said. */
  bytesRead(count: number): void {
    if (this.#state !== "destroyed") this.#sink?.bytesRead?.(count);
  }

  /** For `write` to return: what it took is queued, and `drained` follows. */
  protected mustWait(): false {
    this.#owesDrained = true;
    return false;
  }

  /** The socket takes bytes again. May come unasked. */
  drained(): void {
    if (!this.#owesDrained || this.#state !== "open") return;
    this.#owesDrained = false;
    this.#sink?.drained();
  }

  /** The peer sent FIN. There is no half-close: what is queued is flushed, and our side ends as well. */
  ended(): void {
    if (this.#state === "destroyed") return;
    if (this.#silentEnd !== null) this.#error ??= this.#silentEnd();
    this.#end();
  }

  /** The connection broke. */
  failed(cause: unknown): void {
    // After `destroy` a socket may fail for having been closed.
    if (this.#state === "destroyed") return;
    this.#abort(this.#errors.stream(cause, this.remote, this.#role, this.#silentEnd), true);
  }

  /** The socket closed although neither side said so: never a clean end. `finish` follows. */
  protected lost(): void {
    this.#error ??= lostError(this.remote);
  }

  /** The socket is closed. The sink is told, though not within the call that closed it. */
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

  /** Hands over what was held, in order, and lets the rest come. */
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
    this.#resolveClosing();
  }
}
