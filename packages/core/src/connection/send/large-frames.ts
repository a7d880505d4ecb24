/**
 * Sends frames of more than 64 KiB in interleaved chunks, so that none of them delays other frames.
 *
 * The peer acknowledges received chunk bytes. At most one window of them is in flight, so that a small frame waits
 * behind a window instead of everything in the system's buffers. The window grows as long as that doesn't increase
 * latency.
 */

import type { RuntimeContext } from "../../context/runtime-context.ts";
import { HEADER_BYTES } from "../../limits.ts";
import { Flag, FrameType } from "../../wire/constants.ts";
import { setTimeoutField, writeHeader } from "../../wire/frame-writer.ts";
import { ChunkWindow } from "./chunk-window.ts";
import type { LargeFrame } from "./large-frame.ts";
import type { SendCredit } from "./send-credit.ts";
import type { StreamWriter } from "./stream-writer.ts";

/** The peer's limits of incomplete messages and their total length. */
export interface ChunkLimits {
  readonly messages: number;
  readonly bytes: number;
}

export class LargeFrames {
  readonly #context: RuntimeContext;
  readonly #writer: StreamWriter;
  readonly #limits: ChunkLimits;
  /** Null if requests need none. */
  readonly #credit: SendCredit | null;
  readonly #window = new ChunkWindow();
  /** Started frames, the next one first. */
  readonly #active: LargeFrame[] = [];
  #activeBytes = 0;
  /** Frames that exceed the peer's limits, and requests without credit. */
  readonly #waiting: LargeFrame[] = [];
  #lastId = 0;
  #ordered = 0;
  #isClosed = false;
  /** Number of incompletely sent frames, and their unsent bytes. */
  frames = 0;
  bytes = 0;
  /** The part of them that the peer requested. */
  answers = 0;
  answerBytes = 0;
  /** Sent bytes of frames whose memory is kept until the rest is sent. */
  keptBytes = 0;

  constructor(context: RuntimeContext, writer: StreamWriter, limits: ChunkLimits, credit: SendCredit | null) {
    this.#context = context;
    this.#writer = writer;
    this.#limits = limits;
    this.#credit = credit;
  }

  /** Whether a request waits for credit. */
  get waitsForCredit(): boolean {
    return this.#waiting.some(({ hasCredit }) => !hasCredit);
  }

  /** Whether later messages have to wait for one of these. */
  get hasOrdered(): boolean {
    return this.#ordered > 0;
  }

  /** Unsent bytes of the longest started reply. */
  get longestAnswerBytes(): number {
    return this.#active.reduce((most, { isReply, left }) => (isReply ? Math.max(most, left) : most), 0);
  }

  /** Starts to send a frame. After this, the application may change its data. */
  send(frame: LargeFrame): void {
    this.add(frame);
    const now = this.#context.runtime.now();
    while (!this.#writer.isFull) {
      const chunk = this.shift(now);
      if (chunk === null) break;
      this.#writer.write(chunk);
    }
    frame.detach(this.#context.buffers);
  }

  add(frame: LargeFrame): void {
    if (this.#isClosed) {
      frame.release(this.#context.buffers);
      return;
    }
    this.#count(frame, 1, frame.length);
    this.#waiting.push(frame);
    this.begin();
  }

  /**
   * Removes a frame that its caller withdraws.
   * @returns the CHUNK that aborts it at the peer; null if nothing of it was sent
   */
  withdraw(frame: LargeFrame): Uint8Array | null {
    const index = this.#active.indexOf(frame);
    if (index >= 0) {
      this.#active.splice(index, 1);
      this.#activeBytes -= frame.length;
    } else {
      this.#waiting.splice(this.#waiting.indexOf(frame), 1);
    }
    this.#count(frame, -1, -frame.left);
    if (frame.keepsMemory) this.keptBytes -= frame.length - frame.left;
    if (frame.id === 0 && frame.hasCredit) this.#credit?.add(1, frame.length);
    frame.release(this.#context.buffers);
    this.begin();
    if (frame.id === 0) return null;
    const abort = new Uint8Array(HEADER_BYTES);
    writeHeader(abort, 0, FrameType.CHUNK, 0, frame.id, this.#context.wallClock());
    return abort;
  }

  /** Drops all current and later frames, because the peer accepts no more. */
  close(): void {
    this.#isClosed = true;
    for (const frame of [...this.#active, ...this.#waiting]) frame.release(this.#context.buffers);
    this.#active.length = 0;
    this.#waiting.length = 0;
    this.#ordered = this.frames = this.bytes = this.answers = this.answerBytes = this.keptBytes = 0;
  }

  /** Records that a small message, call or reply was sent in between. */
  shared(): void {
    if (this.frames > 0) this.#window.shared();
  }

  acknowledged(bytes: number): void {
    this.#window.acknowledged(bytes, this.#context.runtime.now());
  }

  /** Returns the chunk to write next, in a buffer of the pool; null if there is none or the window is full. */
  shift(nowMs: number): Uint8Array | null {
    if (!this.#window.hasRoom) return null;
    const frame = this.#active.shift();
    if (frame === undefined) return null;
    const { request } = frame;
    if (frame.id === 0) frame.id = this.#lastId += 1;
    const chunk = frame.shift(this.#context.buffers);
    const length = chunk.length - HEADER_BYTES;
    const flags = this.#window.mustAsk(length) ? Flag.ACK_NOW : 0;
    writeHeader(chunk, 0, FrameType.CHUNK, length, frame.id, this.#context.wallClock(), 0, flags);
    this.#window.sent(length, nowMs);
    this.#count(frame, 0, -length);
    if (frame.keepsMemory) this.keptBytes += frame.left > 0 ? length : length - frame.length;
    if (frame.left > 0) {
      this.#active.push(frame);
      return chunk;
    }
    if (request !== null && request.expiresAtMs > 0) {
      setTimeoutField(chunk, chunk.length, request.expiresAtMs - nowMs);
    }
    this.#activeBytes -= frame.length;
    this.#count(frame, -1, 0);
    frame.release(this.#context.buffers);
    this.begin();
    return chunk;
  }

  /** Starts waiting frames, as far as the peer's limits and credit allow. */
  begin(): void {
    for (let index = this.#nextIndex(); index >= 0; index = this.#nextIndex()) {
      const [next] = this.#waiting.splice(index, 1) as [LargeFrame];
      this.#active.push(next);
      this.#activeBytes += next.length;
    }
  }

  /** Index of the frame to start next; -1 if none may start. Frames with credit pass a request without. */
  #nextIndex(): number {
    const { messages, bytes } = this.#limits;
    const fits = ({ length }: LargeFrame): boolean =>
      // One message is always allowed: its length is checked against the peer's other limit.
      this.#active.length === 0 || (this.#active.length < messages && this.#activeBytes + length <= bytes);
    const [first] = this.#waiting;
    if (first === undefined) return -1;
    if (first.hasCredit) return fits(first) ? 0 : -1;
    if (fits(first)) first.hasCredit = this.#credit === null || this.#credit.begin(first.length);
    if (first.hasCredit) return 0;
    const next = this.#waiting.findIndex(({ hasCredit }) => hasCredit);
    return next >= 0 && fits(this.#waiting[next] as LargeFrame) ? next : -1;
  }

  #count(frame: LargeFrame, frames: number, bytes: number): void {
    this.frames += frames;
    this.bytes += bytes;
    if (frame.isReply) {
      this.answers += frames;
      this.answerBytes += bytes;
    }
    if (frame.isOrdered) this.#ordered += frames;
  }
}
