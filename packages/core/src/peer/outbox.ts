/**
 * Everything that leaves one connection.
 *
 * While the stream takes bytes, frames of one turn gather in a segment (a range of the writer's slab; adjacent frames
 * only move its end) that is written when it has grown large enough, or when the turn settles. Once the stream says
 * stop, frames are copied into a bounded backlog and go out as it drains. A frame with large binary data is written
 * piece by piece; what the stream does not take of it is copied, and goes before all else. PONGs overtake the backlog.
 * While the peer has sent PAUSE, messages and requests wait apart and replies go on.
 */

import type { ByteStream } from "../bytes/byte-stream.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { HIGH_WATER_RATIO, LOW_WATER_RATIO } from "../limits.ts";
import { type FrameBytes, FrameCursor } from "../wire/scattered-frame.ts";
import { Backlog } from "./backlog.ts";
import type { Engine, Flushable } from "./engine.ts";

/**
 * How a frame travels: `flow` (PAUSE, RESUME, in turns) and `urgent` ahead of the backlog, `reply` in order, `message`
 * in order and stopped by the peer's PAUSE.
 */
export type Lane = "flow" | "urgent" | "reply" | "message";

/** Bytes gathered in one turn before they are written without waiting for its end. */
const MAX_SEGMENT_BYTES = 65_536;
/**
 * The first write of a turn goes out at so many bytes, each further one at twice as many: the peer works on the first
 * replies while the others are made, and a thousand replies are still few writes.
 */
const FIRST_SEGMENT_BYTES = 1024;

/** Large frames are copied so many bytes at a time: they stay in the processor's caches from the copy to the write. */
const PIECE_BYTES = 512 * 1024;

/** What an outbox tells its link. */
export interface OutboxOwner {
  /** Kept by the outbox. False: nothing waits in it, and what asks about that need not be asked. */
  hasBacklog: boolean;
  /** Answers have left: handlers that waited for room may start. */
  outboxDrained(): void;
}

interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

export class Outbox implements Flushable {
  #bytes: Uint8Array | null = null;
  #start = 0;
  #end = 0;
  #earlierBytes = 0;
  #segmentBytes = FIRST_SEGMENT_BYTES;
  #dirty = false;
  #blocked = false;
  #held = false;
  #peerPaused = false;
  #ending = false;
  readonly #engine: Engine;
  readonly #stream: ByteStream;
  /** Earlier ranges of this turn that are not adjacent to the segment. */
  #earlier: Uint8Array[] | null = null;
  /** Bytes handed to the stream so far. */
  bytesSent = 0;
  readonly #owner: OutboxOwner;
  readonly #maxFrames: number;
  readonly #maxBytes: number;
  #over = false;
  #backlog: Backlog | null = null;
  #urgent: Backlog | null = null;
  #stopped: Backlog | null = null;
  /** PAUSE or RESUME that could not leave yet. */
  #flow: Uint8Array | null = null;
  /** What remains of a frame that the stream took in part. */
  #rest: Uint8Array | null = null;
  #restIsAnswer = false;
  /** Buffers of the pool that the stream may still refer to. */
  #lent: Uint8Array[] | null = null;
  #waiters: Waiter[] | null = null;

  constructor(engine: Engine, stream: ByteStream, maxFrames: number, maxBytes: number, owner: OutboxOwner) {
    this.#engine = engine;
    this.#stream = stream;
    this.#maxFrames = maxFrames;
    this.#maxBytes = maxBytes;
    this.#owner = owner;
  }

