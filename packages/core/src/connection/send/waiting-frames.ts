import type { Lane } from "./lane.ts";
import { SendBacklog } from "./send-backlog.ts";

/** A pending `drained()`. */
export interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

/** Frames of one connection that wait for the stream, or for the peer's permission to send. */
export class WaitingFrames {
  readonly #backlog: SendBacklog = new SendBacklog();
  readonly #control: SendBacklog = new SendBacklog();
  /** PAUSE or RESUME. */
  #flow: Uint8Array | null = null;
  /** Messages and requests held back at the peer's request. */
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
    return this.#rest === null && this.#flow === null && this.#control.frames === 0 && this.#backlog.frames === 0;
  }

  /** Whether nothing waits, and nothing is lent. */
  get isUnused(): boolean {
    return this.isEmpty && !this.hasHeld && this.lent.length === 0 && this.waiters.length === 0;
  }

  get hasHeld(): boolean {
    return this.#held.frames > 0;
  }

  /** Appends a copy of a frame to its queue. */
  park(bytes: Uint8Array, start: number, end: number, lane: Lane, isHeldByPeer: boolean): void {
    if (lane === "control") this.#control.append(bytes, start, end, true);
    else if (lane === "flow") this.#parkFlow(bytes.slice(start, end));
    else if (lane === "message" && isHeldByPeer) this.#held.append(bytes, start, end, false);
    else this.#backlog.append(bytes, start, end, lane === "reply");
  }

  /**
   * PAUSE and RESUME cancel each other out, since the peer hasn't seen the first. So at most one waits, and it doesn't
   * count as a reply: two peers that flood each other would stop starting handlers, and then stop reading, for good.
   */
  #parkFlow(frame: Uint8Array): void {
    this.#flow = this.#flow === null ? frame : null;
  }

  /** Sets the rest of a frame, which goes before everything else. */
  setRest(rest: Uint8Array, isReply: boolean): void {
    this.#rest = rest;
    this.#restIsReply = isReply;
  }

  /** The peer allows data again: moves held frames to the end of the backlog. */
  releaseHeld(): void {
    this.#backlog.take(this.#held);
  }

  /** Removes and returns the bytes to write next: the rest of a frame, PAUSE or RESUME, control frames, the backlog. */
  shift(): Uint8Array | null {
    const first = this.#rest ?? this.#flow;
    if (first === null) return this.#control.shift() ?? this.#backlog.shift();
    if (this.#rest !== null) this.#rest = null;
    else this.#flow = null;
    return first;
  }
}
