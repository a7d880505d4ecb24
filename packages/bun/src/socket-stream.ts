import { SocketStreamBase, type StreamFacts, WriteQueue } from "@netconduit/core/adapter";
import { errors } from "./errors.ts";

/** The part of Bun's socket that a stream uses. */
export interface StreamSocket {
  /** @returns the number of bytes accepted; negative if the socket is closed, and the "close" event follows */
  write(bytes: Uint8Array<ArrayBuffer>): number;
  pause(): void;
  resume(): void;
  /** Sends FIN and continues reading. */
  shutdown(): void;
  /** Closes, after TLS has sent its close notification. */
  close(): void;
  /** Closes immediately, with a reset where possible. */
  terminate(): void;
  ref?(): void;
  unref?(): void;
}

/**
 * A byte stream on a Bun socket opened with `allowHalfOpen`. socket-events.ts has the callbacks that all sockets share,
 * and forwards them to this class.
 */
export class SocketStream extends SocketStreamBase {
  readonly #socket: StreamSocket;
  /** Bytes that the socket hasn't accepted. */
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

  /** The socket is closed, possibly while one of its methods is running. */
  closed(cause?: unknown): void {
    this.#isSocketClosed = true;
    if (cause !== undefined) this.failed(cause);
    else if (this.state !== "destroyed") this.#closed();
  }

  ref(): void {
    this.#socket.ref?.();
  }

  unref(): void {
    this.#socket.unref?.();
  }

  protected startReading(): void {
    // A normal close was waiting until the data before it was accepted.
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
    // With bytes queued, TLS would wait for a peer that doesn't read.
    if (reset || !this.#queue.isEmpty) this.#socket.terminate();
    else this.#socket.close();
    this.#queue.clear();
    this.finish();
  }

  #closed(): void {
    // Not clean: neither side closed the connection, or bytes are left over.
    if (!this.#isFinSent) this.lost();
    else if (this.isHolding) return;
    this.#queue.clear();
    this.finish();
  }
}
