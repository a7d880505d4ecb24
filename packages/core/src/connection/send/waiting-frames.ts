import type { Lane } from "./lane.ts";
import { LargeFrame } from "./large-frame.ts";
import type { LargeFrames } from "./large-frames.ts";
import { isLarge, leave, SendBacklog, type SendBlock, type UnsentRequest } from "./send-backlog.ts";
import type { SendCredit } from "./send-credit.ts";

/** A pending `drained()`. */
export interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

/** Frames of one connection that wait for the stream, or for the peer's permission to send. */
export class WaitingFrames {
  readonly #backlog: SendBacklog = new SendBacklog();
  readonly #control: SendBacklog = new SendBacklog();
  /** Messages and requests without the peer's permission. */
  readonly #held: SendBacklog = new SendBacklog();
  /** Messages waiting until an earlier one has been sent in chunks. */
  readonly #behind: SendBacklog = new SendBacklog();
  /** Whether the next write is a chunk instead of small frames. */
  #isLargeNext = false;
  /** The rest of a frame that the stream accepted in part. */
  #rest: Uint8Array | null = null;
  #restIsReply = false;
  readonly waiters: Waiter[] = [];
  /** Called when a message would be sent immediately. */
  readonly passing: (() => void)[] = [];
  large: LargeFrames | null;

  /** @param large null if nothing has been sent in chunks yet */
  constructor(large: LargeFrames | null) {
    this.large = large;
  }

  /** Number of frames in the bounded queue, without control frames. */
  get frames(): number {
    const parked = this.#backlog.frames + this.#held.frames + this.#behind.frames;
    return parked + (this.large?.frames ?? 0) + (this.#rest === null ? 0 : 1);
  }

  /** Their bytes. */
  get bytes(): number {
    const parked = this.#backlog.bytes + this.#held.bytes + this.#behind.bytes;
    return parked + (this.large?.bytes ?? 0) + (this.#rest?.length ?? 0);
  }

  /** Bytes of messages and requests being sent in chunks. */
  get #largeBytes(): number {
    if (this.large === null) return 0;
    const parked = this.#backlog.largeBytes + this.#held.largeBytes + this.#behind.largeBytes;
    return parked + this.large.bytes - this.large.answerBytes;
  }

  /** Whether chunked frames, or frames behind one, are waiting. */
  get hasLarge(): boolean {
    if (this.large === null) return false;
    return this.large.frames > 0 || this.#backlog.large > 0 || this.#behind.frames > 0;
  }

  /** Bytes of control frames. */
  get controlBytes(): number {
    return this.#control.bytes;
  }

  /** Bytes of replies and control frames, which are caused by the peer. */
  get replyBytes(): number {
    return this.#queuedReplyBytes + this.#control.bytes;
  }

  get #queuedReplyBytes(): number {
    const rest = this.#rest !== null && this.#restIsReply ? this.#rest.length : 0;
    return this.#backlog.answerBytes + (this.large?.answerBytes ?? 0) + rest;
  }

