import { SocketStreamBase, type StreamFacts, WriteQueue } from "@netconduit/core/adapter";
import { errors } from "./bun-error.ts";
import type { EventSocket, SocketEvents } from "./socket-events.ts";

/** A connected socket (TLS: handshake done) with `allowHalfOpen` as a byte stream. */
export class SocketStream extends SocketStreamBase implements SocketEvents {
  readonly #socket: EventSocket;
  /** What the socket has not taken: Bun keeps none of it. */
  readonly #queue: WriteQueue;
  /** Our FIN is sent. */
  #finSent = false;
  /** Bun has closed the socket. */
  #gone = false;

  /** Takes the socket over: from now on its events come here. */
  constructor(socket: EventSocket, facts: StreamFacts) {
    super(facts, errors);
    this.#queue = new WriteQueue(facts.highWaterMark);
    this.#socket = socket;
    socket.data = this;
    if (facts.local.kind === "tcp") socket.setNoDelay(true);
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
      // Negative: the socket is closed, and `gone` is about to say so.
      if (taken > 0) rest = bytes.subarray(taken);
    }
    queue.push(rest);
    return queue.isFull ? this.mustWait() : true;
  }

  writable(): void {
    const queue = this.#queue;
    for (let next = queue.peek(); next !== null; next = queue.peek()) {
      const taken = this.#socket.write(next as Uint8Array<ArrayBuffer>);
      if (taken > 0) queue.consume(taken);
      if (taken < next.length) return;
    }
    if (this.state === "ending") this.shutDown();
    else this.drained();
  }

  gone(cause: Error | undefined): void {
    this.#gone = true;
    if (cause !== undefined) this.failed(cause);
    else if (this.state !== "destroyed") this.#closed();
  }

  /** An orderly end has to wait until the data before it has been taken. */
  protected startReading(): void {
    if (this.#gone) this.#closed();
    else this.#socket.resume();
  }

  protected stopReading(): void {
    this.#socket.pause();
  }

  protected shutDown(): void {
    if (this.#finSent || !this.#queue.isEmpty) return;
    this.#finSent = true;
    // Not `end`: that closes the socket at once, and what the peer still sends makes the system discard our bytes.
    this.#socket.shutdown();
  }

  protected discard(reset: boolean): void {
    // `close` would wait on TLS for a peer that does not read.
    if (reset || !this.#queue.isEmpty) this.#socket.terminate();
    else this.#socket.close();
    this.#queue.clear();
    this.finish();
  }

  #closed(): void {
    // Neither side said so, or bytes are left over: never reported as a clean end.
    if (!this.#finSent) this.lost();
    else if (this.isHolding) return;
    this.#queue.clear();
    this.finish();
  }
}
