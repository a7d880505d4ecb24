/**
 * A stream's received items that the application hasn't taken yet. They are kept encoded and decoded when they are
 * taken, so they use no more memory than the peer was granted.
 */

import type { ReceivedFrame } from "../../connection/extension.ts";
import { HEADER_BYTES } from "../../limits.ts";
import { Fifo } from "../../util/fifo.ts";
import type { PayloadReader } from "../../wire/payload-reader.ts";
import { StreamFlag } from "./stream-frames.ts";

/** Smaller payloads are copied into shared blocks, to save an array for each. */
const OWN_BLOCK_BYTES = 1024;
/** Block sizes double, so that a few small items between large ones take little memory. */
const FIRST_BLOCK_BYTES = 64;
const MAX_BLOCK_BYTES = 4096;
const NO_HEAD = new Uint8Array(0);

/** Whole items in `bytes[at, end)`. */
interface Block {
  readonly bytes: Uint8Array;
  at: number;
  end: number;
  /** Bytes that its items' frame headers count in addition. */
  headers: number;
  /** Whether it is the content of one binary item instead of MessagePack. */
  readonly isBinary: boolean;
}

export class ItemBuffer {
  readonly #blocks = new Fifo<Block>();
  /** The last block, while payloads are still copied into it. */
  #open: Block | null = null;
  /** Frames of an incomplete item. */
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  #partFrames = 0;
  /** Bytes of the frames of items that weren't taken yet, including headers. */
  bytes = 0;

  /** Whether a complete item is available. */
  get hasItem(): boolean {
    return this.#blocks.length > 0;
  }

  add(frame: ReceivedFrame): void {
    const { payloadStart, payloadEnd, flags } = frame;
    const length = payloadEnd - payloadStart;
    const isBinary = (flags & StreamFlag.BINARY) !== 0;
    this.bytes += HEADER_BYTES + length;
    if (this.#partBytes > 0 || (flags & StreamFlag.MORE) !== 0) {
      this.#parts.push(payloadOf(frame));
      this.#partBytes += length;
      this.#partFrames += 1;
      if ((flags & StreamFlag.MORE) === 0) this.#joinParts(isBinary);
      return;
    }
    if (length >= OWN_BLOCK_BYTES) {
      const bytes = payloadOf(frame);
      this.#add({ bytes, at: 0, end: length, headers: HEADER_BYTES, isBinary });
      return;
    }
    const head = isBinary ? binaryHead(length) : NO_HEAD;
    const block = this.#blockFor(head.length + length);
    block.bytes.set(head, block.end);
    block.bytes.set(frame.bytes.subarray(payloadStart, payloadEnd), block.end + head.length);
    block.end += head.length + length;
    block.headers += HEADER_BYTES - head.length;
    frame.isShared = false;
  }

  /**
   * Removes and returns the next item. `bytes` decreases by the freed bytes.
   * @throws ConduitError if it isn't valid MessagePack
   */
  take(reader: PayloadReader): unknown {
    const block = this.#blocks.peek() as Block;
    const { bytes, at, end } = block;
    let item: unknown = bytes;
    if (block.isBinary) {
      block.at = end;
    } else {
      item = reader.readItem(bytes, at, end);
      block.at = reader.itemEnd;
    }
    this.bytes -= block.at - at;
    if (block.at < end) return item;
    this.bytes -= block.headers;
    this.#blocks.shift();
    if (block === this.#open) this.#open = null;
    return item;
  }

  /** Drops an incomplete item that won't be completed. */
  dropPart(): void {
    this.bytes -= this.#partBytes + HEADER_BYTES * this.#partFrames;
    this.#dropParts();
  }

  /** Drops everything. */
  clear(): void {
    this.#blocks.clear();
    this.#open = null;
    this.#dropParts();
    this.bytes = 0;
  }

  /** Returns a block with room for `length` more bytes. */
  #blockFor(length: number): Block {
    const open = this.#open;
    if (open !== null && open.bytes.length - open.end >= length) return open;
    const size = open === null ? FIRST_BLOCK_BYTES : Math.min(2 * open.bytes.length, MAX_BLOCK_BYTES);
    const bytes = new Uint8Array(Math.max(size, length));
    const block = { bytes, at: 0, end: 0, headers: 0, isBinary: false };
    this.#blocks.push(block);
    this.#open = block;
    return block;
  }

  #add(block: Block): void {
    this.#blocks.push(block);
    this.#open = null;
  }

  #joinParts(isBinary: boolean): void {
    const bytes = new Uint8Array(this.#partBytes);
    let end = 0;
    for (const part of this.#parts) {
      bytes.set(part, end);
      end += part.length;
    }
    this.#add({ bytes, at: 0, end, headers: HEADER_BYTES * this.#partFrames, isBinary });
    this.#dropParts();
  }

  #dropParts(): void {
    this.#parts = [];
    this.#partBytes = 0;
    this.#partFrames = 0;
  }
}

/** MessagePack's header of a small binary item. */
function binaryHead(length: number): Uint8Array {
  return length < 0x100 ? Uint8Array.of(0xc4, length) : Uint8Array.of(0xc5, length >>> 8, length & 0xff);
}

/** Returns the payload in memory of its own: the frame's memory if it is unshared and about as large, a copy otherwise. */
function payloadOf(frame: ReceivedFrame): Uint8Array {
  const { bytes, payloadStart, payloadEnd, exclusive } = frame;
  frame.isShared = exclusive && 2 * (payloadEnd - payloadStart) >= bytes.buffer.byteLength;
  if (!frame.isShared) return bytes.slice(payloadStart, payloadEnd);
  return new Uint8Array(bytes.buffer, bytes.byteOffset + payloadStart, payloadEnd - payloadStart);
}
