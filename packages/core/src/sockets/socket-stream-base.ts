import type { Address, ByteSink, ByteStream, TlsInfo } from "../bytes/byte-stream.ts";
import { type Role, tcpAddress } from "./addresses.ts";
import { lostError, type SilentEnd, type SocketErrors } from "./socket-errors.ts";
import type { StreamFacts } from "./stream-facts.ts";

/**
 * - `open`: bytes flow both ways.
 * - `ending`: our FIN is sent, or follows what waits (`close()`, or the peer's FIN arrived); data may still come in.
 * - `destroyed`: nothing flows any more; `closed` may still be due.
 */
type State = "open" | "ending" | "destroyed";

/** Flags of a stream: one field for all of them, as there are many streams. */
const ENDING = 1;
const DESTROYED = 2;
/** `write` returned false and `drained()` has not been called since. */
const OWES_DRAINED = 4;
const PAUSED = 8;

const settled: Promise<void> = Promise.resolve();

/** What streams of one listener have in common. */
interface Common {
  readonly local: Address;
  readonly tls: TlsInfo | null;
  readonly role: Role;
  readonly highWaterMark: number;
  readonly errors: SocketErrors;
}

/** Of the stream that was made last: that of a plaintext server's next client is the same. */
let lastCommon: Common | null = null;

function commonOf({ local, tls, role, highWaterMark }: StreamFacts, errors: SocketErrors): Common {
  const last = lastCommon;
  if (
    last === null ||
    last.local !== local ||
    last.tls !== tls ||
    last.role !== role ||
    last.highWaterMark !== highWaterMark ||
    last.errors !== errors
  ) {
    lastCommon = { local, tls, role, highWaterMark, errors };
  }
  return lastCommon as Common;
}

/** Behind a proxy all clients have one host, and one string of it is enough. */
let lastHost = "";

function shared(host: string): string {
  if (host !== lastHost) lastHost = host;
  return lastHost;
}

/** What seldom matters before a stream's end. */
class End {
  /** What arrived before `open`, or in spite of `pause`. */
  held: Uint8Array[] | null = null;
  error: Error | null = null;
  /** The stream is over; `closed` is called, or follows at once. */
  isOver = false;
  isTold = false;
  closing: Promise<void> | null = null;
  resolveClosing: (() => void) | null = null;
  silentEnd: SilentEnd | null = null;
}

/**
 * What the sockets of all runtimes have in common on their way to a {@link ByteStream}: states, pausing, who is told
 * what and when. A runtime's class adds the socket: it implements the abstract members, and sees to it that `received`,
 * `drained`, `ended`, `failed` and `finish` are called as the socket's events come.
 */
export abstract class SocketStreamBase implements ByteStream {
  // What every read and write needs comes last: beside it stand the fields of the runtime's class.
  /** Of a TCP stream only the host: with the port it takes a quarter of the memory of an address. */
  readonly #remote: Address | string;
  readonly #remotePort: number;
  readonly #common: Common;
  /** Made when there is something to remember. */
  #ending: End | null = null;
  #sink: ByteSink | null = null;
  #flags = 0;

  constructor(facts: StreamFacts, errors: SocketErrors) {
    const { remote } = facts;
    this.#remote = remote.kind === "tcp" ? shared(remote.host) : remote;
    this.#remotePort = remote.kind === "tcp" ? remote.port : 0;
    this.#common = commonOf(facts, errors);
    if (facts.silentEnd !== null) this.#end.silentEnd = facts.silentEnd;
  }

  get remote(): Address {
    return typeof this.#remote === "string" ? tcpAddress(this.#remote, this.#remotePort) : this.#remote;
  }

  get local(): Address {
    return this.#common.local;
  }

