import { SocketStreamBase, type StreamFacts, WriteQueue } from "@netconduit/core/adapter";
import { errors } from "./errors.ts";
import { ReadBuffer } from "./read-buffer.ts";

/** The part of `Deno.Conn` that a stream uses: one read and one write at a time. */
export interface StreamSocket {
  /** Resolves to the number of bytes read, or to null when the peer has ended. */
  read(into: Uint8Array): Promise<number | null>;
  /** Resolves to the number of bytes taken. */
  write(bytes: Uint8Array): Promise<number>;
  /** Sends FIN. */
  closeWrite(): Promise<void>;
  close(): void;
}

/**
 * A `Deno.Conn` as a byte stream: a loop that reads, and one that writes while there is something to write. Deno has no
 * way to reset: the peer sees an ordinary end, or a reset when data of its own was still unread here.
 */
export class SocketStream extends SocketStreamBase {
  readonly #socket: StreamSocket;
  readonly #queue: WriteQueue;
  readonly #buffer: ReadBuffer;
  #isReading = false;
  #isWriting = false;
  #hasPeerEnded = false;
  #isFinSent = false;

  constructor(socket: StreamSocket, facts: StreamFacts) {
    super(facts, errors);
    this.#socket = socket;
    this.#queue = new WriteQueue(facts.bufferSize);
    this.#buffer = new ReadBuffer(facts.bufferSize);
  }

  get queuedBytes(): number {
    return this.#queue.queuedBytes;
  }

  write(bytes: Uint8Array): boolean {
    if (this.state !== "open") return false;
    this.#queue.push(bytes);
    if (!this.#isWriting) void this.#writeAll();
    return this.#queue.isFull ? this.mustWait() : true;
  }

  protected startReading(): void {
    if (!this.#isReading && !this.#hasPeerEnded) void this.#readAll();
  }

  protected stopReading(): void {
    // The loop checks by itself; the base class holds what the read under way brings.
  }

  protected shutDown(): void {
    if (!this.#isWriting) void this.#writeAll();
  }

  protected discard(): void {
    this.#queue.clear();
    closeQuietly(this.#socket);
    this.finish();
  }

  /** Reads until told to pause. Neither starts nor delivers anything within the caller's turn. Never rejects. */
  async #readAll(): Promise<void> {
    this.#isReading = true;
    try {
      await null;
      while (!this.isPaused && !this.#hasPeerEnded && this.state !== "destroyed") {
        const target = this.readTarget();
        const count = await this.#socket.read(target ?? this.#buffer.room());
        if (count === null) this.#peerEnded();
        else if (target !== null) this.bytesRead(count);
        else this.received(this.#buffer.take(count));
      }
    } catch (cause) {
      this.failed(cause);
    } finally {
      this.#isReading = false;
    }
  }

  /** Writes what is queued, one write at a time, then sends FIN if the stream is ending. Never rejects. */
  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    const queue = this.#queue;
    try {
      for (let chunk = queue.peek(); chunk !== null; chunk = queue.peek()) {
        const taken = await this.#socket.write(chunk);
        if (this.state === "destroyed") return;
        queue.consume(taken);
        if (queue.isEmpty) this.drained();
      }
      if (this.state !== "ending" || this.#isFinSent) return;
      await this.#socket.closeWrite();
      this.#isFinSent = true;
      if (this.#hasPeerEnded) this.#bothEnded();
    } catch (cause) {
      this.failed(cause);
    } finally {
      this.#isWriting = false;
    }
  }

  #peerEnded(): void {
    this.#hasPeerEnded = true;
    this.ended();
    if (this.#isFinSent) this.#bothEnded();
  }

  #bothEnded(): void {
    closeQuietly(this.#socket);
    this.finish();
  }
}

/** Closes a connection, though it may be closed already. */
export function closeQuietly(socket: { close(): void }): void {
  try {
    socket.close();
  } catch (cause) {
    if (errors.codeOf(cause) !== "EBADF") throw cause;
  }
}
