import { SendBacklog } from "./send-backlog.ts";
import type { Lane } from "./send-queue.ts";

/** A pending `drained()`. */
export interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

/** Frames of one connection that wait for the stream, or for the peer to let data go on. */
export class WaitingFrames {
  readonly #backlog: SendBacklog = new SendBacklog();
  readonly #control: SendBacklog = new SendBacklog();
  /** Messages and requests that the peer asked this side to hold back. */
  readonly #held: SendBacklog = new SendBacklog();
  /** The rest of a frame that the stream took in part. */
  #rest: Uint8Array | null = null;
  #restIsReply = false;
  /** Buffers of the pool that the stream may still refer to. */
  readonly lent: Uint8Array[] = [];
  readonly waiters: Waiter[] = [];

  /** Frames of the bounded queue; control frames are not in it. */
  get frames(): number {
    return this.#backlog.frames + this.#held.frames + (this.#rest === null ? 0 : 1);
  }

  /** Their bytes. */
  get bytes(): number {
    return this.#backlog.bytes + this.#held.bytes + (this.#rest?.length ?? 0);
  }

  /** Bytes of replies and control frames, which the peer itself has caused. */
  get replyBytes(): number {
    return this.#queuedReplyBytes + this.#control.bytes;
  }

  get #queuedReplyBytes(): number {
    return this.#backlog.answerBytes + (this.#rest !== null && this.#restIsReply ? this.#rest.length : 0);
  }

  get #queuedReplies(): number {
    return this.#backlog.answers + (this.#rest !== null && this.#restIsReply ? 1 : 0);
  }

  /** Messages and calls that wait, as a part of the bounds. */
  fill(maxFrames: number, maxBytes: number): number {
    const frames = this.frames - this.#queuedReplies;
    return Math.max(frames / maxFrames, (this.bytes - this.#queuedReplyBytes) / maxBytes);
  }

  /** Replies and control frames that wait, as a part of the bounds. */
  replyFill(maxFrames: number, maxBytes: number): number {
    const frames = this.#queuedReplies + this.#control.frames;
    return Math.max(frames / maxFrames, this.replyBytes / maxBytes);
  }

  /** Nothing waits for the stream. */
  get isEmpty(): boolean {
    return this.#rest === null && this.#control.frames === 0 && this.#backlog.frames === 0;
  }

  get hasHeld(): boolean {
    return this.#held.frames > 0;
  }

  /** Copies a frame to the end of its queue. */
  park(bytes: Uint8Array, start: number, end: number, lane: Lane, isHeldByPeer: boolean): void {
    if (lane === "control") this.#control.append(bytes, start, end, true);
    else if (lane === "message" && isHeldByPeer) this.#held.append(bytes, start, end, false);
    else this.#backlog.append(bytes, start, end, lane === "reply");
  }

  /** The rest of a frame goes before all else. */
  setRest(rest: Uint8Array, isReply: boolean): void {
    this.#rest = rest;
    this.#restIsReply = isReply;
  }

  /** The peer lets data go on: held frames go behind the backlog. */
  releaseHeld(): void {
    this.#backlog.take(this.#held);
  }

  /** Removes and returns the bytes to write next: the rest of a frame, control frames, the backlog. */
  shift(): Uint8Array | null {
    const rest = this.#rest;
    this.#rest = null;
    return rest ?? this.#control.shift() ?? this.#backlog.shift();
  }
}
