/**
 * Items of one stream that have arrived and the application hasn't taken. They are kept as they came and decoded when
 * they are taken, so they take the memory that the peer was granted, whatever they decode to.
 */

import type { ReceivedFrame } from "../../connection/extension.ts";
import { HEADER_BYTES } from "../../limits.ts";
import { Fifo } from "../../util/fifo.ts";
import type { PayloadReader } from "../../wire/payload-reader.ts";
import { StreamFlag } from "./stream-frames.ts";

/** Smaller payloads are copied into blocks, so that each doesn't take an array of its own. */
const OWN_BLOCK_BYTES = 1024;
/** Blocks double while they fill, so that few small items between large ones take little. */
const FIRST_BLOCK_BYTES = 64;
const MAX_BLOCK_BYTES = 4096;
const NO_HEAD = new Uint8Array(0);

/** Whole items in `bytes[at, end)`. */
interface Block {
  readonly bytes: Uint8Array;
  at: number;
  end: number;
  /** Bytes that the frames of its items count beyond `bytes`. */
  headers: number;
  /** Whether it is the content of one binary item, and not MessagePack. */
  readonly isBinary: boolean;
}

export class ItemBuffer {
  readonly #blocks = new Fifo<Block>();
  /** The last block, while payloads are still copied into it. */
  #open: Block | null = null;
  /** The frames of an item that isn't complete. */
  #parts: Uint8Array[] = [];
  #partBytes = 0;
  #partFrames = 0;
  /** Bytes of frames, headers included, whose items haven't been taken. */
  bytes = 0;

  /** Whether a complete item is here. */
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
   * Removes and returns the next item. The bytes that become free are what `bytes` shrinks by.
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

  /** Drops the item that isn't complete, which will never be. */
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

  /** A block with room for `length` more bytes. */
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

/** The payload in memory of its own: the frame's, if nobody else uses that and it is about as large, else a copy. */
function payloadOf(frame: ReceivedFrame): Uint8Array {
  const { bytes, payloadStart, payloadEnd, exclusive } = frame;
  frame.isShared = exclusive && 2 * (payloadEnd - payloadStart) >= bytes.buffer.byteLength;
  if (!frame.isShared) return bytes.slice(payloadStart, payloadEnd);
  return new Uint8Array(bytes.buffer, bytes.byteOffset + payloadStart, payloadEnd - payloadStart);
}
