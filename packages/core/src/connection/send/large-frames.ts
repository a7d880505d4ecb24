/**
 * Sends frames of more than 64 KiB in chunks, in turns, so that none of them delays other frames.
 *
 * The peer acknowledges the bytes of chunks that arrive. At most a window of them is on its way, so a small frame waits
 * behind a window, not behind all that the system's buffers hold. The window grows while that costs no time.
 */

import type { RuntimeContext } from "../../context/runtime-context.ts";
import { HEADER_BYTES, MAX_CHUNK_BYTES } from "../../limits.ts";
import { Fifo } from "../../util/fifo.ts";
import { FrameType } from "../../wire/constants.ts";
import { setTimeoutField, writeHeader } from "../../wire/frame-writer.ts";
import { FrameCursor } from "../../wire/scattered-frame.ts";
import { ChunkWindow } from "./chunk-window.ts";
import { type LargeFrame, MAX_WHOLE_FRAME_BYTES } from "./large-frame.ts";
import type { StreamWriter } from "./stream-writer.ts";

/** The last chunk is at least this long, so that it has all of `timeout_ms`. */
const MIN_LAST_CHUNK_BYTES = 64;
/** Chunks that are written at once if nothing else waits: fewer system calls. */
const CHUNKS_PER_WRITE = 4;

/** Limits of the peer: unfinished messages, and the sum of their lengths. */
export interface ChunkLimits {
  readonly messages: number;
  readonly bytes: number;
}

export class LargeFrames {
  readonly #context: RuntimeContext;
  readonly #writer: StreamWriter;
  readonly #limits: ChunkLimits;
  readonly #window = new ChunkWindow();
  /** Frames that have begun, the next one first. */
  readonly #active: LargeFrame[] = [];
  #activeBytes = 0;
  /** Frames over the peer's limits. */
  readonly #waiting: Fifo<LargeFrame> = new Fifo();
  #lastId = 0;
  #ordered = 0;
  #isClosed = false;
  /** Frames that haven't left completely, and their bytes that haven't. */
  frames = 0;
  bytes = 0;
  /** Those of them that the peer requested. */
  answers = 0;
  answerBytes = 0;

  constructor(context: RuntimeContext, writer: StreamWriter, limits: ChunkLimits) {
    this.#context = context;
    this.#writer = writer;
    this.#limits = limits;
  }

  /** Whether later messages have to wait for one of these. */
  get hasOrdered(): boolean {
    return this.#ordered > 0;
  }

  /** Starts to send a frame. After this, the application may change its data. */
  send(frame: LargeFrame): void {
    this.add(frame);
    const now = this.#context.runtime.now();
    while (!this.#writer.isFull) {
      const chunks = this.shift(now, true);
      if (chunks === null) break;
      this.#writer.write(chunks);
    }
    if (frame.isScattered) this.#detach(frame);
  }

  add(frame: LargeFrame): void {
    if (this.#isClosed) {
      this.#release(frame);
      return;
    }
    this.#count(frame, 1, frame.length);
    this.#waiting.push(frame);
    this.#begin();
  }

  /** Copies what is left of a frame, because the application may change its data. */
  #detach(frame: LargeFrame): void {
    const { left } = frame.cursor;
    if (left === 0) return;
    const bytes = this.#context.buffers.take(left);
    frame.cursor.copyTo(bytes.subarray(0, left));
    frame.cursor = new FrameCursor({ bytes, start: 0, end: left, large: null });
    frame.memory = bytes;
  }

  /**
   * Removes a frame that its caller withdraws.
   * @returns the CHUNK that aborts it at the peer; null if the peer has seen nothing of it
   */
  withdraw(frame: LargeFrame): Uint8Array | null {
    const index = this.#active.indexOf(frame);
    if (index >= 0) {
      this.#active.splice(index, 1);
      this.#activeBytes -= frame.length;
    } else {
      const others = [...this.#waiting].filter((one) => one !== frame);
      this.#waiting.clear();
      for (const other of others) this.#waiting.push(other);
    }
    this.#count(frame, -1, -frame.cursor.left);
    this.#release(frame);
    this.#begin();
    if (frame.id === 0) return null;
    const abort = new Uint8Array(HEADER_BYTES);
    writeHeader(abort, 0, FrameType.CHUNK, 0, frame.id, this.#context.wallClock());
    return abort;
  }

  /** Drops everything, now and later: the peer takes no more. */
  close(): void {
    this.#isClosed = true;
    for (const frame of [...this.#active, ...this.#waiting]) this.#release(frame);
    this.#active.length = 0;
    this.#waiting.clear();
    this.#ordered = this.frames = this.bytes = this.answers = this.answerBytes = 0;
  }

  acknowledged(bytes: number): void {
    this.#window.acknowledged(bytes, this.#context.runtime.now());
  }

  /** Returns the chunks to write next, in a buffer of the pool; null if there are none or the window is full. */
  shift(nowMs: number, isOnly: boolean): Uint8Array | null {
    if (this.#active.length === 0 || !this.#window.hasRoom) return null;
    const count = isOnly ? CHUNKS_PER_WRITE : 1;
    const size = Math.min(count * MAX_WHOLE_FRAME_BYTES, this.bytes + count * HEADER_BYTES);
    const target = this.#context.buffers.take(size);
    let end = 0;
    for (let n = 0; n < count && this.#active.length > 0 && this.#window.hasRoom; n += 1) {
      end = this.#writeChunk(target, end, nowMs);
    }
    return target.subarray(0, end);
  }

  /** Writes a chunk of the next frame at this place. Returns its end. */
  #writeChunk(target: Uint8Array, at: number, nowMs: number): number {
    const frame = this.#active.shift() as LargeFrame;
    const { cursor, request } = frame;
    if (frame.id === 0) frame.id = this.#lastId += 1;
    let length = Math.min(cursor.left, MAX_CHUNK_BYTES);
    const rest = cursor.left - length;
    if (rest > 0 && rest < MIN_LAST_CHUNK_BYTES) length -= MIN_LAST_CHUNK_BYTES;
    const end = at + HEADER_BYTES + length;
    writeHeader(target, at, FrameType.CHUNK, length, frame.id, this.#context.wallClock());
    cursor.copyTo(target.subarray(at + HEADER_BYTES, end));
    this.#window.sent(length, nowMs);
    this.#count(frame, 0, -length);
    if (cursor.left > 0) {
      this.#active.push(frame);
      return end;
    }
    if (request !== null && request.expiresAtMs > 0) setTimeoutField(target, end, request.expiresAtMs - nowMs);
    this.#activeBytes -= frame.length;
    this.#count(frame, -1, 0);
    this.#release(frame);
    this.#begin();
    return end;
  }

  /** Begins frames that wait, as far as the peer's limits allow. */
  #begin(): void {
    for (;;) {
      const next = this.#waiting.peek();
      if (next === undefined) return;
      const { messages, bytes } = this.#limits;
      const fits = this.#active.length < messages && this.#activeBytes + next.length <= bytes;
      // One message always fits: its length is within the peer's other limit.
      if (!fits && this.#active.length > 0) return;
      this.#waiting.shift();
      this.#active.push(next);
      this.#activeBytes += next.length;
    }
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

  #release(frame: LargeFrame): void {
    if (frame.request !== null) frame.request.large = null;
    const { buffers } = this.#context;
    if (buffers.owns(frame.memory)) buffers.give(frame.memory);
  }
}
