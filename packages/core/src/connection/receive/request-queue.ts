import { Fifo } from "../../util/fifo.ts";
import { type QueuedFrame, wireBytes } from "./queued-frame.ts";

/** Empty places kept before the queue is compacted, because compacting costs time. */
const MIN_EMPTY_PLACES = 16;

/** A frame's place in the queue; empty once the frame is removed. */
interface Place {
  frame: QueuedFrame | null;
}

/** A FIFO of waiting requests and messages, from which each can be removed. */
export class RequestQueue {
  readonly #places: Fifo<Place> = new Fifo();
  /** The frames that weren't removed. */
  readonly #waiting: Map<QueuedFrame, Place> = new Map();
  #bytes = 0;

  get length(): number {
    return this.#waiting.size;
  }

  /** Wire bytes of the frames. */
  get bytes(): number {
    return this.#bytes;
  }

  push(frame: QueuedFrame): void {
    const place = { frame };
    this.#places.push(place);
    this.#waiting.set(frame, place);
    this.#bytes += wireBytes(frame);
  }

  shift(): QueuedFrame | null {
    for (;;) {
      const place = this.#places.shift();
      if (place === undefined) return null;
      const { frame } = place;
      if (frame !== null && this.delete(frame)) return frame;
    }
  }

  /** Removes a frame. Returns false if it isn't queued. */
  delete(frame: QueuedFrame): boolean {
    const place = this.#waiting.get(frame);
    if (place === undefined) return false;
    place.frame = null;
    this.#waiting.delete(frame);
    this.#bytes -= wireBytes(frame);
    if (this.#places.length >= 2 * this.#waiting.size + MIN_EMPTY_PLACES) this.#dropEmptyPlaces();
    return true;
  }

  clear(): void {
    this.#places.clear();
    this.#waiting.clear();
    this.#bytes = 0;
  }

  /** Compacts the queue, which a peer could otherwise grow without limit by cancelling request after request. */
  #dropEmptyPlaces(): void {
    this.#places.clear();
    for (const place of this.#waiting.values()) this.#places.push(place);
  }

  [Symbol.iterator](): IterableIterator<QueuedFrame> {
    return this.#waiting.keys();
  }
}
