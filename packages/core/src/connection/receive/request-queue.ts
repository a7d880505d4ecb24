import { Fifo } from "../../util/fifo.ts";
import { type QueuedFrame, wireBytes } from "./queued-frame.ts";

/** A FIFO of requests and messages whose handlers haven't started; each can be removed. */
export class RequestQueue {
  readonly #frames: Fifo<QueuedFrame> = new Fifo();
  /** The frames in {@link #frames} that weren't removed. */
  readonly #waiting: Set<QueuedFrame> = new Set();
  #bytes = 0;

  get length(): number {
    return this.#waiting.size;
  }

  /** Bytes of the frames, as they came. */
  get bytes(): number {
    return this.#bytes;
  }

  push(frame: QueuedFrame): void {
    this.#frames.push(frame);
    this.#waiting.add(frame);
    this.#bytes += wireBytes(frame);
  }

  shift(): QueuedFrame | null {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame === undefined) return null;
      if (this.delete(frame)) return frame;
    }
  }

  /** Removes a frame. Returns false if it isn't queued. */
  delete(frame: QueuedFrame): boolean {
    if (!this.#waiting.delete(frame)) return false;
    this.#bytes -= wireBytes(frame);
    if (this.#waiting.size === 0) this.#frames.clear();
    return true;
  }

  clear(): void {
    this.#frames.clear();
    this.#waiting.clear();
    this.#bytes = 0;
  }

  [Symbol.iterator](): IterableIterator<QueuedFrame> {
    return this.#waiting.values();
  }
}
