import { SocketStreamBase, type StreamFacts, WriteQueue } from "@netconduit/core/adapter";
import { errors } from "./errors.ts";

/** The part of Bun's socket that a stream uses. */
export interface StreamSocket {
  /** @returns how many bytes it took; negative: it is closed, and the "close" event follows */
  write(bytes: Uint8Array<ArrayBuffer>): number;
  pause(): void;
  resume(): void;
  /** Sends FIN, and goes on reading. */
  shutdown(): void;
  /** Closes, after TLS has sent its close notification. */
  close(): void;
  /** Closes at once; the peer doesn't take it for an orderly end. */
  terminate(): void;
}

/**
 * A Bun socket, opened with `allowHalfOpen`, as a byte stream. Bun calls functions that all sockets share; see
 * socket-events.ts for how they come here.
 */
export class SocketStream extends SocketStreamBase {
  readonly #socket: StreamSocket;
  /** What the socket has not taken. */
  readonly #queue: WriteQueue;
  #isFinSent = false;
  #isSocketClosed = false;

  constructor(socket: StreamSocket, facts: StreamFacts) {
    super(facts, errors);
    this.#socket = socket;
    this.#queue = new WriteQueue(facts.bufferSize);
  }

  get queuedBytes(): number {
    return this.#queue.queuedBytes;
  }

  write(bytes: Uint8Array): boolean {
    if (this.state !== "open") return false;
    const queue = this.#queue;
    let rest = bytes;
    if (queue.isEmpty && bytes.length > 0) {
      const taken = this.#socket.write(bytes as Uint8Array<ArrayBuffer>);
      if (taken === bytes.length) return true;
      if (taken > 0) rest = bytes.subarray(taken);
    }
    queue.push(rest);
    return queue.isFull ? this.mustWait() : true;
  }

  override drained(): void {
    const queue = this.#queue;
    for (let next = queue.peek(); next !== null; next = queue.peek()) {
      const taken = this.#socket.write(next as Uint8Array<ArrayBuffer>);
      if (taken > 0) queue.consume(taken);
      if (taken < next.length) return;
    }
    if (this.state === "ending") this.shutDown();
    else super.drained();
  }

  /** The socket is closed, perhaps while a method of it is still running. */
  gone(cause?: unknown): void {
    this.#isSocketClosed = true;
    if (cause !== undefined) this.failed(cause);
    else if (this.state !== "destroyed") this.#closed();
  }

  protected startReading(): void {
    // An orderly end has waited until the data before it was taken.
    if (this.#isSocketClosed) this.#closed();
    else this.#socket.resume();
  }

  protected stopReading(): void {
    this.#socket.pause();
  }

  protected shutDown(): void {
    if (this.#isFinSent || !this.#queue.isEmpty) return;
    this.#isFinSent = true;
    this.#socket.shutdown();
  }

  protected discard(reset: boolean): void {
    // With bytes queued, TLS would wait for a peer that does not read.
    if (reset || !this.#queue.isEmpty) this.#socket.terminate();
    else this.#socket.close();
    this.#queue.clear();
    this.finish();
  }

  #closed(): void {
    // Not a clean end: neither side has said so, or bytes are left over.
    if (!this.#isFinSent) this.lost();
    else if (this.isHolding) return;
    this.#queue.clear();
    this.finish();
  }
}