  get #queuedReplies(): number {
    const rest = this.#rest !== null && this.#restIsReply ? 1 : 0;
    return this.#backlog.answers + (this.large?.answers ?? 0) + rest;
  }

  /**
   * Fill ratio of messages and calls, relative to their limits. The byte limit applies to chunked ones and to others
   * separately, so that a large one leaves room for small ones.
   */
  fill(maxFrames: number, maxBytes: number): number {
    const { frames, bytes } = this.#unrequested;
    const largeBytes = this.#largeBytes;
    return Math.max(frames / maxFrames, largeBytes / maxBytes, (bytes - largeBytes) / maxBytes);
  }

  /** Like `fill`, without chunked ones. */
  smallFill(maxFrames: number, maxBytes: number): number {
    const { frames, bytes } = this.#unrequested;
    return Math.max(frames / maxFrames, (bytes - this.#largeBytes) / maxBytes);
  }

  get #unrequested(): { readonly frames: number; readonly bytes: number } {
    return { frames: this.frames - this.#queuedReplies, bytes: this.bytes - this.#queuedReplyBytes };
  }

  /**
   * Fill ratio of replies and control frames, relative to their limits. Ignores one chunked reply, because small
   * calls would otherwise wait until the peer has received most of it.
   */
  replyFill(maxFrames: number, maxBytes: number): number {
    const frames = this.#queuedReplies + this.#control.frames;
    const bytes = this.replyBytes - (this.large?.longestAnswerBytes ?? 0);
    return Math.max(frames / maxFrames, bytes / maxBytes);
  }

  /** Whether no frames wait for the stream. */
  get isEmpty(): boolean {
    const { frames = 0 } = this.large ?? {};
    const parked = this.#control.frames + this.#backlog.frames + this.#behind.frames;
    return this.#rest === null && parked === 0 && frames === 0;
  }

  /** Whether nothing is waiting for any reason. */
  get isUnused(): boolean {
    return this.isEmpty && !this.hasHeld && this.waiters.length + this.passing.length === 0;
  }

  get hasHeld(): boolean {
    return this.#held.frames > 0;
  }

  get hasControl(): boolean {
    return this.#control.frames > 0;
  }

  /** Appends a copy of a frame that may be sent to its queue. */
  park(bytes: Uint8Array, start: number, end: number, lane: Lane): void {
    if (lane === "control") this.#control.append(bytes, start, end, true);
    else this.#backlog.append(bytes, start, end, lane === "reply");
  }

  /** Appends a copy of a message without permission. */
  hold(bytes: Uint8Array, start: number, end: number): void {
    this.#held.append(bytes, start, end, false);
  }

  /** Appends a copy of a request, with or without permission. For the parameters, see `SendBacklog.appendRequest`. */
  addRequest(bytes: Uint8Array, start: number, end: number, expiresAtMs: number, isHeld: boolean): UnsentRequest {
    return (isHeld ? this.#held : this.#backlog).appendRequest(bytes, start, end, expiresAtMs);
  }

  /** Removes an unsent request. Returns whether it had permission. */
  withdraw(request: UnsentRequest): boolean {
    const backlog = request.block?.backlog;
    backlog?.withdraw(request);
    return backlog === this.#backlog || backlog === this.#behind;
  }

  /** Sets the rest of a frame, which is sent before everything else. */
  setRest(rest: Uint8Array, isReply: boolean): void {
    this.#rest = rest;
    this.#restIsReply = isReply;
  }

  /** The peer permits data: moves held frames to the end of the backlog, as far as the credit allows. */
  releaseHeld(credit: SendCredit | null): void {
    this.#held.moveTo(this.#backlog, credit);
  }

  /** Drops held and chunked frames, which the peer will never permit or acknowledge. */
  dropHeld(): void {
    this.#held.clear();
    this.#behind.clear();
    this.large?.close();
  }

  /**
   * Removes and returns the bytes to write next: the rest of a frame, control frames; then a block of the backlog and
   * a chunk in turns. Null if nothing is left, or if more chunks need the peer's acknowledgement.
   */
  shift(nowMs: number): Uint8Array | null {
    const rest = this.#rest;
    this.#rest = null;
    const first = rest ?? this.#control.shift(nowMs);
    if (first !== null || this.large === null) return first ?? this.#backlog.shift(nowMs);
    this.#isLargeNext = !this.#isLargeNext;
    const chunk = this.#isLargeNext ? this.large.shift(nowMs) : null;
    return chunk ?? this.#shiftSmall(this.large, nowMs) ?? this.large.shift(nowMs);
  }

  /** Returns a block of small frames. Starts large ones that come first, and sets aside messages behind them. */
  #shiftSmall(large: LargeFrames, nowMs: number): Uint8Array | null {
    for (;;) {
      const isBehind = this.#behind.frames > 0 && !large.hasOrdered;
      const block = (isBehind ? this.#behind : this.#backlog).shiftBlock();
      if (block === null) return null;
      if (isLarge(block)) this.#begin(large, block);
      else if (!large.hasOrdered || this.#behind.takeOrdered(block)) return leave(block, nowMs);
    }
  }

  #begin(large: LargeFrames, block: SendBlock): void {
    const { bytes, start, end } = block;
    const [request = null] = block.requests ?? [];
    const frame = new LargeFrame({ bytes, start, end, large: null }, block.answers > 0, request);
    if (frame.isOrdered && large.hasOrdered) {
      if (request !== null) request.large = null;
      this.#behind.take(block);
      return;
    }
    if (request !== null) request.block = null;
    large.add(frame);
  }
}
