import { MAX_CHUNK_BYTES } from "../../limits.ts";

const FIRST_WINDOW_BYTES = 2 * MAX_CHUNK_BYTES;
/** The peer acknowledges so many bytes by itself, and fewer where it is asked to. */
export const BYTES_PER_ACK: number = 2 * MAX_CHUNK_BYTES;
/** Fills 1 Gbit/s over a round trip of 130 ms. */
const MAX_WINDOW_BYTES = 16 * 1024 * 1024;
/** Round trips up to this many times the shortest one mean that nothing queues on the way, so the window may grow. */
const GROW_RATIO = 1.25;
/** Longer ones mean that a queue has built up, so the window shrinks. */
const SHRINK_RATIO = 2;
/**
 * A queue that passes in this time does no harm while no small frames wait for it. Without it, two processes on one
 * machine wait for each other's acknowledgements: 700 instead of 920 MB/s.
 */
const HARMLESS_MS = 2;

/** Nearer peers get one chunk at a time while small frames are sent, too: that is still 64 MB/s. */
const NEAR_MS = 1;

/** How many bytes of chunks may be on their way without an acknowledgement, before one more chunk is sent. */
export class ChunkWindow {
  #size = FIRST_WINDOW_BYTES;
  /** The largest window that has made no queue on the way. Small frames that are sent, too, don't wait behind more. */
  #sharedSize = MAX_CHUNK_BYTES;
  #sent = 0;
  #acknowledged = 0;
  /** The peer was asked to acknowledge everything up to here. */
  #asked = 0;
  #shortestMs = Number.POSITIVE_INFINITY;
  /** The round trip being measured: it ends when this many bytes are acknowledged. 0: none. */
  #probe = 0;
  #probeSentMs = 0;
  /** Whether the window was full since the round trip began. */
  #wasFull = false;
  /** Whether small frames were sent since the round trip began. */
  #wasShared = false;

  get size(): number {
    return this.#size;
  }

  /** Whether another chunk may be sent. */
  get hasRoom(): boolean {
    const onTheWay = this.#sent - this.#acknowledged;
    if (onTheWay < this.#size) return true;
    this.#wasFull = true;
    // The window may have shrunk since, and the peer wasn't asked and hasn't enough to acknowledge it by itself.
    return onTheWay < BYTES_PER_ACK && this.#asked <= this.#acknowledged;
  }

  /** Whether the peer must be asked to acknowledge the next bytes at once, because nothing is sent before it does. */
  mustAsk(bytes: number): boolean {
    return this.#size <= BYTES_PER_ACK && this.#sent + bytes - this.#acknowledged >= this.#size;
  }

  sent(bytes: number, nowMs: number): void {
    if (this.mustAsk(bytes)) this.#asked = this.#sent + bytes;
    this.#sent += bytes;
    if (this.#probe > 0) return;
    this.#probe = this.#sent;
    this.#probeSentMs = nowMs;
    this.#wasFull = false;
    this.#wasShared = false;
  }

  /** A small frame was sent, and more may follow. */
  shared(): void {
    this.#wasShared = true;
    this.#size = Math.min(this.#size, this.#sharedSize);
  }

  /** More than was sent counts as all of it. */
  acknowledged(bytes: number, nowMs: number): void {
    this.#acknowledged = Math.min(this.#sent, this.#acknowledged + bytes);
    if (this.#probe === 0 || this.#acknowledged < this.#probe) return;
    this.#probe = 0;
    this.#measured(nowMs - this.#probeSentMs);
  }

  #measured(roundTripMs: number): void {
    this.#shortestMs = Math.min(this.#shortestMs, roundTripMs);
    if (!this.#wasFull) return;
    const makesNoQueue = roundTripMs <= GROW_RATIO * this.#shortestMs;
    if (makesNoQueue && roundTripMs >= NEAR_MS) this.#sharedSize = Math.max(this.#sharedSize, 2 * this.#size);
    else if (this.#size <= this.#sharedSize) this.#sharedSize = Math.max(this.#sharedSize / 2, MAX_CHUNK_BYTES);
    const harmlessMs = this.#wasShared ? 0 : HARMLESS_MS;
    if (makesNoQueue || roundTripMs <= harmlessMs) this.#size = Math.min(2 * this.#size, MAX_WINDOW_BYTES);
    else if (roundTripMs > SHRINK_RATIO * Math.max(this.#shortestMs, harmlessMs)) this.#size /= 2;
    this.#size = Math.max(this.#size, this.#wasShared ? MAX_CHUNK_BYTES : FIRST_WINDOW_BYTES);
  }
}
