import type { Address, ByteSink, ByteStream, TlsInfo } from "../bytes/byte-stream.ts";
import type { Role } from "./addresses.ts";
import { lostError, type SilentEnd, type SocketErrors } from "./socket-errors.ts";
import type { StreamFacts } from "./stream-facts.ts";

/**
 * - `open`: bytes flow both ways.
 * - `ending`: our FIN is sent, or follows what waits (`close()`, or the peer's FIN arrived); data may still come in.
 * - `destroyed`: nothing flows any more; `closed` may still be due.
 */
type State = "open" | "ending" | "destroyed";

const settled: Promise<void> = Promise.resolve();

/**
 * What the sockets of all runtimes have in common on their way to a {@link ByteStream}: states, pausing, who is told
 * what and when. A runtime's class adds the socket: it implements the abstract members, and sees to it that `received`,
 * `drained`, `ended`, `failed` and `finish` are called as the socket's events come.
 */
export abstract class SocketStreamBase implements ByteStream {
  // What every read and write needs comes last: beside it stand the fields of the runtime's class.
  readonly local: Address;
  readonly remote: Address;
  readonly tls: TlsInfo | null;
  readonly #role: Role;
  readonly #errors: SocketErrors;
  #error: Error | null = null;
  /** The stream is over; `closed` is called, or follows at once. */
  #over = false;
  #told = false;
  #closing: Promise<void> | null = null;
  #resolveClosing: (() => void) | null = null;
  /** `write` returned false and `drained()` has not been called since. */
  #owesDrained = false;
  #silentEnd: SilentEnd | null;
  #paused = false;
  /** What arrived before `open`, or in spite of `pause`. */
  #held: Uint8Array[] | null = null;
  #sink: ByteSink | null = null;
  #state: State = "open";

  constructor({ local, remote, tls, role, silentEnd }: StreamFacts, errors: SocketErrors) {
    this.local = local;
    this.remote = remote;
    this.tls = tls;
    this.#role = role;
    this.#errors = errors;
    this.#silentEnd = silentEnd;
  }

  abstract get queuedBytes(): number;
  abstract write(bytes: Uint8Array): boolean;
  /** Lets data come in, by `received`. It may be coming already. */
  protected abstract startReading(): void;
  /** Stops data from coming in; some on its way may still come. */
  protected abstract stopReading(): void;
  /** Sends FIN, once all that was written has been sent. Called once. */
  protected abstract shutDown(): void;
  /**
   * Closes the socket and forgets what waits; then, or when the socket has closed, `finish`. Called once.
   * @param reset the peer must not take it for an orderly end, as far as the socket can tell it so
   */
  protected abstract discard(reset: boolean): void;

  protected get state(): State {
    return this.#state;
  }

  protected get paused(): boolean {
    return this.#paused;
  }

  /** Data that came in has not been delivered yet; `startReading` follows once it has. */
  protected get isHolding(): boolean {
    return this.#held !== null;
  }

  open(sink: ByteSink): void {
    this.#sink = sink;
    if (this.#over) void settled.then(() => this.#tell());
    else this.#deliver();
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    if (this.#state !== "destroyed") this.stopReading();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#sink !== null) this.#deliver();
  }

  close(): Promise<void> {
    this.#silentEnd = null;
    this.#end();
    this.#closing ??=
      this.#told || (this.#over && this.#sink === null)
        ? settled
        : new Promise((resolve) => {
            this.#resolveClosing = resolve;
          });
    return this.#closing;
  }

  destroy(reason: Error | null): void {
    if (this.#state === "destroyed") return;
    // A stream that is cut off must not pass for a complete one, and the system need not go on delivering what is
    // discarded here.
    const reset = reason !== null && this.#state === "open";
    this.#abort(reason, reset);
  }

  /** Data came in. It goes to the sink, unless nobody takes it now. The memory is the caller's again afterwards. */
  received(chunk: Uint8Array): void {
    if (this.#state === "destroyed") return;
    this.#silentEnd = null;
    if (this.#sink !== null && !this.#paused && this.#held === null) {
      this.#sink.data(chunk);
      return;
    }
    // The first chunk that nobody takes stops the socket, so that there will be few of them.
    this.#held ??= [];
    this.#held.push(chunk.slice());
    this.stopReading();
  }

  /** Where the sink wants the next bytes; null: anywhere. For sockets that read into memory they are given. */
  landing(): Uint8Array | null {
    if (this.#state === "destroyed" || this.#sink === null || this.#held !== null) return null;
    return this.#sink.landing?.() ?? null;
  }

  /** Data came in where {@link landing} said. */
  landed(count: number): void {
    if (this.#state !== "destroyed") this.#sink?.landed?.(count);
  }

  /** For `write` to return: what it took waits, and `drained` will say when it does no more. */
  protected mustWait(): false {
    this.#owesDrained = true;
    return false;
  }

  /** Nothing waits to be sent any more. May come unasked. */
  drained(): void {
    if (!this.#owesDrained || this.#state !== "open") return;
    this.#owesDrained = false;
    this.#sink?.drained();
  }

  /** The peer sent FIN. There is no half-close: what is written is flushed, and our side ends as well. */
  ended(): void {
    if (this.#state === "destroyed") return;
    if (this.#silentEnd !== null) this.#error ??= this.#silentEnd();
    this.#end();
  }

  /** The connection broke. What a socket says after it was discarded is no news. */
  failed(cause: unknown): void {
    if (this.#state === "destroyed") return;
    this.#abort(this.#errors.stream(cause, this.remote, this.#role, this.#silentEnd), true);
  }

  /** The socket closed although neither side said so: never a clean end. `finish` follows. */
  protected lost(): void {
    this.#error ??= lostError(this.remote);
  }

  /** The end, in both directions. The sink is told, though not within the call that ended the stream. */
  protected finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#state = "destroyed";
    this.#held = null;
    void settled.then(() => this.#tell());
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
    if (this.#held !== null) void settled.then(() => this.#release());
    else if (!this.#paused && this.#state !== "destroyed") this.startReading();
  }

  /** Hands over what was held back, in order, and lets the rest come. */
  #release(): void {
    const sink = this.#sink;
    while (sink !== null && !this.#paused && this.#state !== "destroyed") {
      const chunk = this.#held?.shift();
      if (chunk === undefined) {
        this.#held = null;
        this.startReading();
        return;
      }
      sink.data(chunk);
    }
  }

  #tell(): void {
    if (this.#told) return;
    if (this.#sink !== null) {
      this.#told = true;
      this.#sink.closed(this.#error);
    }
    this.#resolveClosing?.();
  }
}
