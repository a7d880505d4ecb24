import type { Lane } from "./lane.ts";
import { SendBacklog, type UnsentRequest } from "./send-backlog.ts";
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
  /** The rest of a frame that the stream accepted in part. */
  #rest: Uint8Array | null = null;
  #restIsReply = false;
  /** Pool buffers that the stream may still refer to. */
  readonly lent: Uint8Array[] = [];
  readonly waiters: Waiter[] = [];

  /** Number of frames in the bounded queue, without control frames. */
  get frames(): number {
    return this.#backlog.frames + this.#held.frames + (this.#rest === null ? 0 : 1);
  }

  /** Their bytes. */
  get bytes(): number {
    return this.#backlog.bytes + this.#held.bytes + (this.#rest?.length ?? 0);
  }

  /** Bytes of replies and control frames, which the peer causes. */
  get replyBytes(): number {
    return this.#queuedReplyBytes + this.#control.bytes;
  }

  get #queuedReplyBytes(): number {
    return this.#backlog.answerBytes + (this.#rest !== null && this.#restIsReply ? this.#rest.length : 0);
  }

  get #queuedReplies(): number {
    return this.#backlog.answers + (this.#rest !== null && this.#restIsReply ? 1 : 0);
  }

  /** Fill ratio of messages and calls, relative to their limits. */
  fill(maxFrames: number, maxBytes: number): number {
    const frames = this.frames - this.#queuedReplies;
    return Math.max(frames / maxFrames, (this.bytes - this.#queuedReplyBytes) / maxBytes);
  }

  /** Fill ratio of replies and control frames, relative to their limits. */
  replyFill(maxFrames: number, maxBytes: number): number {
    const frames = this.#queuedReplies + this.#control.frames;
    return Math.max(frames / maxFrames, this.replyBytes / maxBytes);
  }

  /** Whether no frames wait for the stream. */
  get isEmpty(): boolean {
    return this.#rest === null && this.#control.frames === 0 && this.#backlog.frames === 0;
  }

  /** Whether nothing waits, and nothing is lent. */
  get isUnused(): boolean {
    return this.isEmpty && !this.hasHeld && this.lent.length === 0 && this.waiters.length === 0;
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

  /** Appends a copy of a request, with or without permission. Parameters as of `SendBacklog.appendRequest`. */
  addRequest(bytes: Uint8Array, start: number, end: number, expiresAtMs: number, isHeld: boolean): UnsentRequest {
    return (isHeld ? this.#held : this.#backlog).appendRequest(bytes, start, end, expiresAtMs);
  }

  /** Removes a request that has not left. Returns whether it had permission. */
  withdraw(request: UnsentRequest): boolean {
    const backlog = request.block?.backlog;
    backlog?.withdraw(request);
    return backlog === this.#backlog;
  }

  /** Sets the rest of a frame, which goes before everything else. */
  setRest(rest: Uint8Array, isReply: boolean): void {
    this.#rest = rest;
    this.#restIsReply = isReply;
  }

  /** The peer permits data: moves held frames to the end of the backlog, as far as the credit allows. */
  releaseHeld(credit: SendCredit | null): void {
    this.#held.moveTo(this.#backlog, credit);
  }

  /** Drops held frames: the peer will never permit them. */
  dropHeld(): void {
    this.#held.clear();
  }

  /** Removes and returns the bytes to write next: the rest of a frame, control frames, the backlog. */
  shift(nowMs: number): Uint8Array | null {
    const rest = this.#rest;
    this.#rest = null;
    return rest ?? this.#control.shift(nowMs) ?? this.#backlog.shift(nowMs);
  }
}
