import { WriteQueue } from "../bytes/write-queue.ts";
import { ReadBuffer } from "./read-buffer.ts";
import type { SocketErrors } from "./socket-errors.ts";
import { SocketStreamBase } from "./socket-stream-base.ts";
import type { StreamFacts } from "./stream-facts.ts";

/** A socket whose reads and writes are promises, one of each at a time. */
export interface AwaitedSocket {
  /** Resolves to how many bytes it read, or to null: the peer has ended. */
  read(into: Uint8Array): Promise<number | null>;
  /** Resolves to how many bytes it took. */
  write(bytes: Uint8Array): Promise<number>;
  /** Sends FIN. */
  closeWrite(): Promise<void>;
}

/**
 * A stream on an {@link AwaitedSocket}: a loop that reads, and one that writes while there is something to write. It
 * never resets: the peer sees an ordinary end, or a reset when data of its own was still unread here.
 */
export class AwaitedSocketStream<S extends AwaitedSocket> extends SocketStreamBase {
  readonly #socket: S;
  readonly #discardSocket: (socket: S) => void;
  readonly #queue: WriteQueue;
  readonly #buffer: ReadBuffer;
  #reading = false;
  #writing = false;
  #peerEnded = false;
  #finSent = false;

  /** @param discard closes the socket, which may be closed already */
  constructor(socket: S, facts: StreamFacts, errors: SocketErrors, discard: (socket: S) => void) {
    super(facts, errors);
    this.#socket = socket;
    this.#discardSocket = discard;
    this.#queue = new WriteQueue(facts.highWaterMark);
    this.#buffer = new ReadBuffer(facts.highWaterMark);
  }

  get queuedBytes(): number {
    return this.#queue.queuedBytes;
  }

  write(bytes: Uint8Array): boolean {
    if (this.state !== "open") return false;
    this.#queue.push(bytes);
    if (!this.#writing) void this.#writeAll();
    return this.#queue.isFull ? this.mustWait() : true;
  }

  protected startReading(): void {
    if (!this.#reading && !this.#peerEnded) void this.#readAll();
  }

  protected stopReading(): void {
    // The loop looks for itself; what the read under way brings is held back.
  }

  protected shutDown(): void {
    if (!this.#writing) void this.#writeAll();
  }

  protected discard(): void {
    this.#queue.clear();
    this.#discardSocket(this.#socket);
    this.finish();
  }

  /** Reads until told to pause. Neither starts nor delivers anything within the caller's turn. Never rejects. */
  async #readAll(): Promise<void> {
    this.#reading = true;
    try {
      await null;
      while (!this.paused && !this.#peerEnded && this.state !== "destroyed") {
        const readTarget = this.readTarget();
        const count = await this.#socket.read(readTarget ?? this.#buffer.room());
        if (count === null) this.#ended();
        else if (readTarget !== null) this.bytesRead(count);
        else this.received(this.#buffer.take(count));
      }
    } catch (cause) {
      this.failed(cause);
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
        const taken = await this.#socket.write(chunk);
        if (this.state === "destroyed") return;
        queue.consume(taken);
        if (queue.isEmpty) this.drained();
      }
      if (this.state !== "ending" || this.#finSent) return;
      await this.#socket.closeWrite();
      this.#finSent = true;
      if (this.#peerEnded) this.#bothEnded();
    } catch (cause) {
      this.failed(cause);
    } finally {
      this.#writing = false;
    }
  }

  #ended(): void {
    this.#peerEnded = true;
    this.ended();
    if (this.#finSent) this.#bothEnded();
  }

  #bothEnded(): void {
    this.#discardSocket(this.#socket);
    this.finish();
  }
}