  get tls(): TlsInfo | null {
    return this.#common.tls;
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
    if ((this.#flags & (ENDING | DESTROYED)) === 0) return "open";
    return (this.#flags & DESTROYED) !== 0 ? "destroyed" : "ending";
  }

  get #isDestroyed(): boolean {
    return (this.#flags & DESTROYED) !== 0;
  }

  protected get highWaterMark(): number {
    return this.#common.highWaterMark;
  }

  get #end(): End {
    this.#ending ??= new End();
    return this.#ending;
  }

  protected get paused(): boolean {
    return (this.#flags & PAUSED) !== 0;
  }

  /** Data that came in has not been delivered yet; `startReading` follows once it has. */
  protected get isHolding(): boolean {
    return this.#ending !== null && this.#ending.held !== null;
  }

  open(sink: ByteSink): void {
    this.#sink = sink;
    if (this.#ending?.isOver === true) this.#tellSoon();
    else this.#deliver();
  }

  pause(): void {
    if (this.paused) return;
    this.#flags |= PAUSED;
    if (!this.#isDestroyed) this.stopReading();
  }

  resume(): void {
    if (!this.paused) return;
    this.#flags &= ~PAUSED;
    if (this.#sink !== null) this.#deliver();
  }

  close(): Promise<void> {
    const end = this.#end;
    end.silentEnd = null;
    this.#finSoon();
    end.closing ??=
      end.isTold || (end.isOver && this.#sink === null)
        ? settled
        : new Promise((resolve) => {
            end.resolveClosing = resolve;
          });
    return end.closing;
  }

  destroy(reason: Error | null): void {
    if (this.#isDestroyed) return;
    // A stream that is cut off must not pass for a complete one, and the system need not go on delivering what is
    // discarded here.
    const reset = reason !== null && this.state === "open";
    this.#abort(reason, reset);
  }

  /** Data came in. It goes to the sink, unless nobody takes it now. The memory is the caller's again afterwards. */
  received(chunk: Uint8Array): void {
    if (this.#isDestroyed) return;
    const end = this.#ending;
    if (end !== null) end.silentEnd = null;
    if (this.#sink !== null && (this.#flags & PAUSED) === 0 && (end === null || end.held === null)) {
      this.#sink.data(chunk);
      return;
    }
    // The first chunk that nobody takes stops the socket, so that there will be few of them.
    this.#end.held ??= [];
    this.#end.held.push(chunk.slice());
    this.stopReading();
  }

  /** Where the sink wants the next bytes; null: anywhere. For sockets that read into memory they are given. */
  readTarget(): Uint8Array | null {
    if (this.#isDestroyed || this.#sink === null || this.isHolding) return null;
    return this.#sink.readTarget?.() ?? null;
  }

  /** Data came in where {@link readTarget} said. */
  bytesRead(count: number): void {
    if (!this.#isDestroyed) this.#sink?.bytesRead?.(count);
  }

  /** For `write` to return: what it took waits, and `drained` will say when it does no more. */
  protected mustWait(): false {
    this.#flags |= OWES_DRAINED;
    return false;
  }

  /** Nothing waits to be sent any more. May come unasked. */
  drained(): void {
    if ((this.#flags & (OWES_DRAINED | ENDING | DESTROYED)) !== OWES_DRAINED) return;
    this.#flags &= ~OWES_DRAINED;
    this.#sink?.drained();
  }

  /** The peer sent FIN. There is no half-close: what is written is flushed, and our side ends as well. */
  ended(): void {
    if (this.#isDestroyed) return;
    const end = this.#ending;
    if (end !== null && end.silentEnd !== null) end.error ??= end.silentEnd();
    this.#finSoon();
  }

  /** The connection broke. What a socket says after it was discarded is no news. */
  failed(cause: unknown): void {
    if (this.#isDestroyed) return;
    const { errors, role } = this.#common;
    this.#abort(errors.stream(cause, this.remote, role, this.#end.silentEnd), true);
  }

  /** The socket closed although neither side said so: never a clean end. `finish` follows. */
  protected lost(): void {
    this.#end.error ??= lostError(this.remote);
  }

  /** The end, in both directions. The sink is told, though not within the call that ended the stream. */
  protected finish(): void {
    if (this.#end.isOver) return;
    this.#end.isOver = true;
    this.#end.held = null;
    this.#flags |= DESTROYED;
    this.#tellSoon();
  }

  // Closures stand in methods of their own: one that makes a closure sets memory aside for it at each call.

  #tellSoon(): void {
    void settled.then(() => this.#tell());
  }

  #releaseSoon(): void {
    void settled.then(() => this.#release());
  }

  #finSoon(): void {
    if (this.state !== "open") return;
    this.#flags |= ENDING;
    this.shutDown();
  }

  #abort(error: Error | null, reset: boolean): void {
    this.#end.error ??= error;
    this.#end.held = null;
    this.#flags |= DESTROYED;
    this.discard(reset);
  }

  #deliver(): void {
    if (this.isHolding) this.#releaseSoon();
    else if ((this.#flags & (PAUSED | DESTROYED)) === 0) this.startReading();
  }

  /** Hands over what was held back, in order, and lets the rest come. */
  #release(): void {
    const sink = this.#sink;
    while (sink !== null && (this.#flags & (PAUSED | DESTROYED)) === 0) {
      const chunk = this.#end.held?.shift();
      if (chunk === undefined) {
        this.#end.held = null;
        this.startReading();
        return;
      }
      sink.data(chunk);
    }
  }

  #tell(): void {
    const end = this.#end;
    if (end.isTold) return;
    if (this.#sink !== null) {
      end.isTold = true;
      this.#sink.closed(end.error);
    }
    end.resolveClosing?.();
  }
}
