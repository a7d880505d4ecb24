import { WriteQueue } from "../bytes/write-queue.ts";
import type { SocketErrors } from "./socket-errors.ts";
import { SocketStreamBase } from "./socket-stream-base.ts";
import type { StreamFacts } from "./stream-facts.ts";

/** A socket that takes what it can of a write, and leaves the rest to whoever writes. */
export interface PartialWriteSocket {
  /** @returns how many bytes it took; negative: it is closed, and its owner is about to recordReceive of it */
  write(bytes: Uint8Array<ArrayBuffer>): number;
  pause(): void;
  resume(): void;
  /** Sends FIN, and goes on reading. */
  shutdown(): void;
}

/**
 * A stream on a {@link PartialWriteSocket} that does not end by itself when its peer does (`allowHalfOpen`). The
 * socket's events come to it as to every {@link SocketOwner}.
 */
export class PartialWriteStream<S extends PartialWriteSocket> extends SocketStreamBase {
  readonly #socket: S;
  readonly #discardSocket: (socket: S, mayFlush: boolean) => void;
  /** What the socket has not taken. */
  readonly #queue: WriteQueue;
  #finSent = false;
  /** The socket is closed. */
  #gone = false;

  /** @param discard closes the socket; unless it may flush, the peer must not take that for an orderly end */
  constructor(socket: S, facts: StreamFacts, errors: SocketErrors, discard: (socket: S, mayFlush: boolean) => void) {
    super(facts, errors);
    this.#socket = socket;
    this.#discardSocket = discard;
    this.#queue = new WriteQueue(facts.highWaterMark);
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
    this.#socket.shutdown();
  }

  protected discard(reset: boolean): void {
    // To flush would be to wait, with TLS, for a peer that does not read.
    this.#discardSocket(this.#socket, !reset && this.#queue.isEmpty);
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
