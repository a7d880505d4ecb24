/**
 * Everything that leaves one connection.
 *
 * While the stream takes bytes, frames of one turn gather in a segment (a range of the writer's slab; adjacent frames
 * only move its end) that is written when it has grown large enough, or when the turn settles. Once the stream says
 * stop, frames are copied into a bounded backlog and go out as it drains. A frame with large binary data is written
 * piece by piece; what the stream does not take of it is copied, and goes before all else. PONGs overtake the backlog.
 * While the peer has sent PAUSE, messages and requests wait apart and replies go on.
 */

import type { ByteStream } from "../../bytes/byte-stream.ts";
import { ConduitError, ErrorCode } from "../../errors.ts";
import { HIGH_WATER_RATIO, LOW_WATER_RATIO } from "../../limits.ts";
import { type FrameBytes, FrameCursor } from "../../wire/scattered-frame.ts";
import type { Flushable, RuntimeContext } from "../runtime-context.ts";
import { SendLanes } from "./lanes.ts";

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

/** What all outboxes of one server or client share. */
export interface SendQueueHost {
  readonly runtimeContext: RuntimeContext;
  readonly settings: { readonly sendQueueSize: number; readonly sendQueueBytes: number };
}

/** What an sendQueue tells its link. */
export interface SendQueueOwner {
  /** Kept by the sendQueue. False: nothing waits in it, and what asks about that need not be asked. */
  hasBacklog: boolean;
  /** Answers have left: handlers that waited for room may start. */
  sendQueueDrained(): void;
}

/** Flags of an sendQueue. One field for all of them, as there are many outboxes. */
/** It has something for the end of the turn. */
const DIRTY = 1;
/** The stream said stop. */
const BLOCKED = 2;
/** Its link holds it. */
const HELD = 4;
/** The peer said PAUSE. */
const PEER_PAUSED = 8;
/** Nothing more is accepted. */
const ENDING = 16;
/** Nothing more is written. */
const OVER = 32;

/** What the turn gathered before its present segment. */
interface Earlier {
  readonly parts: Uint8Array[];
  bytes: number;
}

export class SendQueue implements Flushable {
  #bytes: Uint8Array | null = null;
  #start = 0;
  #end = 0;
  #flags = 0;
  #segmentBytes = FIRST_SEGMENT_BYTES;
  /** Ranges of this turn that are not adjacent to the segment. */
  #earlier: Earlier | null = null;
  /** Bytes handed to the stream so far. */
  bytesSent = 0;
  readonly #stream: ByteStream;
  readonly #owner: SendQueueOwner;
  readonly #terms: SendQueueHost;
  /** Null: nothing waits, which holds for most connections at most times. */
  #waiting: SendLanes | null = null;

  constructor(terms: SendQueueHost, stream: ByteStream, owner: SendQueueOwner) {
    this.#terms = terms;
    this.#stream = stream;
    this.#owner = owner;
  }

  /** Frames that wait because the peer does not read, or said PAUSE. */
  get queuedFrames(): number {
    return this.#waiting === null ? 0 : this.#waiting.frames;
  }

