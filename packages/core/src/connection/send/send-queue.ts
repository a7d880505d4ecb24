/**
 * Sends the frames of one connection.
 *
 * While the stream accepts bytes, the frames of one turn are collected in a segment: a range of the slab that grows
 * with each adjacent frame. It is written when it is large enough, or at the end of the turn. When the stream is full,
 * frames are copied into a bounded backlog and leave as it drains. A frame with large binary data is written in pieces;
 * the part that the stream doesn't accept is copied and goes before everything else. Control frames overtake the
 * backlog. Messages and requests are held back while the peer's credit is used up, or after its PAUSE; replies continue.
 *
 * For a peer that takes chunks, frames of more than 64 KiB become `LargeFrames`, which share the stream with the backlog.
 *
 * A request that waits can be withdrawn. Credit is spent when a frame enters the backlog, and given back when it is
 * withdrawn from there.
 */

import type { ByteStream } from "../../bytes/byte-stream.ts";
import type { Flushable, RuntimeContext } from "../../context/runtime-context.ts";
import { ConduitError, ErrorCode } from "../../errors.ts";
import { HEADER_BYTES, HIGH_WATER_RATIO, LOW_WATER_RATIO } from "../../limits.ts";
import { Flag, FrameType } from "../../wire/constants.ts";
import { writeHeader } from "../../wire/frame-writer.ts";
import { type FrameBytes, FrameCursor, frameLength } from "../../wire/scattered-frame.ts";
import type { Lane } from "./lane.ts";
import { isOrdered, LargeFrame, MAX_WHOLE_FRAME_BYTES } from "./large-frame.ts";
import { type ChunkLimits, LargeFrames } from "./large-frames.ts";
import { UnsentRequest } from "./send-backlog.ts";
import type { SendCredit } from "./send-credit.ts";
import { WaitingFrames } from "./waiting-frames.ts";

/** Bytes collected in one turn that are written without waiting for its end. */
const MAX_SEGMENT_BYTES = 65_536;
/**
 * Size of the first write in a turn; each further one is twice as large. The peer processes the first replies while the
 * others are created. With 64 calls in flight this doubles the throughput on two cores.
 */
const FIRST_SEGMENT_BYTES = 1024;
/** Large frames are copied in pieces small enough to stay in the CPU's caches until they are written. */
const PIECE_BYTES = 512 * 1024;

/** Offset of the flags, two bytes, in a frame's header. */
const FLAGS_OFFSET = 8;

/** The send queue's connection. */
export interface SendQueueHost {
  readonly context: RuntimeContext;
  readonly stream: ByteStream;
  readonly settings: { readonly sendQueueSize: number; readonly sendQueueBytes: number };
  /** Whether requests contain `timeout_ms`. */
  readonly usesDeadlines: boolean;
  /** Replies were sent; handlers waiting for room may start. */
  sendQueueDrained(): void;
  /** Messages and requests wait for the peer's permission, or no longer do; or all large frames have left. */
  heldChanged(): void;
}

/** The caller of a request, which may withdraw it while it waits. */
export interface RequestOwner {
  /** Set while the request waits in the queue. */
  unsent: UnsentRequest | null;
  /** 0 for none. Its frame contains it if the connection uses deadlines. */
  readonly timeoutMs: number;
}

/** Shared by all send queues in which nothing waits, and never changed. */
const NOTHING: WaitingFrames = new WaitingFrames(null);

export class SendQueue implements Flushable {
  readonly #host: SendQueueHost;
  readonly #stream: ByteStream;
  /** The segment is `#bytes[#start, #end)`; null if this turn has collected nothing. */
  #bytes: Uint8Array | null = null;
  #start = 0;
  #end = 0;
  /** Earlier ranges of this turn that aren't adjacent to the segment, and their total bytes. */
  #earlier: Uint8Array[] | null = null;
  #earlierBytes = 0;
  #segmentLimit = FIRST_SEGMENT_BYTES;
  #bytesSent = 0;
  /** Shared while nothing waits: an idle connection is a kibibyte smaller. */
  #waiting: WaitingFrames = NOTHING;
  /** Whether a flush is scheduled for the end of the turn. */
  #isDirty = false;
  /** Whether the stream is full. */
  #isBlocked = false;
  #isHeld = false;
  /** Whether the peer sent PAUSE. */
  #isPausedByPeer = false;
  /** Null if the peer grants no credit: messages and requests need none. */
  #credit: SendCredit | null = null;
  /** Null if the peer takes no chunks. */
  #chunkLimits: ChunkLimits | null = null;
  /** Made with the first frame that leaves in chunks. */
  #large: LargeFrames | null = null;
  /** Whether new frames are ignored. */
  #isEnding = false;
  /** Whether the stream has ended. */
  #isOver = false;

