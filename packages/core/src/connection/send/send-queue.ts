/**
 * Decides which of a connection's frames are sent now, and which wait.
 *
 * While the stream accepts bytes, frames go to the `StreamWriter`. When it is full, they are copied into a bounded
 * backlog and sent as it drains. A frame with large binary data is written in pieces; the part that the stream
 * doesn't accept is copied and sent before everything else. Control frames overtake the backlog. Messages and
 * requests are held back while the peer's credit is used up, or after its PAUSE; replies continue.
 *
 * For a peer that supports chunks, frames of more than 64 KiB become `LargeFrames`, which share the stream with the
 * backlog.
 *
 * Waiting frames are sent in fair turns, because a peer that suddenly reads megabytes would otherwise delay all
 * others.
 *
 * A waiting request can be withdrawn. Credit is spent when a frame enters the backlog, and refunded when it is
 * withdrawn from there.
 */

import type { ByteStream } from "../../bytes/byte-stream.ts";
import type { RuntimeContext } from "../../context/runtime-context.ts";
import type { Continuable } from "../../context/turn-queue.ts";
import { ConduitError, ErrorCode } from "../../errors.ts";
import { HIGH_WATER_RATIO, LOW_WATER_RATIO } from "../../limits.ts";
import { Flag } from "../../wire/constants.ts";
import { type FrameBytes, FrameCursor, frameLength } from "../../wire/scattered-frame.ts";
import type { Lane } from "./lane.ts";
import { isOrdered, LargeFrame, MAX_WHOLE_FRAME_BYTES } from "./large-frame.ts";
import { type ChunkLimits, LargeFrames } from "./large-frames.ts";
import { UnsentRequest } from "./send-backlog.ts";
import type { SendCredit } from "./send-credit.ts";
import { StreamWriter } from "./stream-writer.ts";
import { WaitingFrames } from "./waiting-frames.ts";

/** Maximum number of waiting bytes to send in one event loop turn; the system copies them synchronously, in some 0.1 ms. */
const MAX_BYTES_PER_TURN: number = 256 * 1024;
/** Offset of the flags, two bytes, in a frame's header. */
const FLAGS_OFFSET = 8;

/** The send queue's connection. */
export interface SendQueueHost {
  readonly context: RuntimeContext;
  readonly stream: ByteStream;
  readonly settings: { readonly sendQueueSize: number; readonly sendQueueBytes: number };
  /** Updates the count of held bytes, because the stream keeps written bytes. */
  countHeldBytes(): void;
  /** Replies were sent; handlers waiting for room may start. */
  sendQueueDrained(): void;
  /** Messages and requests have started or stopped waiting for the peer's permission, or all large frames have been sent. */
  heldChanged(): void;
}

/** The caller of a request, which may withdraw it while it waits. */
export interface RequestOwner {
  /** Set while the request waits in the queue. */
  unsent: UnsentRequest | null;
  /** `timeout_ms` of its frame; 0 if the frame has none. */
  readonly wireTimeoutMs: number;
}

/** Shared by all send queues in which nothing waits, and never changed. */
const NOTHING: WaitingFrames = new WaitingFrames(null);

export class SendQueue implements Continuable {
  readonly #host: SendQueueHost;
  readonly #writer: StreamWriter;
  /** Shared while nothing waits, which saves a kibibyte per idle connection. */
  #waiting: WaitingFrames = NOTHING;
  #isHeld = false;
  /** Whether the peer sent PAUSE. */
  #isPausedByPeer = false;
  /** Null if the peer doesn't use credit. */
  #credit: SendCredit | null = null;
  /** Null if the peer doesn't support chunks. */
  #chunkLimits: ChunkLimits | null = null;
  /** Created by the first chunked frame. */
  #large: LargeFrames | null = null;
  /** Whether the rest of the waiting frames is sent in a later turn. */
  #isWaitingForTurn = false;
  /** Whether new frames are ignored. */
  #isEnding = false;
  /** Whether the stream has ended. */
  #isOver = false;

  /** Number of frames queued so far, except for control frames. */
  dataFrames = 0;