  /** Bytes accepted here that the operating system has not taken. */
  get bufferedBytes(): number {
    const gathered = this.#bytes === null ? 0 : (this.#earlier?.bytes ?? 0) + this.#end - this.#start;
    return (this.#waiting?.bytes ?? 0) + gathered + this.#stream.queuedBytes;
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

  /** Of messages and calls. Answers have a bound of their own, so that they take no room from whoever waits for it. */
  get #fill(): number {
    if (this.#waiting === null) return 0;
    const { sendQueueSize, sendQueueBytes } = this.#terms.settings;
    return this.#waiting.fill(sendQueueSize, sendQueueBytes);
  }

  /** PONGs and the like count: a peer that only sends PINGs and never reads must not fill the memory either. */
  get #answerFill(): number {
    if (this.#waiting === null) return 0;
    const { sendQueueSize, sendQueueBytes } = this.#terms.settings;
    return this.#waiting.answerFill(sendQueueSize, sendQueueBytes);
  }

  /** As many bytes of answers wait as may, and `spareBytes` more. */
  isOverwhelmedBy(spareBytes: number): boolean {
    const answerBytes = this.#waiting === null ? 0 : this.#waiting.answerBytes + this.#waiting.urgentBytes;
    return answerBytes >= this.#terms.settings.sendQueueBytes + spareBytes;
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
    if ((this.#flags & ENDING) !== 0) return;
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
      if (this.#bytes !== null) this.#setAside(this.#bytes.subarray(this.#start, this.#end));
      this.#bytes = bytes;
      this.#start = start;
      this.#end = end;
    }
    const earlierBytes = this.#earlier === null ? 0 : this.#earlier.bytes;
    if (earlierBytes + end - this.#start >= this.#segmentBytes) {
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

  #setAside(part: Uint8Array): void {
    this.#earlier ??= { parts: [], bytes: 0 };
    this.#earlier.parts.push(part);
    this.#earlier.bytes += part.length;
  }

  #markDirty(): void {
    if ((this.#flags & DIRTY) !== 0) return;
    this.#flags |= DIRTY;
    this.#terms.runtimeContext.markDirty(this);
  }

  /** Writes what the turn gathered. */
  flush(): void {
    this.#flags &= ~DIRTY;
    this.#segmentBytes = FIRST_SEGMENT_BYTES;
    if (this.#bytes !== null) this.#writeSegment();
  }

  /** The stream takes bytes again. */
  streamDrained(): void {
    this.#flags &= ~BLOCKED;
    this.#takeBack();
    this.#drain();
  }

  /** While held, nothing leaves; it is queued. */
  hold(): void {
    this.flush();
    this.#flags |= HELD;
  }

  release(): void {
    if ((this.#flags & HELD) === 0) return;
    this.#flags &= ~HELD;
    this.#drain();
  }

  /** The peer said PAUSE or RESUME. */
  setPeerPaused(paused: boolean): void {
    if (paused) this.#flags |= PEER_PAUSED;
    else this.#flags &= ~PEER_PAUSED;
    if (!paused) this.#unstop();
  }

  /** Resolves when there is room again; at once if there is. Rejects with CONNECTION_CLOSED. */
  room(): Promise<void> {
    if ((this.#flags & OVER) !== 0) return Promise.reject(closedError());
    if (!this.isCongested) return Promise.resolve();
    return new Promise((resolve, reject) => this.#wait().waiters.push({ resolve, reject }));
  }

  /** Accepts nothing more; flushes all, messages stopped by PAUSE included, then closes the stream. */
  end(): void {
    if ((this.#flags & ENDING) !== 0) return;
    this.#flags &= ~(HELD | PEER_PAUSED);
    this.#unstop();
    this.flush();
    this.#flags |= ENDING;
    this.#drain();
  }

  /** The stream is over: what waits is discarded. */
  over(): void {
    this.#flags |= ENDING | OVER;
    this.#bytes = null;
    this.#earlier = null;
    // Buffers lent to the stream do not go back: it may be discarding them at this moment.
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#owner.hasBacklog = false;
    if (waiting !== null) for (const waiter of waiting.waiters) waiter.reject(closedError());
  }

  #mustWait(lane: Lane): boolean {
    return (this.#flags & (lane === "message" ? BLOCKED | HELD | PEER_PAUSED : BLOCKED | HELD)) !== 0;
  }

  #wait(): SendLanes {
    this.#waiting ??= new SendLanes();
    return this.#waiting;
  }

  /** Writes a frame at once, piece by piece. When this returns, the application may change its data. */
  #pushLarge(frame: FrameBytes, lane: Lane): void {
    // What this turn gathered goes first.
    if (!this.#mustWait(lane)) this.flush();
    const cursor = new FrameCursor(frame);
    const { buffers } = this.#terms.runtimeContext;
    if (this.#mustWait(lane)) {
      const whole = buffers.take(cursor.left);
      this.#park(whole, 0, cursor.copyTo(whole), lane);
      return;
    }
    while (cursor.left > 0 && (this.#flags & BLOCKED) === 0) {
      const piece = buffers.take(Math.min(cursor.left, PIECE_BYTES));
      this.#writePooled(piece.subarray(0, cursor.copyTo(piece)));
    }
    this.#forgetLent();
    if (cursor.left === 0) return;
    this.#owner.hasBacklog = true;
    const rest = buffers.take(cursor.left);
    this.#wait().setRest(rest.subarray(0, cursor.copyTo(rest)), lane !== "message");
  }

  #park(bytes: Uint8Array, start: number, end: number, lane: Lane): void {
    this.#owner.hasBacklog = true;
    this.#wait().park(bytes, start, end, lane, (this.#flags & PEER_PAUSED) !== 0);
  }

  #unstop(): void {
    if (this.#waiting === null || !this.#waiting.hasStopped) return;
    // What this turn gathered before the PAUSE goes first.
    this.flush();
    this.#waiting.unstop();
    this.#drain();
  }

  #writeSegment(): void {
    let view = this.#terms.runtimeContext.view(this.#bytes as Uint8Array, this.#start, this.#end);
    this.#bytes = null;
    if (this.#earlier !== null) {
      view = concat([...this.#earlier.parts, view]);
      this.#earlier = null;
    }
    this.#write(view);
  }

  #write(bytes: Uint8Array): void {
    this.bytesSent += bytes.length;
    if (!this.#stream.write(bytes)) this.#flags |= BLOCKED;
    if (this.#stream.queuedBytes > 0) this.#terms.runtimeContext.keepWritten();
  }

  /** Writes memory of the pool, which gets it back when the stream no longer refers to it. */
  #writePooled(bytes: Uint8Array): void {
    this.#write(bytes);
    this.#wait().lent.push(bytes);
    this.#takeBack();
  }

  /** Of a stream that said stop, and may be over, nothing is taken back before it has drained. */
  #takeBack(): void {
    const waiting = this.#waiting;
    if (waiting === null || (this.#flags & BLOCKED) !== 0 || this.#stream.queuedBytes > 0) return;
    for (const bytes of waiting.lent) this.#terms.runtimeContext.buffers.give(bytes);
    waiting.lent.length = 0;
  }

  /** What the stream still refers to, and will not say when it does no more, is left to the garbage collector. */
  #forgetLent(): void {
    const waiting = this.#waiting;
    if (waiting === null || (this.#flags & BLOCKED) !== 0) return;
    waiting.lent.length = 0;
    if (waiting.isIdle) this.#waiting = null;
  }

  #drain(): void {
    const waiting = this.#waiting;
    if (waiting !== null) this.#writeWaiting(waiting);
    if ((this.#flags & OVER) !== 0) return;
    const isEmpty = waiting === null || waiting.isEmpty;
    this.#owner.hasBacklog = !isEmpty || waiting?.hasStopped === true;
    if ((this.#flags & ENDING) !== 0 && isEmpty) {
      this.#flags |= OVER;
      // Flushes what the stream itself still holds; a stream that cannot is destroyed by its connection's timer.
      void this.#stream.close();
      return;
    }
    if (waiting !== null) {
      if (waiting.waiters.length > 0 && this.#fill <= LOW_WATER_RATIO) {
        for (const waiter of waiting.waiters.splice(0)) waiter.resolve();
      }
      if (waiting.isIdle) this.#waiting = null;
    }
    if (this.#answerFill <= LOW_WATER_RATIO) this.#owner.sendQueueDrained();
  }

  #writeWaiting(waiting: SendLanes): void {
    while ((this.#flags & (BLOCKED | HELD | OVER)) === 0) {
      const next = waiting.shift();
      if (next === null) break;
      if (this.#terms.runtimeContext.buffers.owns(next)) this.#writePooled(next);
      else this.#write(next);
    }
    this.#forgetLent();
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