  constructor(host: SendQueueHost) {
    this.#host = host;
    this.#stream = host.stream;
  }

  /** Pool buffers that the stream may still refer to. */
  get lentBuffers(): number {
    return this.#waiting.lent.length;
  }

  /** Bytes written to the stream so far. */
  get bytesSent(): number {
    return this.#bytesSent;
  }

  /** Frames that wait because the peer doesn't read, or asked this side to hold back data. */
  get queuedFrames(): number {
    return this.#waiting.frames;
  }

  /** Bytes accepted here that the operating system hasn't accepted yet. */
  get bufferedBytes(): number {
    const gathered = this.#bytes === null ? 0 : this.#earlierBytes + this.#end - this.#start;
    return this.#waiting.bytes + gathered + this.#stream.queuedBytes;
  }

  /** Whether the queue is at its high-water mark, so senders should wait. */
  get isCongested(): boolean {
    return this.#fill >= HIGH_WATER_RATIO;
  }

  /**
   * Whether the peer doesn't read its replies, so that no new handlers start. Messages and requests don't count;
   * otherwise two peers that both send at full speed would wait for each other to read.
   */
  get hasUnreadReplies(): boolean {
    return this.#replyFill >= HIGH_WATER_RATIO;
  }

  /** Whether replies have reached their limit, so that no further requests are read. */
  get isOverwhelmed(): boolean {
    return this.#replyFill >= 1;
  }

  /** Bytes of queued replies and control frames. */
  get replyBytes(): number {
    return this.#waiting.replyBytes;
  }

  /** Whether all frames are held back until `release`. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Whether the peer sent PAUSE, or messages and requests wait for its credit. */
  get isHeldByPeer(): boolean {
    return this.#isPausedByPeer || this.#waiting.hasHeld;
  }

  /** Whether messages and requests wait for the peer's permission. */
  get hasHeld(): boolean {
    return this.#waiting.hasHeld;
  }

  /** Whether frames leave in chunks, or wait behind such a frame. The peer must acknowledge what it receives. */
  get hasLarge(): boolean {
    return this.#waiting.hasLarge;
  }

  /** Whether control frames wait for the stream. */
  get hasWaitingControl(): boolean {
    return this.#waiting.hasControl;
  }

  /** Whether a request sent now would wait. */
  get delaysRequests(): boolean {
    return this.#isBlocked || this.#isHeld || !this.#mayPass;
  }

  /** Limits for messages and calls. Replies have their own limit, so that they take no room from senders. */
  get #fill(): number {
    if (this.#waiting === NOTHING) return 0;
    const { sendQueueSize, sendQueueBytes } = this.#host.settings;
    return this.#waiting.fill(sendQueueSize, sendQueueBytes);
  }

  /** Control frames count too, because a peer could send PINGs without reading the replies. */
  get #replyFill(): number {
    if (this.#waiting === NOTHING) return 0;
    const { sendQueueSize, sendQueueBytes } = this.#host.settings;
    return this.#waiting.replyFill(sendQueueSize, sendQueueBytes);
  }

