import { HEADER_BYTES } from "../../limits.ts";
import { Fifo } from "../../util/fifo.ts";
import { setTimeoutField } from "../../wire/frame-writer.ts";
import { isOrdered, type LargeFrame, MAX_WHOLE_FRAME_BYTES } from "./large-frame.ts";
import type { SendCredit } from "./send-credit.ts";

/** Block size. Small frames to a slow peer are copied into blocks, so that each doesn't retain a 64 KiB slab. */
const FIRST_BLOCK_BYTES = 4096;
const MAX_BLOCK_BYTES = 65_536;
/** Frames of at least this size already have their own array, and are kept without copying. */
const OWN_BLOCK_BYTES = 16_384;
/** Offset of a payload's length in the frame's header. */
const LENGTH_OFFSET = 12;

/** A request in a backlog, which can be withdrawn until it is sent. */
export class UnsentRequest {
  /** Null once it was sent or withdrawn. */
  block: SendBlock | null;
  /** Where its frame starts in the block's bytes. */
  at: number;
  readonly length: number;
  /** Its frame while it is being sent in chunks. */
  large: LargeFrame | null = null;
  /** When its caller gives up, in monotonic milliseconds; 0 if the frame has no `timeout_ms`. */
  readonly expiresAtMs: number;

  constructor(block: SendBlock | null, at: number, length: number, expiresAtMs: number) {
    this.block = block;
    this.at = at;
    this.length = length;
    this.expiresAtMs = expiresAtMs;
  }
}

/** Complete frames in `bytes[start, end)`, with gaps where requests were withdrawn. */
export interface SendBlock {
  backlog: SendBacklog;
  readonly bytes: Uint8Array;
  start: number;
  end: number;
  frames: number;
  answers: number;
  answerBytes: number;
  /** Requests by position, including withdrawn ones; null if there are none. */
  requests: UnsentRequest[] | null;
  /** Bytes of withdrawn requests. */
  withdrawnBytes: number;
}

/** A FIFO of complete frames that wait until they may be sent and the stream accepts bytes, stored in a few large blocks. */
export class SendBacklog {
  readonly #blocks: Fifo<SendBlock> = new Fifo();
  /** The last block, while frames are still copied into it. */
  #open: SendBlock | null = null;
  /** Number of frames. */
  frames = 0;
  /** Number of bytes. */
  bytes = 0;
  /** Number and bytes of frames that the peer requested (replies). */
  answers = 0;
  answerBytes = 0;
  /** Number of frames to be sent in chunks if the peer supports that, and bytes of those that aren't answers. */
  large = 0;
  largeBytes = 0;

  append(bytes: Uint8Array, start: number, end: number, isAnswer: boolean): void {
    this.#append(bytes, start, end, isAnswer);
  }

  /**
   * Appends a request, which can be withdrawn.
   * @param expiresAtMs see {@link UnsentRequest.expiresAtMs}
   */
  appendRequest(bytes: Uint8Array, start: number, end: number, expiresAtMs: number): UnsentRequest {
    const block = this.#append(bytes, start, end, false);
    const length = end - start;
    const request = new UnsentRequest(block, block.end - length, length, expiresAtMs);
    block.requests ??= [];
    block.requests.push(request);
    return request;
  }