  constructor(host: SendQueueHost) {
    this.#host = host;
    this.#writer = new StreamWriter(host);
  }

  /** Pool buffers that the stream may still refer to. */
  get lentBuffers(): number {
    return this.#writer.lentBuffers;
  }

  /** Bytes written to the stream so far. */
  get bytesSent(): number {
    return this.#writer.bytesWritten;
  }

  /** Bytes that the operating system has accepted so far. */
  get acceptedBytes(): number {
    return this.#writer.acceptedBytes;
  }

  /** Number of frames waiting because the peer doesn't read, or asked this side to hold back data. */
  get queuedFrames(): number {
    return this.#waiting.frames;
  }

  /** Whether frames wait here. Bytes in the stream don't count. */
  get hasWaiting(): boolean {
    return this.#waiting !== NOTHING;
  }

  /** Bytes accepted here that the operating system hasn't accepted yet. */
  get bufferedBytes(): number {
    return this.#waiting.bytes + this.#waiting.controlBytes + this.#writer.queuedBytes;
  }

  /** Bytes of control frames that wait for the stream. */
  get controlBytes(): number {
    return this.#waiting.controlBytes;
  }

  /** Sent bytes of chunked frames whose memory is kept until the rest is sent. */
  get keptBytes(): number {
    return this.#large?.keptBytes ?? 0;
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

  /** Whether the peer sent PAUSE, or messages and requests wait for its credit. */
  get isHeldByPeer(): boolean {
    return this.#isPausedByPeer || this.hasHeld;
  }

  /** Whether messages and requests wait for the peer's permission. */
  get hasHeld(): boolean {
    return this.#waiting.hasHeld || this.#large?.waitsForCredit === true;
  }

  /** Whether frames are being sent in chunks, which the peer must acknowledge, or wait behind such a frame. */
  get hasLarge(): boolean {
    return this.#waiting.hasLarge;
  }

  /** Whether control frames wait for the stream. */
  get hasWaitingControl(): boolean {
    return this.#waiting.hasControl;
  }

  /** Whether frames that need no permission can be sent now. */
  get canSend(): boolean {
    return !this.#mustWait("reply", null) && !this.#isEnding;
  }

  /** Writes the frames collected in this turn. */
  flush(): void {
    this.#writer.flush();
  }

  /** Whether a request sent now would wait. */
  get delaysRequests(): boolean {
    return this.#mustWait("message", null);
  }

  /** Fill ratio of messages and calls. Replies have a separate limit, so that they don't use up the senders' room. */
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
   * Whether a message fits. Below the limit, a message of any size fits, so that a sender that waited for room is
   * never rejected; the queue may exceed its byte limit by that message.
   */
  hasRoomFor(frame: FrameBytes): boolean {
    if (this.#waiting === NOTHING) return true;
    if (this.#isLarge(frame)) return this.#fill < 1;
    const { sendQueueSize, sendQueueBytes } = this.#host.settings;
    return this.#waiting.smallFill(sendQueueSize, sendQueueBytes) < 1;
  }

  /**
   * Queues a frame. For messages and calls, the caller must check `hasRoomFor` first.
   * @param owner the request's caller, which may withdraw it
   */
  push(frame: FrameBytes, lane: Lane, owner: RequestOwner | null = null): void {
    if (this.#isEnding) return;
    if (lane !== "control") this.dataFrames += 1;
    const { bytes, start, end } = frame;
    const isLarge = this.#isLarge(frame);
    if (isLarge) this.#makeLarge();
    else if (this.#large !== null && lane !== "control") this.#large.shared();
    const mustWait = this.#mustWait(lane, frame);
    if (mustWait || this.#isBehindLarge(frame, lane)) {
      this.#park(frame, lane, owner);
      if (!mustWait) this.#drain();
      return;
    }
    if (lane === "message" && this.#credit?.spend(bytes, start, frameLength(frame)) === false) {
      this.#hold(frame, owner);
      return;
    }
    if (isLarge) this.#sendInChunks(frame, lane, owner);
    else if (frame.large === null) this.#writer.collect(bytes, start, end);
    else this.#sendScattered(frame, lane);
  }

  /** The stream accepts bytes again. */
  streamDrained(): void {
    this.#writer.drained();
    this.#drain();
  }

  /** Holds back all new frames until `release`; earlier frames are still sent. */
  hold(): void {
    this.#writer.flush();
    this.#isHeld = true;
  }

  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#drain();
  }

  /** Makes messages and requests require the peer's credit. */
  useCredit(credit: SendCredit): void {
    this.#credit = credit;
    if (this.#chunkLimits !== null) credit.useChunks();
  }

  /** Enables chunks for large frames. */
  useChunks(limits: ChunkLimits): void {
    this.#chunkLimits = limits;
    this.#credit?.useChunks();
  }

  /** The peer has received this many more bytes of chunks. */
  chunksAcknowledged(bytes: number): void {
    if (this.#large === null) return;
    this.#large.acknowledged(bytes);
    // Frames collected in this turn go first.
    this.#writer.flush();
    this.#drain();
  }

  /** The peer returned credit. */
  addCredit(frames: number, bytes: number): void {
    this.#credit?.add(frames, bytes);
    this.#creditAdded();
  }

  /** The peer sent PAUSE or RESUME. */
  setPausedByPeer(isPaused: boolean): void {
    this.#isPausedByPeer = isPaused;
    if (!isPaused) this.#releaseHeld();
  }

  /** Whether a request, or a part of it, is still waiting. */
  keeps({ unsent }: RequestOwner): boolean {
    return unsent !== null && (unsent.large !== null || unsent.block !== null);
  }

  /** Removes a waiting request. Returns false if it has been sent. */
  withdraw(owner: RequestOwner): boolean {
    const request = owner.unsent;
    const keeps = this.keeps(owner);
    owner.unsent = null;
    if (request === null || !keeps) return false;
    if (this.#isOver) return true;
    const { hasHeld: wasHeld, hasLarge: hadLarge } = this;
    if (request.large !== null) this.#withdrawLarge(request.large);
    else this.#withdrawWaiting(request);
    this.#creditAdded();
    this.#drain();
    if ((wasHeld && !this.hasHeld) || (hadLarge && !this.hasLarge)) this.#host.heldChanged();
    return true;
  }

  /** Drops messages and requests that wait for permission, and all chunked ones, because the peer reads no more of them. */
  dropHeld(): void {
    const hadHeld = this.hasHeld;
    this.#large?.close();
    if (this.#waiting !== NOTHING) this.#waiting.dropHeld();
    if (hadHeld) this.#host.heldChanged();
  }

  #withdrawWaiting(request: UnsentRequest): void {
    const { block, at, length } = request;
    if (block === null) return;
    const keepsPlace = isOrdered(block.bytes, at);
    if (this.#waiting.withdraw(request)) this.#credit?.refund(length, keepsPlace);
  }

  #withdrawLarge(frame: LargeFrame): void {
    const abort = this.#large?.withdraw(frame) ?? null;
    if (abort !== null) this.push({ bytes: abort, start: 0, end: abort.length, large: null }, "control");
  }

  /** Resolves when the queue has room, immediately if it has. Rejects with CONNECTION_CLOSED. */
  waitForRoom(): Promise<void> {
    if (this.#isOver) return Promise.reject(closedError());
    if (!this.isCongested) return Promise.resolve();
    return new Promise((resolve, reject) => this.#wait().waiters.push({ resolve, reject }));
  }

  /** Resolves when a message would be sent immediately, or when the stream has ended. */
  whenPassing(): Promise<void> {
    if (this.#isOver || !this.delaysRequests) return Promise.resolve();
    return new Promise((resolve) => this.#wait().passing.push(resolve));
  }

  #wakePassing(): void {
    if (this.#waiting.passing.length === 0 || (this.delaysRequests && !this.#isOver)) return;
    for (const resolve of this.#waiting.passing.splice(0)) resolve();
  }

  /** Ignores new frames, flushes everything and closes the stream. */
  end(): void {
    if (this.#isEnding) return;
    this.#isHeld = false;
    this.#writer.flush();
    this.#isEnding = true;
    this.#drain();
  }

  /** The stream has ended; discards everything. */
  over(): void {
    this.#isEnding = true;
    this.#isOver = true;
    this.#writer.over();
    // Don't withdraw its requests, so that callers learn that their calls were only partly sent.
    this.#large = null;
    for (const waiter of this.#waiting.waiters.splice(0)) waiter.reject(closedError());
    this.#wakePassing();
    // Release the waiting frames, because the application may keep the connection.
    if (this.#waiting !== NOTHING) this.#waiting = NOTHING;
  }

  /** @param frame null for any ordered frame */
  #mustWait(lane: Lane, frame: FrameBytes | null): boolean {
    return this.#isBlocked || this.#isHeld || (lane === "message" && !this.#mayPass(frame));
  }

  /** Whether the peer permits messages and requests now, and the frame may overtake waiting ones. */
  #mayPass(frame: FrameBytes | null): boolean {
    if (this.#isPausedByPeer || this.#credit?.isOpen === false) return false;
    if (this.#waiting === NOTHING || !this.#waiting.hasHeld) return true;
    // There is credit, so held frames are waiting behind a large message that needs more.
    return frame !== null && !isOrdered(frame.bytes, frame.start);
  }

  /** Whether a frame must wait behind a message that is being sent in chunks. */
  #isBehindLarge({ bytes, start }: FrameBytes, lane: Lane): boolean {
    return this.#large !== null && lane === "message" && this.#large.hasOrdered && isOrdered(bytes, start);
  }

  /** Copies a frame to the waiting ones. After this, the application may change its data. */
  #park(frame: FrameBytes, lane: Lane, owner: RequestOwner | null): void {
    const whole = frame.large === null ? frame : this.#copyOf(frame);
    const { bytes, start, end } = whole;
    if (lane !== "message") {
      this.#wait().park(bytes, start, end, lane);
      return;
    }
    if (!this.#mayPass(whole) || this.#credit?.spend(bytes, start, end - start) === false) this.#hold(whole, owner);
    else if (owner !== null) owner.unsent = this.#addRequest(whole, owner, false);
    else this.#wait().park(bytes, start, end, lane);
  }

  /** Like `#park`, for a message or request that waits for the peer's permission. */
  #hold(frame: FrameBytes, owner: RequestOwner | null): void {
    const whole = frame.large === null ? frame : this.#copyOf(frame);
    if (owner !== null) owner.unsent = this.#addRequest(whole, owner, true);
    else this.#wait().hold(whole.bytes, whole.start, whole.end);
    this.#host.heldChanged();
  }

  #addRequest({ bytes, start, end }: FrameBytes, owner: RequestOwner, isHeld: boolean): UnsentRequest {
    return this.#wait().addRequest(bytes, start, end, this.#expiryOf(owner, bytes, start), isHeld);
  }

  /** When the caller of a request gives up; 0 if its frame has no `timeout_ms` that can be set. */
  #expiryOf({ wireTimeoutMs }: RequestOwner, bytes: Uint8Array, start: number): number {
    const hasTimeout = wireTimeoutMs > 0 && !isCompressed(bytes, start);
    return hasTimeout ? this.#host.context.runtime.now() + wireTimeoutMs : 0;
  }

  /** Whether a frame is to be sent in chunks. */
  #isLarge(frame: FrameBytes): boolean {
    return this.#chunkLimits !== null && frameLength(frame) > MAX_WHOLE_FRAME_BYTES;
  }

  #makeLarge(): void {
    if (this.#large !== null) return;
    this.#large = new LargeFrames(this.#host.context, this.#writer, this.#chunkLimits as ChunkLimits, this.#credit);
    if (this.#waiting !== NOTHING) this.#waiting.large = this.#large;
  }

  /** Starts to send a frame in chunks. After this, the application may change its data. */
  #sendInChunks(frame: FrameBytes, lane: Lane, owner: RequestOwner | null): void {
    let request: UnsentRequest | null = null;
    if (owner !== null) {
      request = new UnsentRequest(null, 0, frameLength(frame), this.#expiryOf(owner, frame.bytes, frame.start));
      owner.unsent = request;
    }
    // Frames collected in this turn go first.
    this.#writer.flush();
    this.#wait();
    this.#large?.send(new LargeFrame(frame, lane !== "message", request));
    this.#writer.forgetLent();
    if (this.#large?.waitsForCredit === true) this.#host.heldChanged();
    if (this.#waiting.isUnused) this.#waiting = NOTHING;
  }

  /** Writes a frame immediately, in pieces. After this, the application may change its data. */
  #sendScattered(frame: FrameBytes, lane: Lane): void {
    const cursor = new FrameCursor(frame);
    // Frames collected in this turn go first.
    this.#writer.flush();
    this.#writer.writePieces(cursor);
    this.#writer.forgetLent();
    if (cursor.left === 0) return;
    const rest = this.#host.context.buffers.take(cursor.left);
    this.#wait().setRest(rest.subarray(0, cursor.copyTo(rest)), lane !== "message");
  }

  /** A copy of a frame with large data. */
  #copyOf(frame: FrameBytes): FrameBytes {
    const cursor = new FrameCursor(frame);
    const bytes = this.#host.context.buffers.take(cursor.left);
    return { bytes, start: 0, end: cursor.copyTo(bytes), large: null };
  }

  /** Uses new credit: starts waiting large requests first, then releases held frames. */
  #creditAdded(): void {
    if (this.#large?.waitsForCredit === true) {
      this.#large.begin();
      // Frames collected in this turn go first.
      this.#writer.flush();
      this.#drain();
      if (!this.hasHeld) this.#host.heldChanged();
    }
    this.#releaseHeld();
  }

  #releaseHeld(): void {
    if (!this.#waiting.hasHeld || this.#isPausedByPeer) {
      this.#wakePassing();
      return;
    }
    // Frames collected before the peer's permission go first.
    this.#writer.flush();
    this.#waiting.releaseHeld(this.#credit);
    const hasHeld = this.#waiting.hasHeld;
    this.#drain();
    if (!hasHeld) this.#host.heldChanged();
  }

  /** Continues in the next turn. */
  continueTurn(): void {
    this.#isWaitingForTurn = false;
    if (!this.#isOver) this.#drain();
  }

  /** Whether nothing can be sent now. */
  get #isBlocked(): boolean {
    return this.#writer.isFull || this.#isWaitingForTurn;
  }

  #drain(): void {
    const waiting = this.#waiting;
    const { hasHeld: hadHeld, hasLarge: hadLarge } = this;
    const now = waiting.isEmpty ? 0 : this.#host.context.runtime.now();
    let written = 0;
    while (!this.#isBlocked && !this.#isHeld && !this.#isOver) {
      const next = waiting.shift(now);
      if (next === null) break;
      this.#writer.write(next);
      written += next.length;
      if (written < MAX_BYTES_PER_TURN || waiting.isEmpty) continue;
      this.#isWaitingForTurn = true;
      this.#host.context.turns.add(this);
    }
    this.#writer.forgetLent();
    if (this.#isOver) return;
    if (this.#isEnding && waiting.isEmpty) {
      this.#isOver = true;
      this.#writer.close();
      return;
    }
    if (waiting.waiters.length > 0 && this.#fill <= LOW_WATER_RATIO) {
      for (const waiter of waiting.waiters.splice(0)) waiter.resolve();
    }
    this.#wakePassing();
    if (waiting.isUnused) this.#waiting = NOTHING;
    if ((hadLarge && !waiting.hasLarge) || hadHeld !== this.hasHeld) this.#host.heldChanged();
    if (this.#replyFill <= LOW_WATER_RATIO) this.#host.sendQueueDrained();
  }

  /** Returns the waiting frames, creating them if necessary. */
  #wait(): WaitingFrames {
    if (this.#waiting === NOTHING) this.#waiting = new WaitingFrames(this.#large);
    return this.#waiting;
  }
}

/** Whether the payload of the frame at `start` is compressed. */
function isCompressed(bytes: Uint8Array, start: number): boolean {
  return ((bytes[start + FLAGS_OFFSET + 1] as number) & Flag.COMPRESSED) !== 0;
}

function closedError(): ConduitError {
  return new ConduitError(ErrorCode.CONNECTION_CLOSED, "The connection closed");
}