  /**
   * Whether a message fits. Below the limit a message of any size fits, so that a sender that waited for room is
   * never refused; the queue may exceed its byte limit by that message.
   */
  hasRoomFor(frame: FrameBytes): boolean {
    if (this.#waiting === NOTHING) return true;
    if (this.#isLarge(frame)) return this.#fill < 1;
    const { sendQueueSize, sendQueueBytes } = this.#host.settings;
    return this.#waiting.smallFill(sendQueueSize, sendQueueBytes) < 1;
  }

  /**
   * Queues a frame. For messages and calls, the caller must check `hasRoomFor` first.
   * @param owner of a request, which may withdraw it
   */
  push(frame: FrameBytes, lane: Lane, owner: RequestOwner | null = null): void {
    if (this.#isEnding) return;
    const { bytes, start, end } = frame;
    if (frame.large !== null || end - start > MAX_WHOLE_FRAME_BYTES) {
      if (this.#isLarge(frame)) {
        this.#pushInChunks(frame, lane, owner);
        return;
      }
      if (frame.large !== null) {
        this.#pushScattered(frame, lane, owner);
        return;
      }
    }
    if (this.#mustWait(lane)) {
      this.#park(bytes, start, end, lane, owner);
      return;
    }
    if (this.#large !== null && lane === "message" && this.#large.hasOrdered && isOrdered(bytes, start)) {
      this.#park(bytes, start, end, lane, owner);
      this.#drain();
      return;
    }
    if (lane === "message") this.#credit?.spend(end - start);
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
    this.#markDirty();
    if (this.#earlierBytes + end - this.#start < this.#segmentLimit) return;
    this.#segmentLimit = Math.min(2 * this.#segmentLimit, MAX_SEGMENT_BYTES);
    this.#writeSegment();
  }

  /** Writes the frames collected in this turn. */
  flush(): void {
    this.#isDirty = false;
    this.#segmentLimit = FIRST_SEGMENT_BYTES;
    this.#writeSegment();
  }

  /** The stream accepts bytes again. */
  streamDrained(): void {
    this.#isBlocked = false;
    this.#takeBackLent();
    this.#drain();
  }

  /** Holds back all new frames until `release`; earlier frames still leave. */
  hold(): void {
    this.flush();
    this.#isHeld = true;
  }

  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#drain();
  }

  /** Messages and requests need the peer's credit from now on. */
  useCredit(credit: SendCredit): void {
    this.#credit = credit;
  }

  /** Large frames leave in chunks from now on. */
  useChunks(limits: ChunkLimits): void {
    this.#chunkLimits = limits;
  }

  /** The peer has received this many more bytes of chunks. */
  chunksAcknowledged(bytes: number): void {
    if (this.#large === null) return;
    this.#large.acknowledged(bytes);
    // Frames collected in this turn go first.
    this.flush();
    this.#drain();
  }

  /** The peer returned credit. */
  addCredit(frames: number, bytes: number): void {
    this.#credit?.add(frames, bytes);
    this.#releaseHeld();
  }

  /** The peer sent PAUSE or RESUME. */
  setPausedByPeer(isPaused: boolean): void {
    this.#isPausedByPeer = isPaused;
    if (!isPaused) this.#releaseHeld();
  }

  /** Removes a request that waits. Returns false if it has left. */
  withdraw(owner: RequestOwner): boolean {
    const request = owner.unsent;
    owner.unsent = null;
    if (request === null) return false;
    if (this.#isOver) return request.large !== null || request.block !== null;
    if (request.large !== null) {
      this.#withdrawLarge(request.large);
      return true;
    }
    if (request.block === null) return false;
    const { hasHeld: wasHeld, hasLarge: hadLarge } = this;
    const { length } = request;
    if (this.#waiting.withdraw(request)) {
      this.#credit?.add(1, length);
      this.#releaseHeld();
    }
    this.#drain();
    if ((wasHeld && !this.hasHeld) || (hadLarge && !this.hasLarge)) this.#host.heldChanged();
    return true;
  }

  /** The peer reads no more messages and requests: drops those that wait for its permission, and all in chunks. */
  dropHeld(): void {
    const hadHeld = this.#waiting.hasHeld;
    this.#large?.close();
    if (this.#waiting !== NOTHING) this.#waiting.dropHeld();
    if (hadHeld) this.#host.heldChanged();
  }

  #withdrawLarge(frame: LargeFrame): void {
    const large = this.#large as LargeFrames;
    const { length } = frame;
    const id = large.remove(frame);
    if (id === 0) {
      this.#credit?.add(1, length);
      this.#releaseHeld();
    } else {
      const abort = new Uint8Array(HEADER_BYTES);
      writeHeader(abort, 0, FrameType.CHUNK, 0, id, this.#host.context.wallClock());
      this.push({ bytes: abort, start: 0, end: HEADER_BYTES, large: null }, "control");
    }
    this.#drain();
    if (!this.hasLarge) this.#host.heldChanged();
  }

  /** Resolves when the queue has room, immediately if it has. Rejects with CONNECTION_CLOSED. */
  waitForRoom(): Promise<void> {
    if (this.#isOver) return Promise.reject(closedError());
    if (!this.isCongested) return Promise.resolve();
    return new Promise((resolve, reject) => this.#wait().waiters.push({ resolve, reject }));
  }

  /** Ignores new frames, flushes everything and closes the stream. */
  end(): void {
    if (this.#isEnding) return;
    this.#isHeld = false;
    this.flush();
    this.#isEnding = true;
    this.#drain();
  }

  /** The stream has ended; discards everything. */
  over(): void {
    this.#isEnding = true;
    this.#isOver = true;
    this.#bytes = null;
    this.#earlier = null;
    // Don't return lent buffers to the pool, because the stream may still be using them.
    this.#waiting.lent.length = 0;
    // Its requests stay as they are: a caller learns that its call was not sent completely.
    this.#large = null;
    for (const waiter of this.#waiting.waiters.splice(0)) waiter.reject(closedError());
    // The application may keep the connection: what waited is garbage now.
    if (this.#waiting !== NOTHING) this.#waiting = NOTHING;
  }

  #mustWait(lane: Lane): boolean {
    return this.#isBlocked || this.#isHeld || (lane === "message" && !this.#mayPass);
  }

  /** Whether the peer permits messages and requests now, and none wait for that. */
  get #mayPass(): boolean {
    if (this.#isPausedByPeer || this.#credit?.isOpen === false) return false;
    return this.#waiting === NOTHING || !this.#waiting.hasHeld;
  }

  #park(bytes: Uint8Array, start: number, end: number, lane: Lane, owner: RequestOwner | null): void {
    const waiting = this.#wait();
    if (lane !== "message") {
      waiting.park(bytes, start, end, lane);
      return;
    }
    const isHeld = !this.#mayPass;
    if (!isHeld) this.#credit?.spend(end - start);
    if (owner !== null) {
      owner.unsent = waiting.addRequest(bytes, start, end, this.#expiryOf(owner, bytes, start), isHeld);
    } else if (isHeld) {
      waiting.hold(bytes, start, end);
    } else {
      waiting.park(bytes, start, end, lane);
    }
    if (isHeld) this.#host.heldChanged();
  }

  /** When the caller of a request gives up; 0 if its frame has no `timeout_ms` that can be set. */
  #expiryOf({ timeoutMs }: RequestOwner, bytes: Uint8Array, start: number): number {
    const { context, usesDeadlines } = this.#host;
    const hasTimeout = timeoutMs > 0 && usesDeadlines && !isCompressed(bytes, start);
    return hasTimeout ? context.runtime.now() + timeoutMs : 0;
  }

  /** Whether a frame leaves in chunks. */
  #isLarge(frame: FrameBytes): boolean {
    return this.#chunkLimits !== null && frameLength(frame) > MAX_WHOLE_FRAME_BYTES;
  }

  /** Starts to send a frame in chunks. After this, the application may change its data. */
  #pushInChunks(frame: FrameBytes, lane: Lane, owner: RequestOwner | null): void {
    const { context } = this.#host;
    if (this.#large === null) {
      this.#large = new LargeFrames(context, this.#chunkLimits as ChunkLimits);
      if (this.#waiting !== NOTHING) this.#waiting.large = this.#large;
    }
    const isBehind = this.#large.hasOrdered && lane === "message" && isOrdered(frame.bytes, frame.start);
    if (this.#mustWait(lane) || isBehind) {
      this.#parkWhole(frame, lane, owner);
      if (isBehind) this.#drain();
      return;
    }
    const length = frameLength(frame);
    if (lane === "message") this.#credit?.spend(length);
    let request: UnsentRequest | null = null;
    if (owner !== null) {
      request = new UnsentRequest(null, 0, length, this.#expiryOf(owner, frame.bytes, frame.start));
      owner.unsent = request;
    }
    const large = new LargeFrame(frame, lane !== "message", request);
    const isScattered = frame.large !== null;
    // Frames collected in this turn go first.
    this.flush();
    this.#wait();
    this.#large.add(large);
    const now = context.runtime.now();
    while (!this.#isBlocked) {
      const chunks = this.#large.shift(now, true);
      if (chunks === null) break;
      this.#writePooled(chunks);
    }
    if (isScattered) this.#large.detach(large);
    this.#forgetLent();
    if (this.#waiting.isUnused) this.#waiting = NOTHING;
  }

  /** Copies a frame with large data. */
  #parkWhole(frame: FrameBytes, lane: Lane, owner: RequestOwner | null): void {
    if (frame.large === null) {
      this.#park(frame.bytes, frame.start, frame.end, lane, owner);
      return;
    }
    const cursor = new FrameCursor(frame);
    const whole = this.#host.context.buffers.take(cursor.left);
    this.#park(whole, 0, cursor.copyTo(whole), lane, owner);
  }

  #markDirty(): void {
    if (this.#isDirty) return;
    this.#isDirty = true;
    this.#host.context.markDirty(this);
  }

  /** Writes a frame immediately, in pieces. After this, the application may change its data. */
  #pushScattered(frame: FrameBytes, lane: Lane, owner: RequestOwner | null): void {
    const { buffers } = this.#host.context;
    if (this.#mustWait(lane)) {
      this.#parkWhole(frame, lane, owner);
      return;
    }
    if (this.#large?.hasOrdered === true && lane === "message" && isOrdered(frame.bytes, frame.start)) {
      this.#parkWhole(frame, lane, owner);
      this.#drain();
      return;
    }
    const cursor = new FrameCursor(frame);
    if (lane === "message") this.#credit?.spend(cursor.left);
    // Frames collected in this turn go first.
    this.flush();
    while (cursor.left > 0 && !this.#isBlocked) {
      const piece = buffers.take(Math.min(cursor.left, PIECE_BYTES));
      this.#writePooled(piece.subarray(0, cursor.copyTo(piece)));
    }
    this.#forgetLent();
    if (cursor.left === 0) return;
    const rest = buffers.take(cursor.left);
    this.#wait().setRest(rest.subarray(0, cursor.copyTo(rest)), lane !== "message");
  }

  #releaseHeld(): void {
    if (!this.#waiting.hasHeld || this.#isPausedByPeer) return;
    // Frames collected before the peer's permission go first.
    this.flush();
    this.#waiting.releaseHeld(this.#credit);
    const hasHeld = this.#waiting.hasHeld;
    this.#drain();
    if (!hasHeld) this.#host.heldChanged();
  }

  #writeSegment(): void {
    if (this.#bytes === null) return;
    let bytes = this.#host.context.slab.viewOf(this.#bytes, this.#start, this.#end);
    this.#bytes = null;
    if (this.#earlier !== null) {
      bytes = concat([...this.#earlier, bytes]);
      this.#earlier = null;
      this.#earlierBytes = 0;
    }
    this.#write(bytes);
  }

  #write(bytes: Uint8Array): void {
    this.#bytesSent += bytes.length;
    if (!this.#stream.write(bytes)) this.#isBlocked = true;
    if (this.#stream.queuedBytes > 0) this.#host.context.slab.keep();
  }

  /** Writes a buffer of the pool, and returns it to the pool when the stream no longer refers to it. */
  #writePooled(bytes: Uint8Array): void {
    this.#write(bytes);
    this.#wait().lent.push(bytes);
    this.#takeBackLent();
  }

  /** Returns lent buffers to the pool, unless the stream is full and may still refer to them. */
  #takeBackLent(): void {
    const { lent } = this.#waiting;
    if (lent.length === 0 || this.#isBlocked || this.#stream.queuedBytes > 0) return;
    for (const bytes of lent) this.#host.context.buffers.give(bytes);
    lent.length = 0;
  }

  /** Leaves lent buffers to the garbage collector, because the stream may still refer to them. */
  #forgetLent(): void {
    if (!this.#isBlocked) this.#waiting.lent.length = 0;
  }

  #drain(): void {
    const waiting = this.#waiting;
    const hadLarge = waiting.hasLarge;
    const now = waiting.isEmpty ? 0 : this.#host.context.runtime.now();
    while (!this.#isBlocked && !this.#isHeld && !this.#isOver) {
      const next = waiting.shift(now);
      if (next === null) break;
      if (this.#host.context.buffers.owns(next)) this.#writePooled(next);
      else this.#write(next);
    }
    this.#forgetLent();
    if (this.#isOver) return;
    if (this.#isEnding && waiting.isEmpty) {
      this.#isOver = true;
      // Flushes the stream's own bytes and closes it. The connection's timer aborts a stream that can't flush.
      void this.#stream.close();
      return;
    }
    if (waiting.waiters.length > 0 && this.#fill <= LOW_WATER_RATIO) {
      for (const waiter of waiting.waiters.splice(0)) waiter.resolve();
    }
    if (waiting.isUnused) this.#waiting = NOTHING;
    if (hadLarge && !waiting.hasLarge) this.#host.heldChanged();
    if (this.#replyFill <= LOW_WATER_RATIO) this.#host.sendQueueDrained();
  }

  /** For what is about to wait. */
  #wait(): WaitingFrames {
    if (this.#waiting === NOTHING) this.#waiting = new WaitingFrames(this.#large);
    return this.#waiting;
  }
}

/** Whether the payload of the frame at `start` is compressed. */
function isCompressed(bytes: Uint8Array, start: number): boolean {
  return ((bytes[start + FLAGS_OFFSET + 1] as number) & Flag.COMPRESSED) !== 0;
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
