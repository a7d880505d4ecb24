/**
 * Sends the frames of one connection.
 *
 * While the stream takes bytes, the frames of one turn gather in a segment: a range of the slab, whose end moves as
 * adjacent frames follow. It is written when it has grown large enough, or when the turn ends. Once the stream says
 * stop, frames are copied into a bounded backlog and leave as it drains. A frame with large binary data is written piece
 * by piece; the part that the stream does not take is copied, and goes before all else. Control frames overtake the
 * backlog. While the peer has asked for that, messages and requests are held back, and replies go on.
 */

import type { ByteStream } from "../../bytes/byte-stream.ts";
import { ConduitError, ErrorCode } from "../../errors.ts";
import { HIGH_WATER_RATIO, LOW_WATER_RATIO } from "../../limits.ts";
import { type FrameBytes, FrameCursor } from "../../wire/scattered-frame.ts";
import type { Flushable, RuntimeContext } from "../runtime-context.ts";
import { WaitingFrames } from "./waiting-frames.ts";

/**
 * How a frame travels: `control` (heartbeats, login, CANCEL, flow control) ahead of the backlog, `reply` in order,
 * `message` (messages, requests) in order and held back when the peer asks.
 */
export type Lane = "control" | "reply" | "message";

/** Bytes gathered in one turn before they are written without waiting for its end. */
const MAX_SEGMENT_BYTES = 65_536;
/**
 * The first write of a turn leaves at this size, each further one at twice the size: the peer works on the first replies
 * while the others are made. With 64 calls in flight that doubles the throughput of two cores.
 */
const FIRST_SEGMENT_BYTES = 1024;
/** Large frames are copied in pieces that stay in the processor's caches from the copy to the write. */
const PIECE_BYTES = 512 * 1024;

/** The send queue's connection. */
export interface SendQueueHost {
  readonly context: RuntimeContext;
  readonly stream: ByteStream;
  readonly settings: { readonly sendQueueSize: number; readonly sendQueueBytes: number };
  /** Replies have left: handlers that waited for room may start. */
  sendQueueDrained(): void;
}

export class SendQueue implements Flushable {
  readonly #host: SendQueueHost;
  readonly #stream: ByteStream;
  /** The segment: `#bytes[#start, #end)`; null: this turn has gathered nothing. */
  #bytes: Uint8Array | null = null;
  #start = 0;
  #end = 0;
  /** Ranges of this turn before the segment that are not adjacent to it, and their bytes. */
  #earlier: Uint8Array[] = [];
  #earlierBytes = 0;
  #segmentLimit = FIRST_SEGMENT_BYTES;
  #bytesSent = 0;
  readonly #waiting: WaitingFrames = new WaitingFrames();
  /** Will be flushed at the end of the turn. */
  #isDirty = false;
  /** The stream said stop. */
  #isBlocked = false;
  #isHeld = false;
  #isHeldByPeer = false;
  /** Accepts nothing more. */
  #isEnding = false;
  /** Writes nothing more. */
  #isOver = false;

  constructor(host: SendQueueHost) {
    this.#host = host;
    this.#stream = host.stream;
  }

  /** Bytes handed to the stream so far. */
  get bytesSent(): number {
    return this.#bytesSent;
  }

  /** Frames that wait because the peer does not read, or holds data back. */
  get queuedFrames(): number {
    return this.#waiting.frames;
  }

  /** Bytes accepted here that the operating system has not taken. */
  get bufferedBytes(): number {
    const gathered = this.#bytes === null ? 0 : this.#earlierBytes + this.#end - this.#start;
    return this.#waiting.bytes + gathered + this.#stream.queuedBytes;
  }

  /** At or over the high-water mark: senders should wait. */
  get isCongested(): boolean {
    return this.#fill >= HIGH_WATER_RATIO;
  }

  /**
   * The peer does not read the replies it asked for: no new handlers start. Frames that this side sends on its own
   * account do not count, or two peers that both send as fast as they can would wait for each other to read.
   */
  get hasUnreadReplies(): boolean {
    return this.#replyFill >= HIGH_WATER_RATIO;
  }

