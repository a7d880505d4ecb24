import { SendBacklog } from "./send-backlog.ts";
import type { Lane } from "./send-queue.ts";

/** Who waits for room. */
export interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

/** What an sendQueue has while frames, or the memory of some, wait for the stream or for the peer's RESUME. */
export class SendLanes {
  #backlog: SendBacklog | null = null;
  #urgent: SendBacklog | null = null;
  /** Stopped by the peer's PAUSE. */
  #stopped: SendBacklog | null = null;
  /** PAUSE or RESUME that could not leave yet. */
  #flow: Uint8Array | null = null;
  /** What remains of a frame that the stream took in part. */
  #rest: Uint8Array | null = null;
  #restIsAnswer = false;
  /** Buffers of the pool that the stream may still refer to. */
  readonly lent: Uint8Array[] = [];
  readonly waiters: Waiter[] = [];

  /** Frames of the queue that is bounded; what is urgent has no part in it. */
  get frames(): number {
    return (this.#backlog?.frames ?? 0) + (this.#stopped?.frames ?? 0) + (this.#rest === null ? 0 : 1);
  }

  /** Their bytes. */
  get bytes(): number {
    return (this.#backlog?.bytes ?? 0) + (this.#stopped?.bytes ?? 0) + (this.#rest?.length ?? 0);
  }

  /** Bytes of those of them that the peer itself asked for. */
  get answerBytes(): number {
    return (this.#backlog?.answerBytes ?? 0) + (this.#rest !== null && this.#restIsAnswer ? this.#rest.length : 0);
  }

  /** Bytes of PONGs and the like. */
  get urgentBytes(): number {
    return this.#urgent?.answerBytes ?? 0;
  }

  get #answers(): number {
    return (this.#backlog?.answers ?? 0) + (this.#rest !== null && this.#restIsAnswer ? 1 : 0);
  }

  /** Messages and calls that wait, as a part of the bounds. */
  fill(maxFrames: number, maxBytes: number): number {
    return Math.max((this.frames - this.#answers) / maxFrames, (this.bytes - this.answerBytes) / maxBytes);
  }

  /** Answers that wait, urgent ones too, as a part of the bounds. */
  answerFill(maxFrames: number, maxBytes: number): number {
    const frames = this.#answers + (this.#urgent?.answers ?? 0);
    return Math.max(frames / maxFrames, (this.answerBytes + this.urgentBytes) / maxBytes);
  }

  /** Whether messages wait for the peer's RESUME. */
  get hasStopped(): boolean {
    return this.#stopped !== null;
  }

  /** Nothing waits but what the peer has stopped. */
  get isEmpty(): boolean {
    return this.#backlog === null && this.#urgent === null && this.#rest === null && this.#flow === null;
  }

  /** Nothing waits, and nobody. */
  get isIdle(): boolean {
    return this.isEmpty && this.#stopped === null && this.lent.length === 0 && this.waiters.length === 0;
  }

  /** Copies a frame to the end of its queue. */
  park(bytes: Uint8Array, start: number, end: number, lane: Lane, isPeerPaused: boolean): void {
    if (lane === "flow") {
      // The peer has not seen the one that waits, so what takes it back leaves everything as it was. However often
      // that happens, one frame waits at most, and it is no answer that the peer does not read.
      this.#flow = this.#flow === null ? bytes.slice(start, end) : null;
    } else if (lane === "urgent") {
      this.#urgent ??= new SendBacklog();
      this.#urgent.append(bytes, start, end, true);
    } else if (lane === "message" && isPeerPaused) {
      this.#stopped ??= new SendBacklog();
      this.#stopped.append(bytes, start, end, false);
    } else {
      this.#backlog ??= new SendBacklog();
      this.#backlog.append(bytes, start, end, lane === "reply");
    }
  }

  /** What remains of a frame: it goes before all else. */
  setRest(rest: Uint8Array, isAnswer: boolean): void {
    this.#rest = rest;
    this.#restIsAnswer = isAnswer;
  }

  /** The peer said RESUME: what it had stopped goes behind the rest. */
  unstop(): void {
    if (this.#stopped === null) return;
    this.#backlog ??= new SendBacklog();
    this.#backlog.take(this.#stopped);
    this.#stopped = null;
  }

  /** Takes out what is to be written next: the rest of a frame, PAUSE or RESUME, what is urgent, the others. */
  shift(): Uint8Array | null {
    const first = this.#rest ?? this.#flow;
    if (first !== null) {
      if (this.#rest !== null) this.#rest = null;
      else this.#flow = null;
      return first;
    }
    const urgent = this.#urgent?.shift() ?? null;
    if (this.#urgent !== null && this.#urgent.frames === 0) this.#urgent = null;
    if (urgent !== null) return urgent;
    const next = this.#backlog?.shift() ?? null;
    if (this.#backlog !== null && this.#backlog.frames === 0) this.#backlog = null;
    return next;
  }
}
