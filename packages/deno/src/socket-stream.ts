import {
  type Address,
  type ByteSink,
  type ByteStream,
  type ConduitError,
  type TlsInfo,
  WriteQueue,
} from "@netconduit/core/adapter";
import { addressOf } from "./addresses.ts";
import type { Role } from "./deno-error.ts";
import { ReadBuffer } from "./read-buffer.ts";
import { streamError } from "./socket-error.ts";

/** What a {@link SocketStream} cannot ask its socket. */
export interface SocketFacts {
  readonly tls: TlsInfo | null;
  /** Which side of the connection this is: the same TLS alert means another thing on each. */
  readonly role: Role;
  /** Bytes read at a time, and bytes waiting in user space from which on `write` returns false. */
  readonly bufferSize: number;
  /** Names the error when the peer ends or resets the connection before it has sent a single byte. */
  readonly silentEnd?: ((cause?: unknown) => ConduitError) | undefined;
}

/**
 * - `open`: bytes flow both ways.
 * - `ending`: our FIN is sent, or follows once the queue is empty (`close()`, or the peer's FIN arrived); data may
 *   still come in.
 * - `destroyed`: nothing flows any more; `closed` may still be due.
 */
type State = "open" | "ending" | "destroyed";

/**
 * A connected `Deno.Conn` (TLS: handshake done) as a {@link ByteStream}: a loop that reads, and one that writes while
 * there is something to write.
 */
export class SocketStream implements ByteStream {
  readonly local: Address;
  readonly remote: Address;
  readonly tls: TlsInfo | null;
  readonly #conn: Deno.Conn;
  readonly #role: Role;
  readonly #queue: WriteQueue;
  readonly #buffer: ReadBuffer;
  #sink: ByteSink | null = null;
  #state: State = "open";
  #reading = false;
  #writing = false;
  /** `write` returned false and `drained()` has not been called since. */
  #owesDrained = false;
  #paused = false;
  /** The read that was on its way when `pause` was called has brought this. */
  #held: Uint8Array | null = null;
  #peerEnded = false;
  #finSent = false;
  #silentEnd: ((cause?: unknown) => ConduitError) | null;
  #error: Error | null = null;
  #over = false;
  #closing: Promise<void> | null = null;
  #resolveClosing: (() => void) | null = null;

  constructor(conn: Deno.Conn, facts: SocketFacts) {
    this.local = addressOf(conn.localAddr);
    this.remote = addressOf(conn.remoteAddr);
    this.tls = facts.tls;
    this.#conn = conn;
    this.#role = facts.role;
    this.#queue = new WriteQueue(facts.bufferSize);
    this.#buffer = new ReadBuffer(facts.bufferSize);
    this.#silentEnd = facts.silentEnd ?? null;
  }

  get queuedBytes(): number {
    return this.#queue.queuedBytes;
  }

  open(sink: ByteSink): void {
    this.#sink = sink;
    if (this.#over) queueMicrotask(() => sink.closed(this.#error));
    else this.#startReading();
  }

  write(bytes: Uint8Array): boolean {
    if (this.#state !== "open") return false;
    this.#queue.push(bytes);
    if (!this.#writing) void this.#writeAll();
    if (!this.#queue.isFull) return true;
    this.#owesDrained = true;
    return false;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#startReading();
  }

  close(): Promise<void> {
    this.#silentEnd = null;
    this.#end();
    this.#closing ??= this.#over
      ? Promise.resolve()
      : new Promise((resolve) => {
          this.#resolveClosing = resolve;
        });
    return this.#closing;
  }

  // Deno cannot send a reset: it has no SO_LINGER. The peer sees an ordinary end, or a reset when data of its own was
  // still unread here.
  destroy(reason: Error | null): void {
    if (this.#state === "destroyed") return;
    this.#abort(reason);
  }

  #startReading(): void {
    if (this.#sink !== null && !this.#reading && !this.#peerEnded && this.#state !== "destroyed") {
      this.#reading = true;
      void this.#readAll(this.#sink);
    }
  }

  /** Reads until told to pause. Neither starts nor delivers anything within the caller's turn. Never rejects. */
  async #readAll(sink: ByteSink): Promise<void> {
    try {
      await null;
      while (!this.#paused && !this.#peerEnded && this.#state !== "destroyed") {
        const chunk = this.#held ?? this.#buffer.take(await this.#conn.read(this.#buffer.room()));
        this.#held = null;
        if ((this.#state as State) === "destroyed") return;
        if (chunk === null) this.#ended();
        else if (this.#paused) this.#held = chunk;
        else {
          this.#silentEnd = null;
          sink.data(chunk);
        }
      }
    } catch (cause) {
      this.#failed(cause);
    } finally {
      this.#reading = false;
    }
  }

  /** Writes what waits, one write at a time, then sends FIN if it is time to. Never rejects. */
  async #writeAll(): Promise<void> {
    this.#writing = true;
    const queue = this.#queue;
    try {
      for (let chunk = queue.peek(); chunk !== null; chunk = queue.peek()) {
        const taken = await this.#conn.write(chunk);
        if (this.#state === "destroyed") return;
        queue.consume(taken);
        if (queue.isEmpty) this.#drained();
      }
      if (this.#state !== "ending" || this.#finSent) return;
      await this.#conn.closeWrite();
      this.#finSent = true;
      if (this.#peerEnded) this.#finish();
    } catch (cause) {
      this.#failed(cause);
    } finally {
      this.#writing = false;
    }
  }

  #drained(): void {
    if (!this.#owesDrained || this.#state !== "open") return;
    this.#owesDrained = false;
    this.#sink?.drained();
  }

  /** The peer sent FIN. There is no half-close: what is written is flushed, and our side ends as well. */
  #ended(): void {
    this.#peerEnded = true;
    if (this.#silentEnd !== null) this.#error ??= this.#silentEnd();
    if (this.#finSent) this.#finish();
    else this.#end();
  }

  #end(): void {
    if (this.#state !== "open") return;
    this.#state = "ending";
    if (!this.#writing) void this.#writeAll();
  }

  #failed(cause: unknown): void {
    // What a read or write says that `destroy` has cut off is no news.
    if (this.#state === "destroyed") return;
    this.#abort(streamError(cause, this.remote, this.#role, this.#silentEnd));
  }

  #abort(error: Error | null): void {
    this.#error ??= error;
    this.#discard();
    queueMicrotask(() => this.#finish());
  }

  #discard(): void {
    this.#state = "destroyed";
    this.#queue.clear();
    this.#held = null;
    try {
      this.#conn.close();
    } catch {
      // Deno has closed it already: just as well.
    }
  }

  /** The end, in both directions. */
  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#state !== "destroyed") this.#discard();
    this.#sink?.closed(this.#error);
    this.#resolveClosing?.();
  }
}
