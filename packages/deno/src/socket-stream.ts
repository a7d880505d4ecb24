import { SocketStreamBase, type StreamFacts, WriteQueue } from "@netconduit/core/adapter";
import { errors } from "./errors.ts";
import { ReadBuffer } from "./read-buffer.ts";
import { ReadTurn } from "./turns.ts";

/** Shared by all sockets. */
const readTurn = new ReadTurn();

/** The part of `Deno.Conn` that a stream uses: one read and one write at a time. */
export interface StreamSocket {
  /** Resolves with the number of bytes read, or null after the peer's FIN. */
  read(into: Uint8Array): Promise<number | null>;
  /** Resolves with the number of bytes accepted. */
  write(bytes: Uint8Array): Promise<number>;
  /** Sends FIN. */
  closeWrite(): Promise<void>;
  close(): void;
  ref?(): void;
  unref?(): void;
}

/**
 * A byte stream on a `Deno.Conn`, with a read loop and a write loop. Deno can't send a reset: the peer sees a normal
 * end, or a reset if some of its data is unread here.
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

  ref(): void {
    this.#socket.ref?.();
  }

  unref(): void {
    this.#socket.unref?.();
  }

  protected startReading(): void {
    if (!this.#isReading && !this.#hasPeerEnded) void this.#readAll();
  }

  protected stopReading(): void {
    // The loop checks this state; the base class holds the data of the pending read.
  }

  protected shutDown(): void {
    if (!this.#isWriting) void this.#writeAll();
  }

  protected discard(): void {
    this.#queue.clear();
    closeQuietly(this.#socket);
    this.finish();
  }

  /** Reads until paused. Starts and delivers nothing synchronously. Never rejects. */
  async #readAll(): Promise<void> {
    this.#isReading = true;
    try {
      await null;
      while (!this.isPaused && !this.#hasPeerEnded && this.state !== "destroyed") {
        const target = this.readTarget();
        const count = await this.#socket.read(target ?? this.#buffer.room());
        const turn = readTurn.wait();
        if (turn !== null) await turn;
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

  /** Writes queued data, one write at a time, then sends FIN if the stream is ending. Never rejects. */
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

/** Closes a connection that may already be closed. */
export function closeQuietly(socket: { close(): void }): void {
  try {
    socket.close();
  } catch (cause) {
    if (errors.codeOf(cause) !== "EBADF") throw cause;
  }
}