  #append(bytes: Uint8Array, start: number, end: number, isAnswer: boolean): SendBlock {
    const length = end - start;
    this.#count(1, length, isAnswer ? 1 : 0, isAnswer ? length : 0);
    if (length > MAX_WHOLE_FRAME_BYTES) this.#countLarge(1, isAnswer ? 0 : length);
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
  #blockFor(length: number): SendBlock {
    const open = this.#open;
    if (open !== null && open.bytes.length - open.end >= length) return open;
    const size = this.#blocks.length === 0 ? FIRST_BLOCK_BYTES : MAX_BLOCK_BYTES;
    const block = this.#add(new Uint8Array(Math.max(size, length)), 0, 0);
    this.#open = block;
    return block;
  }

  #add(bytes: Uint8Array, start: number, end: number): SendBlock {
    const empty = { frames: 0, answers: 0, answerBytes: 0, requests: null, withdrawnBytes: 0 };
    const block: SendBlock = { backlog: this, bytes, start, end, ...empty };
    this.#blocks.push(block);
    this.#open = null;
    return block;
  }

  /** Removes a request. It must be in this backlog. */
  withdraw(request: UnsentRequest): void {
    const block = request.block as SendBlock;
    request.block = null;
    block.frames -= 1;
    block.withdrawnBytes += request.length;
    this.#count(-1, -request.length, 0, 0);
    if (request.length > MAX_WHOLE_FRAME_BYTES) this.#countLarge(-1, -request.length);
    if (this.frames === 0) this.clear();
    // Wastes at most half of a block; the cost of copying is amortized.
    else if (2 * block.withdrawnBytes > block.end - block.start) closeGaps(block);
  }

  /** Removes and returns the next block of complete frames, with `timeout_ms` as it is at `nowMs`; null if empty. */
  shift(nowMs: number): Uint8Array | null {
    const block = this.shiftBlock();
    return block === null ? null : leave(block, nowMs);
  }

  /** Like `shift`; `leave` must be called when the block is written. */
  shiftBlock(): SendBlock | null {
    for (;;) {
      const block = this.#blocks.shift();
      if (block === undefined) return null;
      if (block === this.#open) this.#open = null;
      closeGaps(block);
      this.#countBlock(block, -1);
      if (block.frames > 0) return block;
    }
  }

  /** Moves frames to the end of `target`, in order, as far as the credit allows; all of them if credit is null. */
  moveTo(target: SendBacklog, credit: SendCredit | null): void {
    while (credit === null || credit.isOpen) {
      const block = this.#blocks.peek();
      if (block === undefined) return;
      closeGaps(block);
      const moved = credit === null ? block : frontWithin(block, credit);
      if (moved !== block && moved.frames === 0) return;
      if (moved === block) this.#blocks.shift();
      if (moved === this.#open) this.#open = null;
      this.#countBlock(moved, -1);
      target.take(moved);
    }
  }

  /** Appends a block of another backlog. */
  take(block: SendBlock): void {
    block.backlog = this;
    this.#blocks.push(block);
    this.#open = null;
    this.#countBlock(block, 1);
  }

  /**
   * Appends the ordered frames of a block that was shifted elsewhere, and removes them from it.
   * @returns whether others are left in the block
   */
  takeOrdered(block: SendBlock): boolean {
    const { bytes, start, end } = block;
    const requests = new Map(block.requests?.map((request) => [request.at, request]));
    const kept: UnsentRequest[] = [];
    let to = start;
    for (let at = start; at < end; ) {
      const length = frameLengthAt(bytes, at);
      const request = requests.get(at);
      if (isOrdered(bytes, at)) {
        block.frames -= 1;
        this.#move(bytes, at, length, request);
      } else {
        if (to < at) bytes.copyWithin(to, at, at + length);
        if (request !== undefined) kept.push(request);
        if (request !== undefined) request.at = to;
        to += length;
      }
      at += length;
    }
    block.end = to;
    block.requests = kept;
    return block.frames > 0;
  }

  #move(bytes: Uint8Array, at: number, length: number, request: UnsentRequest | undefined): void {
    const block = this.#append(bytes, at, at + length, false);
    if (request === undefined) return;
    request.block = block;
    request.at = block.end - length;
    block.requests ??= [];
    block.requests.push(request);
  }

  /** Removes all frames. */
  clear(): void {
    for (const { requests } of this.#blocks) {
      for (const request of requests ?? []) request.block = null;
    }
    this.#blocks.clear();
    this.#open = null;
    this.frames = this.bytes = this.answers = this.answerBytes = this.large = this.largeBytes = 0;
  }

  #countBlock(block: SendBlock, sign: 1 | -1): void {
    const { start, end, frames, answers, answerBytes } = block;
    this.#count(sign * frames, sign * (end - start), sign * answers, sign * answerBytes);
    if (isLarge(block)) this.#countLarge(sign, sign * (end - start - answerBytes));
  }

  #countLarge(frames: number, bytes: number): void {
    this.large += frames;
    this.largeBytes += bytes;
  }

  #count(frames: number, bytes: number, answers: number, answerBytes: number): void {
    this.frames += frames;
    this.bytes += bytes;
    this.answers += answers;
    this.answerBytes += answerBytes;
  }
}

/** Whether the block is one frame to be sent in chunks. A withdrawn one no longer counts. */
export function isLarge({ start, end, frames }: SendBlock): boolean {
  return frames === 1 && end - start > MAX_WHOLE_FRAME_BYTES;
}

/** Returns a block's bytes to write, with `timeout_ms` as it is at `nowMs`. */
export function leave({ bytes, start, end, requests }: SendBlock, nowMs: number): Uint8Array {
  for (const request of requests ?? []) {
    request.block = null;
    if (request.expiresAtMs > 0) setTimeoutField(bytes, request.at + request.length, request.expiresAtMs - nowMs);
  }
  return start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end);
}

/** Moves the frames after withdrawn requests forward. */
function closeGaps(block: SendBlock): void {
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

/** Spends the credit on a block's frames. Returns the block, or, if the credit isn't enough, its front part as a block. */
function frontWithin(block: SendBlock, credit: SendCredit): SendBlock {
  const { bytes, end } = block;
  let at = block.start;
  let frames = 0;
  while (at < end && credit.isOpen) {
    const length = frameLengthAt(bytes, at);
    if (!credit.spend(bytes, at, length)) break;
    at += length;
    frames += 1;
  }
  if (at >= end) return block;
  const { requests } = block;
  const front: SendBlock = {
    ...block,
    end: at,
    frames,
    requests: requests?.filter((request) => request.at < at) ?? null,
  };
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