  /** Frames that wait because the peer does not read, or said PAUSE. */
  get queuedFrames(): number {
    return (this.#backlog?.frames ?? 0) + (this.#stopped?.frames ?? 0) + (this.#rest === null ? 0 : 1);
  }

  /** Bytes accepted here that the operating system has not taken. */
  get bufferedBytes(): number {
    const gathered = this.#bytes === null ? 0 : this.#earlierBytes + this.#end - this.#start;
    return this.#waitingBytes + gathered + this.#stream.queuedBytes;
  }

  /** At or over the high-water mark: senders should wait. */
  get isCongested(): boolean {
    return this.#fill >= HIGH_WATER_RATIO;
  }

  /**
   * The peer asks and does not read the answers: no new handlers start. What this side sends on its own account does
   * not count: two peers that both send as fast as they can would otherwise wait for each other to read.
   */
  get isBackedUp(): boolean {
    return this.#answerFill >= HIGH_WATER_RATIO;
  }

  /** As many answers wait as may: what the peer asks further is not even read. */
  get isOverwhelmed(): boolean {
    return this.#answerFill >= 1;
  }

  get #waitingBytes(): number {
    return (this.#backlog?.bytes ?? 0) + (this.#stopped?.bytes ?? 0) + (this.#rest?.length ?? 0);
  }

  /** Of messages and calls. Answers have a bound of their own, so that they take no room from whoever waits for it. */
  get #fill(): number {
    if (this.#backlog === null && this.#stopped === null && this.#rest === null) return 0;
    const frames = this.queuedFrames - this.#answers;
    const bytes = this.#waitingBytes - this.#answerBytes;
    return Math.max(frames / this.#maxFrames, bytes / this.#maxBytes);
  }

  /** As many bytes of answers wait as may, and `spareBytes` more. */
  isOverwhelmedBy(spareBytes: number): boolean {
    return this.#answerBytes + (this.#urgent?.answerBytes ?? 0) >= this.#maxBytes + spareBytes;
  }

  get #answers(): number {
    return (this.#backlog?.answers ?? 0) + (this.#rest !== null && this.#restIsAnswer ? 1 : 0);
  }

  get #answerBytes(): number {
    return (this.#backlog?.answerBytes ?? 0) + (this.#rest !== null && this.#restIsAnswer ? this.#rest.length : 0);
  }

  /** PONGs and the like count: a peer that only sends PINGs and never reads must not fill the memory either. */
  get #answerFill(): number {
    if (this.#backlog === null && this.#urgent === null && this.#rest === null) return 0;
    const frames = this.#answers + (this.#urgent?.answers ?? 0);
    const bytes = this.#answerBytes + (this.#urgent?.answerBytes ?? 0);
    return Math.max(frames / this.#maxFrames, bytes / this.#maxBytes);
  }

  /**
   * Whether one more message fits. While the bound is not reached a message of any size does, so that whoever waits
   * for room is never refused; the queue may exceed its bytes by that one.
   */
  get accepts(): boolean {
    return this.#fill < 1;
  }

  /** Queues a frame. The caller has asked `accepts` where the lane is bounded. */
  push(frame: FrameBytes, lane: Lane): void {
    if (this.#ending) return;
    if (frame.large !== null) {
      this.#pushLarge(frame, lane);
      return;
    }
    const { bytes, start, end } = frame;
    if (this.#mustWait(lane)) {
      this.#park(bytes, start, end, lane);
      return;
    }
    if (this.#bytes === bytes && this.#end === start) {
      this.#end = end;
    } else {
      if (this.#bytes !== null) {
        this.#earlier ??= [];
        this.#earlier.push(this.#bytes.subarray(this.#start, this.#end));
        this.#earlierBytes += this.#end - this.#start;
      }
      this.#bytes = bytes;
      this.#start = start;
      this.#end = end;
    }
    if (this.#earlierBytes + end - this.#start >= this.#segmentBytes) {
      if (this.#segmentBytes < MAX_SEGMENT_BYTES) {
        // The turn's end has to set it back.
        this.#segmentBytes *= 2;
        this.#markDirty();
      }
      this.#writeSegment();
    } else {
      this.#markDirty();
    }
  }

  #markDirty(): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.#engine.markDirty(this);
  }

  /** Writes what the turn gathered. */
  flush(): void {
    this.#dirty = false;
    this.#segmentBytes = FIRST_SEGMENT_BYTES;
    if (this.#bytes !== null) this.#writeSegment();
  }

  /** The stream takes bytes again. */
  streamDrained(): void {
    this.#blocked = false;
    this.#takeBack();
    this.#drain();
  }

  /** While held, nothing leaves; it is queued. */
  hold(): void {
    this.flush();
    this.#held = true;
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#drain();
  }

  /** The peer said PAUSE or RESUME. */
  setPeerPaused(paused: boolean): void {
    this.#peerPaused = paused;
    if (!paused) this.#unstop();
  }

  /** Resolves when there is room again; at once if there is. Rejects with CONNECTION_CLOSED. */
  room(): Promise<void> {
    if (this.#over) return Promise.reject(closedError());
    if (!this.isCongested) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiters ??= [];
      this.#waiters.push({ resolve, reject });
    });
  }

  /** Accepts nothing more; flushes all, messages stopped by PAUSE included, then closes the stream. */
  end(): void {
    if (this.#ending) return;
    this.#held = false;
    this.#peerPaused = false;
    this.#unstop();
    this.flush();
    this.#ending = true;
    this.#drain();
  }

  /** The stream is over: what waits is discarded. */
  over(): void {
    this.#ending = true;
    this.#over = true;
    this.#bytes = null;
    this.#earlier = null;
    this.#earlierBytes = 0;
    this.#backlog = null;
    this.#urgent = null;
    this.#stopped = null;
    this.#flow = null;
    this.#rest = null;
    // The stream may be discarding them at this moment, so they do not go back.
    this.#lent = null;
    this.#owner.hasBacklog = false;
    const waiters = this.#waiters;
    this.#waiters = null;
    if (waiters !== null) for (const waiter of waiters) waiter.reject(closedError());
  }

  #mustWait(lane: Lane): boolean {
    return this.#blocked || this.#held || (lane === "message" && this.#peerPaused);
  }

  /** Writes a frame at once, piece by piece. When this returns, the application may change its data. */
  #pushLarge(frame: FrameBytes, lane: Lane): void {
    // What this turn gathered goes first.
    if (!this.#mustWait(lane)) this.flush();
    const cursor = new FrameCursor(frame);
    const { buffers } = this.#engine;
    if (this.#mustWait(lane)) {
      const whole = buffers.take(cursor.left);
      this.#park(whole, 0, cursor.copyTo(whole), lane);
      return;
    }
    while (cursor.left > 0 && !this.#blocked) {
      const piece = buffers.take(Math.min(cursor.left, PIECE_BYTES));
      this.#writePooled(piece.subarray(0, cursor.copyTo(piece)));
    }
    this.#forgetLent();
    if (cursor.left === 0) return;
    this.#owner.hasBacklog = true;
    const rest = buffers.take(cursor.left);
    this.#restIsAnswer = lane !== "message";
    this.#rest = rest.subarray(0, cursor.copyTo(rest));
  }

  /** What goes before all else: the rest of a frame that has begun, then PAUSE or RESUME. */
  #takeFirst(): Uint8Array | null {
    const first = this.#rest ?? this.#flow;
    if (this.#rest !== null) this.#rest = null;
    else this.#flow = null;
    return first;
  }

  #park(bytes: Uint8Array, start: number, end: number, lane: Lane): void {
    this.#owner.hasBacklog = true;
    if (lane === "flow") {
      // The peer has not seen the one that waits, so what takes it back leaves everything as it was. However often
      // that happens, one frame waits at most, and it is no answer that the peer does not read.
      this.#flow = this.#flow === null ? bytes.slice(start, end) : null;
    } else if (lane === "urgent") {
      this.#urgent ??= new Backlog();
      this.#urgent.append(bytes, start, end, true);
    } else if (lane === "message" && this.#peerPaused) {
      this.#stopped ??= new Backlog();
      this.#stopped.append(bytes, start, end, false);
    } else {
      this.#backlog ??= new Backlog();
      this.#backlog.append(bytes, start, end, lane === "reply");
    }
  }

  #unstop(): void {
    if (this.#stopped === null) return;
    // What this turn gathered before the PAUSE goes first.
    this.flush();
    this.#backlog ??= new Backlog();
    this.#backlog.take(this.#stopped);
    this.#stopped = null;
    this.#drain();
  }

  #writeSegment(): void {
    let view = this.#engine.view(this.#bytes as Uint8Array, this.#start, this.#end);
    this.#bytes = null;
    if (this.#earlier !== null) {
      this.#earlier.push(view);
      view = concat(this.#earlier);
      this.#earlier = null;
      this.#earlierBytes = 0;
    }
    this.#write(view);
  }

  #write(bytes: Uint8Array): void {
    this.bytesSent += bytes.length;
    if (!this.#stream.write(bytes)) this.#blocked = true;
  }

  /** Writes memory of the pool, which gets it back when the stream no longer refers to it. */
  #writePooled(bytes: Uint8Array): void {
    this.#write(bytes);
    this.#lent ??= [];
    this.#lent.push(bytes);
    this.#takeBack();
  }

  /** Of a stream that said stop, and may be over, nothing is taken back before it has drained. */
  #takeBack(): void {
    if (this.#lent === null || this.#blocked || this.#stream.queuedBytes > 0) return;
    for (const bytes of this.#lent) this.#engine.buffers.give(bytes);
    this.#lent = null;
  }

  /** What the stream still refers to, and will not say when it does no more, is left to the garbage collector. */
  #forgetLent(): void {
    if (!this.#blocked) this.#lent = null;
  }

  #drain(): void {
    while (!this.#blocked && !this.#held && !this.#over) {
      const next = this.#takeFirst() ?? this.#urgent?.shift() ?? this.#backlog?.shift() ?? null;
      if (next === null) break;
      if (this.#engine.buffers.owns(next)) this.#writePooled(next);
      else this.#write(next);
    }
    this.#forgetLent();
    if (this.#backlog !== null && this.#backlog.frames === 0) this.#backlog = null;
    if (this.#urgent !== null && this.#urgent.frames === 0) this.#urgent = null;
    if (this.#over) return;
    const isEmpty = this.#backlog === null && this.#urgent === null && this.#rest === null && this.#flow === null;
    this.#owner.hasBacklog = !isEmpty || this.#stopped !== null;
    if (this.#ending && isEmpty) {
      this.#over = true;
      // Flushes what the stream itself still holds; a stream that cannot is destroyed by its connection's timer.
      void this.#stream.close();
      return;
    }
    if (this.#waiters !== null && this.#fill <= LOW_WATER_RATIO) {
      const waiters = this.#waiters;
      this.#waiters = null;
      for (const waiter of waiters) waiter.resolve();
    }
    if (this.#answerFill <= LOW_WATER_RATIO) this.#owner.outboxDrained();
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