  /** Replies have reached their bound: further requests are not even read. */
  get isOverwhelmed(): boolean {
    return this.#replyFill >= 1;
  }

  /** Bytes of replies and control frames that wait. */
  get replyBytes(): number {
    return this.#waiting.replyBytes;
  }

  /** Keeps everything back until `release`. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  get isHeldByPeer(): boolean {
    return this.#isHeldByPeer;
  }

  /** Of messages and calls. Replies have a bound of their own, so that they take no room from senders. */
  get #fill(): number {
    const { sendQueueSize, sendQueueBytes } = this.#host.settings;
    return this.#waiting.fill(sendQueueSize, sendQueueBytes);
  }

  /** Control frames count: a peer that only sends PINGs and never reads must not fill the memory either. */
  get #replyFill(): number {
    const { sendQueueSize, sendQueueBytes } = this.#host.settings;
    return this.#waiting.replyFill(sendQueueSize, sendQueueBytes);
  }

  /**
   * Whether one more message fits. Below the bound a message of any size does, so that a sender that waits for room is
   * never refused; the queue may exceed its bytes by that one.
   */
  get hasRoom(): boolean {
    return this.#fill < 1;
  }

  /** Queues a frame. The caller has asked `hasRoom` for a message or call. */
  push(frame: FrameBytes, lane: Lane): void {
    if (this.#isEnding) return;
    if (frame.large !== null) {
      this.#pushLarge(frame, lane);
      return;
    }
    const { bytes, start, end } = frame;
    if (this.#mustWait(lane)) {
      this.#waiting.park(bytes, start, end, lane, this.#isHeldByPeer);
      return;
    }
    if (this.#bytes === bytes && this.#end === start) {
      this.#end = end;
    } else {
      if (this.#bytes !== null) {
        this.#earlier.push(this.#bytes.subarray(this.#start, this.#end));
        this.#earlierBytes += this.#end - this.#start;
      }
      this.#bytes = bytes;
      this.#start = start;
      this.#end = end;
    }
    this.#markDirty();
    if (this.#earlierBytes + end - this.#start < this.#segmentLimit) return;
    this.#segmentLimit = Math.min(2 * this.#segmentLimit, MAX_SEGMENT_BYTES);
    this.#writeSegment();
  }

  /** Writes the frames that the turn gathered. */
  flush(): void {
    this.#isDirty = false;
    this.#segmentLimit = FIRST_SEGMENT_BYTES;
    this.#writeSegment();
  }

  /** The stream takes bytes again. */
  streamDrained(): void {
    this.#isBlocked = false;
    this.#takeBackLent();
    this.#drain();
  }

  /** Holds everything back until `release`; frames pushed before still leave. */
  hold(): void {
    this.flush();
    this.#isHeld = true;
  }

  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#drain();
  }

  /** The peer asks to hold messages and requests back, or lets them go on. */
  setHeldByPeer(isHeld: boolean): void {
    this.#isHeldByPeer = isHeld;
    if (!isHeld) this.#releaseHeldByPeer();
  }

  /** Resolves when there is room again; at once if there is. Rejects with CONNECTION_CLOSED. */
  waitForRoom(): Promise<void> {
    if (this.#isOver) return Promise.reject(closedError());
    if (!this.isCongested) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiting.waiters.push({ resolve, reject }));
  }

  /** Accepts nothing more; flushes everything, messages held back by the peer included, then closes the stream. */
  end(): void {
    if (this.#isEnding) return;
    this.#isHeld = false;
    this.#isHeldByPeer = false;
    this.#releaseHeldByPeer();
    this.flush();
    this.#isEnding = true;
    this.#drain();
  }

  /** The stream is over: everything that waits is discarded. */
  over(): void {
    this.#isEnding = true;
    this.#isOver = true;
    this.#bytes = null;
    this.#earlier = [];
    // Buffers lent to the stream stay out of the pool: the stream may be discarding them at this moment.
    this.#waiting.lent.length = 0;
    for (const waiter of this.#waiting.waiters.splice(0)) waiter.reject(closedError());
  }

  #mustWait(lane: Lane): boolean {
    return this.#isBlocked || this.#isHeld || (lane === "message" && this.#isHeldByPeer);
  }

  #markDirty(): void {
    if (this.#isDirty) return;
    this.#isDirty = true;
    this.#host.context.markDirty(this);
  }

  /** Writes a frame at once, piece by piece. When this returns, the application may change its data. */
  #pushLarge(frame: FrameBytes, lane: Lane): void {
    const cursor = new FrameCursor(frame);
    const { buffers } = this.#host.context;
    if (this.#mustWait(lane)) {
      const whole = buffers.take(cursor.left);
      this.#waiting.park(whole, 0, cursor.copyTo(whole), lane, this.#isHeldByPeer);
      return;
    }
    // Frames gathered in this turn go first.
    this.flush();
    while (cursor.left > 0 && !this.#isBlocked) {
      const piece = buffers.take(Math.min(cursor.left, PIECE_BYTES));
      this.#writePooled(piece.subarray(0, cursor.copyTo(piece)));
    }
    this.#forgetLent();
    if (cursor.left === 0) return;
    const rest = buffers.take(cursor.left);
    this.#waiting.setRest(rest.subarray(0, cursor.copyTo(rest)), lane !== "message");
  }

  #releaseHeldByPeer(): void {
    if (!this.#waiting.hasHeld) return;
    // Frames gathered before the peer asked to hold back go first.
    this.flush();
    this.#waiting.releaseHeld();
    this.#drain();
  }

  #writeSegment(): void {
    if (this.#bytes === null) return;
    let bytes = this.#host.context.slab.viewOf(this.#bytes, this.#start, this.#end);
    this.#bytes = null;
    if (this.#earlier.length > 0) {
      bytes = concat([...this.#earlier, bytes]);
      this.#earlier = [];
      this.#earlierBytes = 0;
    }
    this.#write(bytes);
  }

  #write(bytes: Uint8Array): void {
    this.#bytesSent += bytes.length;
    if (!this.#stream.write(bytes)) this.#isBlocked = true;
    if (this.#stream.queuedBytes > 0) this.#host.context.slab.keep();
  }

  /** Writes memory of the pool, which gets it back when the stream no longer refers to it. */
  #writePooled(bytes: Uint8Array): void {
    this.#write(bytes);
    this.#waiting.lent.push(bytes);
    this.#takeBackLent();
  }

  /** Gives lent buffers back to the pool, unless the stream said stop: then it may still refer to them. */
  #takeBackLent(): void {
    const { lent } = this.#waiting;
    if (lent.length === 0 || this.#isBlocked || this.#stream.queuedBytes > 0) return;
    for (const bytes of lent) this.#host.context.buffers.give(bytes);
    lent.length = 0;
  }

  /** The stream may refer to lent buffers and will not say when it no longer does: the garbage collector gets them. */
  #forgetLent(): void {
    if (!this.#isBlocked) this.#waiting.lent.length = 0;
  }

  #drain(): void {
    const waiting = this.#waiting;
    while (!this.#isBlocked && !this.#isHeld && !this.#isOver) {
      const next = waiting.shift();
      if (next === null) break;
      if (this.#host.context.buffers.owns(next)) this.#writePooled(next);
      else this.#write(next);
    }
    this.#forgetLent();
    if (this.#isOver) return;
    if (this.#isEnding && waiting.isEmpty) {
      this.#isOver = true;
      // Flushes the bytes that the stream itself still holds; the connection's timer ends a stream that cannot.
      void this.#stream.close();
      return;
    }
    if (waiting.waiters.length > 0 && this.#fill <= LOW_WATER_RATIO) {
      for (const waiter of waiting.waiters.splice(0)) waiter.resolve();
    }
    if (this.#replyFill <= LOW_WATER_RATIO) this.#host.sendQueueDrained();
  }
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let position = 0;
  for (const part of parts) {
    whole.set(part, position);
    position += part.length;
  }
  return whole;
}

function closedError(): ConduitError {
  return new ConduitError(ErrorCode.CONNECTION_CLOSED, "The connection closed");
}
