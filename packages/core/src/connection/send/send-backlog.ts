import { HEADER_BYTES } from "../../limits.ts";
import { Fifo } from "../../util/fifo.ts";
import { setTimeoutField } from "../../wire/frame-writer.ts";
import type { SendCredit } from "./send-credit.ts";

/** Block size. Small frames to a slow peer are copied into blocks, so that each doesn't retain a 64 KiB slab. */
const FIRST_BLOCK_BYTES = 4096;
const MAX_BLOCK_BYTES = 65_536;
/** Frames of at least this size already have their own array, and are kept without copying. */
const OWN_BLOCK_BYTES = 16_384;
/** Offset of a payload's length in the frame's header. */
const LENGTH_OFFSET = 12;

/** A request in a backlog, which can be withdrawn until it leaves. */
export class UnsentRequest {
  /** Null once it has left or was withdrawn. */
  block: Block | null;
  /** Where its frame starts in the block's bytes. */
  at: number;
  readonly length: number;
  /** When its caller gives up, in monotonic milliseconds; 0 if the frame has no `timeout_ms`. */
  readonly expiresAtMs: number;

  constructor(block: Block, at: number, length: number, expiresAtMs: number) {
    this.block = block;
    this.at = at;
    this.length = length;
    this.expiresAtMs = expiresAtMs;
  }
}

/** Complete frames in `bytes[start, end)`, with gaps where requests were withdrawn. */
interface Block {
  backlog: SendBacklog;
  readonly bytes: Uint8Array;
  start: number;
  end: number;
  frames: number;
  answers: number;
  answerBytes: number;
  /** Requests by position, withdrawn ones included; null if there are none. */
  requests: UnsentRequest[] | null;
  /** Bytes of withdrawn requests. */
  withdrawnBytes: number;
}

/** A FIFO of complete frames that wait until they may be sent and the stream accepts bytes, in few large blocks. */
export class SendBacklog {
  readonly #blocks: Fifo<Block> = new Fifo();
  /** The last block, while frames are still copied into it. */
  #open: Block | null = null;
  /** Number of frames. */
  frames = 0;
  /** Number of bytes. */
  bytes = 0;
  /** Number and bytes of frames that the peer requested (replies). */
  answers = 0;
  answerBytes = 0;

  append(bytes: Uint8Array, start: number, end: number, isAnswer: boolean): void {
    this.#append(bytes, start, end, isAnswer);
  }

  /**
   * Appends a request, which can be withdrawn.
   * @param expiresAtMs as {@link UnsentRequest.expiresAtMs}
   */
  appendRequest(bytes: Uint8Array, start: number, end: number, expiresAtMs: number): UnsentRequest {
    const block = this.#append(bytes, start, end, false);
    const length = end - start;
    const request = new UnsentRequest(block, block.end - length, length, expiresAtMs);
    block.requests ??= [];
    block.requests.push(request);
    return request;
  }

