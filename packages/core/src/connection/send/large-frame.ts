import { HEADER_BYTES, MAX_CHUNK_BYTES } from "../../limits.ts";
import { Fifo } from "../../util/fifo.ts";
import type { BufferPool } from "../../wire/buffer-pool.ts";
import { FrameType } from "../../wire/constants.ts";
import { isTopicFrame } from "../../wire/frame-types.ts";
import { type FrameBytes, FrameCursor } from "../../wire/scattered-frame.ts";

/** Frames up to this length are sent whole. */
export const MAX_WHOLE_FRAME_BYTES: number = HEADER_BYTES + MAX_CHUNK_BYTES;
/** The last chunk is at least this long, so that it has all of `timeout_ms`. */
const MIN_LAST_CHUNK_BYTES = 64;

/** Memory of frames that go to many peers. */
const shared: WeakSet<Uint8Array> = new WeakSet();

/** The frame goes to many peers, so its memory isn't charged to any of them. */
export function markShared({ bytes, start, end }: FrameBytes): void {
  if (end - start > MAX_WHOLE_FRAME_BYTES) shared.add(bytes);
}

/** A request that can be withdrawn. */
export interface LargeRequest {
  /** Set while its frame leaves in chunks. */
  large: LargeFrame | null;
  /** When its caller gives up, in monotonic milliseconds; 0 if the frame has no `timeout_ms`. */
  readonly expiresAtMs: number;
}

/** A frame that leaves in chunks. Each is copied once, to a buffer of the pool that is then written. */
export class LargeFrame {
  readonly length: number;
  readonly isReply: boolean;
  /** Whether later messages wait for it. */
  readonly isOrdered: boolean;
  /** Null if its caller can't withdraw it. */
  readonly request: LargeRequest | null;
  /** Whether it has the peer's credit. Replies need none, and ordered frames have it already. */
  hasCredit: boolean;
  /** 0 until its first chunk has left. */
  id = 0;
  /** Bytes that haven't left. */
  left: number;
  readonly #cursor: FrameCursor;
  /** Whether large data is still in the application's memory. */
  readonly #isScattered: boolean;
  /** Whether it keeps memory of its own, all of it until its last byte has left. */
  readonly keepsMemory: boolean;
  /** Goes back to the pool, if it is from there, once the frame has left. */
  readonly #memory: Uint8Array;
  /** Chunks that were copied before they can leave. */
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

  /** Copies what is left in the application's memory, because that may change. */
  detach(buffers: BufferPool): void {
    while (this.#isScattered && this.#cursor.left > 0) this.#copied.push(this.#copy(buffers));
  }

  /** It has left, or will not. */
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

/** In the high half of a call's id: it is a message with `ack`, which keeps its place. */
export const KEEPS_PLACE = 0x10_0000;

/**
 * Whether a frame keeps its place among the others that do: messages, also with `ack`, and calls without a reply. Other calls,
 * and replies, may overtake and be overtaken.
 */
export function isOrdered(bytes: Uint8Array, start: number): boolean {
  const type = ((bytes[start + 6] as number) << 8) | (bytes[start + 7] as number);
  if (type === FrameType.MESSAGE || isTopicFrame(type)) return true;
  if (type !== FrameType.RPC_REQUEST) return false;
  if (((bytes[start + 17] as number) & (KEEPS_PLACE >>> 16)) !== 0) return true;
  for (let at = start + 16; at < start + 24; at += 1) if (bytes[at] !== 0) return false;
  return true;
}
