import { HEADER_BYTES, MAX_CHUNK_BYTES } from "../../limits.ts";
import { Fifo } from "../../util/fifo.ts";
import type { BufferPool } from "../../wire/buffer-pool.ts";
import { FrameType } from "../../wire/constants.ts";
import { isTopicFrame } from "../../wire/frame-types.ts";
import { type FrameBytes, FrameCursor } from "../../wire/scattered-frame.ts";

/** Frames up to this length are sent whole. */
export const MAX_WHOLE_FRAME_BYTES: number = HEADER_BYTES + MAX_CHUNK_BYTES;
/** Minimum length of the last chunk, so that it contains all of `timeout_ms`. */
const MIN_LAST_CHUNK_BYTES = 64;

/** Memory of frames that are sent to many peers. */
const shared: WeakSet<Uint8Array> = new WeakSet();

/** Marks a frame that is sent to many peers, so that its memory isn't charged to any of them. */
export function markShared({ bytes, start, end }: FrameBytes): void {
  if (end - start > MAX_WHOLE_FRAME_BYTES) shared.add(bytes);
}

/** A request that can be withdrawn. */
export interface LargeRequest {
  /** Set while its frame is being sent in chunks. */
  large: LargeFrame | null;
  /** When its caller gives up, in monotonic milliseconds; 0 if the frame has no `timeout_ms`. */
  readonly expiresAtMs: number;
}

/** A frame that is sent in chunks. Each chunk is copied once, to a pool buffer that is then written. */
export class LargeFrame {
  readonly length: number;
  readonly isReply: boolean;
  /** Whether later messages wait for it. */
  readonly isOrdered: boolean;
  /** Null if its caller can't withdraw it. */
  readonly request: LargeRequest | null;
  /** Whether it has the peer's credit. Replies need none, and ordered frames already have it. */
  hasCredit: boolean;
  /** 0 until the first chunk is sent. */
  id = 0;
  /** Number of unsent bytes. */
  left: number;
  readonly #cursor: FrameCursor;
  /** Whether large data is still in the application's memory. */
  readonly #isScattered: boolean;
  /** Whether it has its own memory, which is kept until its last byte has been sent. */
  readonly keepsMemory: boolean;
  /** Returned to the pool, if it is from there, once the frame has been sent. */
  readonly #memory: Uint8Array;
  /** Chunks copied before they could be sent. */
  readonly #copied: Fifo<Uint8Array> = new Fifo();

  constructor(frame: FrameBytes, isReply: boolean, request: LargeRequest | null) {
    this.#cursor = new FrameCursor(frame);
    this.#isScattered = frame.large !== null;
    this.#memory = frame.bytes;
    this.length = this.#cursor.left;
    this.left = this.length;
    this.isReply = isReply;
    this.keepsMemory = !this.#isScattered && !shared.has(frame.bytes);
    this.isOrdered = !isReply && isOrdered(frame.bytes, frame.start);
    this.hasCredit = isReply || this.isOrdered;
    this.request = request;
    if (request !== null) request.large = this;
  }

  /** Removes and returns the next chunk, with room for its header. */
  shift(buffers: BufferPool): Uint8Array {
    const chunk = this.#copied.shift() ?? this.#copy(buffers);
    this.left -= chunk.length - HEADER_BYTES;
    return chunk;
  }

  /** Copies the rest from the application's memory, which may change. */
  detach(buffers: BufferPool): void {
    while (this.#isScattered && this.#cursor.left > 0) this.#copied.push(this.#copy(buffers));
  }

  /** Releases the memory of a frame that was sent or withdrawn. */
  release(buffers: BufferPool): void {
    if (this.request !== null) this.request.large = null;
    for (const chunk of this.#copied) buffers.give(chunk);
    this.#copied.clear();
    if (buffers.owns(this.#memory)) buffers.give(this.#memory);
  }

  #copy(buffers: BufferPool): Uint8Array {
    const { left } = this.#cursor;
    let length = Math.min(left, MAX_CHUNK_BYTES);
    const rest = left - length;
    if (rest > 0 && rest < MIN_LAST_CHUNK_BYTES) length -= MIN_LAST_CHUNK_BYTES;
    const chunk = buffers.take(HEADER_BYTES + length).subarray(0, HEADER_BYTES + length);
    this.#cursor.copyTo(chunk.subarray(HEADER_BYTES));
    return chunk;
  }
}

/** Bit in the high half of a call's id that marks a message with `ack`, which is ordered. */
export const KEEPS_PLACE = 0x10_0000;

/**
 * Whether a frame is ordered relative to others: messages, including those with `ack`, and calls without a reply.
 * Other calls and replies may overtake and be overtaken.
 */
export function isOrdered(bytes: Uint8Array, start: number): boolean {
  const type = ((bytes[start + 6] as number) << 8) | (bytes[start + 7] as number);
  if (type === FrameType.MESSAGE || isTopicFrame(type)) return true;
  if (type !== FrameType.RPC_REQUEST) return false;
  if (((bytes[start + 17] as number) & (KEEPS_PLACE >>> 16)) !== 0) return true;
  for (let at = start + 16; at < start + 24; at += 1) if (bytes[at] !== 0) return false;
  return true;
}
