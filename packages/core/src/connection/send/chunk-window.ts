import { MAX_CHUNK_BYTES } from "../../limits.ts";

const FIRST_WINDOW_BYTES = 2 * MAX_CHUNK_BYTES;
/** The peer acknowledges this many bytes without a request, and fewer on request. */
export const BYTES_PER_ACK: number = 2 * MAX_CHUNK_BYTES;
/** Fills 1 Gbit/s over a round trip of 130 ms. */
const MAX_WINDOW_BYTES = 16 * 1024 * 1024;
/** Round trips up to this many times the shortest one mean that no queue has built up in the network, so the window may grow. */
const GROW_RATIO = 1.25;
/** Longer round trips mean that a queue has built up, so the window shrinks. */
const SHRINK_RATIO = 2;
/**
 * A queue with this delay is harmless while no small frames wait behind it. Without it, two processes on one machine
 * would wait for each other's acknowledgements: 700 instead of 920 MB/s.
 */
const HARMLESS_MS = 2;

/** Nearer peers get one chunk at a time while small frames are being sent as well, which still allows 64 MB/s. */
const NEAR_MS = 1;

/** Limits the unacknowledged bytes of chunks. */
export class ChunkWindow {
  #size = FIRST_WINDOW_BYTES;
  /** The largest window that has caused no queue in the network; used while small frames are being sent as well. */
  #sharedSize = MAX_CHUNK_BYTES;
  #sent = 0;
  #acknowledged = 0;
  /** Position up to which an acknowledgement was requested. */
  #asked = 0;
  #shortestMs = Number.POSITIVE_INFINITY;
  /** The measured round trip ends when this many bytes are acknowledged; 0 if none is being measured. */
  #probe = 0;
  #probeSentMs = 0;
  /** Whether the window was full during the measured round trip. */
  #wasFull = false;
  /** Whether small frames were sent during the measured round trip. */
  #wasShared = false;

  get size(): number {
    return this.#size;
  }

  /** Whether another chunk may be sent. */
  get hasRoom(): boolean {
    const onTheWay = this.#sent - this.#acknowledged;
    if (onTheWay < this.#size) return true;
    this.#wasFull = true;
    // The window may have shrunk, and the peer has neither been asked nor received enough to acknowledge on its own.
    return onTheWay < BYTES_PER_ACK && this.#asked <= this.#acknowledged;
  }

  /** Whether to request an immediate acknowledgement of the next bytes, because no more can be sent without it. */
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

  /** Handles an acknowledgement. More than was sent counts as everything. */
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