  #append(bytes: Uint8Array, start: number, end: number, isAnswer: boolean): Block {
    const length = end - start;
    this.#count(1, length, isAnswer ? 1 : 0, isAnswer ? length : 0);
    const block = length >= OWN_BLOCK_BYTES ? this.#add(bytes, start, end) : this.#blockFor(length);
    if (length < OWN_BLOCK_BYTES) {
      block.bytes.set(bytes.subarray(start, end), block.end);
      block.end += length;
    }
    block.frames += 1;
    if (isAnswer) {
      block.answers += 1;
      block.answerBytes += length;
    }
    return block;
  }

  /** The open block, if it has room, or a new one. */
  #blockFor(length: number): Block {
    const open = this.#open;
    if (open !== null && open.bytes.length - open.end >= length) return open;
    const size = this.#blocks.length === 0 ? FIRST_BLOCK_BYTES : MAX_BLOCK_BYTES;
    const block = this.#add(new Uint8Array(Math.max(size, length)), 0, 0);
    this.#open = block;
    return block;
  }

  #add(bytes: Uint8Array, start: number, end: number): Block {
    const empty = { frames: 0, answers: 0, answerBytes: 0, requests: null, withdrawnBytes: 0 };
    const block: Block = { backlog: this, bytes, start, end, ...empty };
    this.#blocks.push(block);
    this.#open = null;
    return block;
  }

  /** Removes a request. It must be in this backlog. */
  withdraw(request: UnsentRequest): void {
    const block = request.block as Block;
    request.block = null;
    block.frames -= 1;
    block.withdrawnBytes += request.length;
    this.#count(-1, -request.length, 0, 0);
    if (this.frames === 0) this.clear();
    // At most half of a block is wasted, whatever is withdrawn; copying is amortized.
    else if (2 * block.withdrawnBytes > block.end - block.start) closeGaps(block);
  }

  /** Removes and returns the next block of complete frames, with `timeout_ms` as it is at `nowMs`; null if empty. */
  shift(nowMs: number): Uint8Array | null {
    for (;;) {
      const block = this.#blocks.shift();
      if (block === undefined) return null;
      if (block === this.#open) this.#open = null;
      closeGaps(block);
      const { bytes, start, end, frames, requests } = block;
      this.#count(-frames, start - end, -block.answers, -block.answerBytes);
      for (const request of requests ?? []) leave(request, bytes, nowMs);
      if (frames > 0) return start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end);
    }
  }

  /** Moves frames to the end of `target`, in order, as far as the credit allows; all of them without a credit. */
  moveTo(target: SendBacklog, credit: SendCredit | null): void {
    while (credit === null || credit.isOpen) {
      const block = this.#blocks.peek();
      if (block === undefined) return;
      closeGaps(block);
      const moved = credit === null ? block : frontWithin(block, credit);
      if (moved === block) this.#blocks.shift();
      if (moved === this.#open) this.#open = null;
      this.#count(-moved.frames, moved.start - moved.end, -moved.answers, -moved.answerBytes);
      target.#take(moved);
    }
  }

  #take(block: Block): void {
    block.backlog = this;
    this.#blocks.push(block);
    this.#open = null;
    this.#count(block.frames, block.end - block.start, block.answers, block.answerBytes);
  }

  /** Removes all frames. */
  clear(): void {
    for (const { requests } of this.#blocks) {
      for (const request of requests ?? []) request.block = null;
    }
    this.#blocks.clear();
    this.#open = null;
    this.#count(-this.frames, -this.bytes, -this.answers, -this.answerBytes);
  }

  #count(frames: number, bytes: number, answers: number, answerBytes: number): void {
    this.frames += frames;
    this.bytes += bytes;
    this.answers += answers;
    this.answerBytes += answerBytes;
  }
}

/** A request leaves: its caller's remaining time is written into its frame. */
function leave(request: UnsentRequest, bytes: Uint8Array, nowMs: number): void {
  request.block = null;
  if (request.expiresAtMs > 0) setTimeoutField(bytes, request.at + request.length, request.expiresAtMs - nowMs);
}

/** Moves the frames behind withdrawn requests forward. */
function closeGaps(block: Block): void {
  if (block.withdrawnBytes === 0) return;
  const { bytes } = block;
  const kept: UnsentRequest[] = [];
  let to = block.start;
  let from = block.start;
  for (const request of block.requests ?? []) {
    const gap = from - to;
    if (request.block !== null) {
      kept.push(request);
      request.at -= gap;
      continue;
    }
    bytes.copyWithin(to, from, request.at);
    to += request.at - from;
    from = request.at + request.length;
  }
  bytes.copyWithin(to, from, block.end);
  block.end -= from - to;
  block.requests = kept;
  block.withdrawnBytes = 0;
}

/** Spends the credit on a block's frames. Returns the block, or if that isn't enough, its front as a block. */
function frontWithin(block: Block, credit: SendCredit): Block {
  const { bytes, end } = block;
  let at = block.start;
  let frames = 0;
  while (at < end && credit.isOpen) {
    const length = frameLengthAt(bytes, at);
    credit.spend(length);
    at += length;
    frames += 1;
  }
  if (at >= end) return block;
  const { requests } = block;
  const front: Block = { ...block, end: at, frames, requests: requests?.filter((request) => request.at < at) ?? null };
  for (const request of front.requests ?? []) request.block = front;
  block.start = at;
  block.frames -= frames;
  block.requests = requests?.filter((request) => request.at >= at) ?? null;
  return front;
}

function frameLengthAt(bytes: Uint8Array, at: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at + LENGTH_OFFSET, 4);
  return HEADER_BYTES + view.getUint32(0);
}
