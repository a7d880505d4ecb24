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
const BLOCK_BYTES = 4096;

/** Whole items in `bytes[at, end)`. */
interface Block {
  readonly bytes: Uint8Array;
  at: number;
  end: number;
  /** Bytes of the frames' headers. */
  headers: number;
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
    if (isBinary || length >= OWN_BLOCK_BYTES) {
      const bytes = payloadOf(frame);
      this.#add({ bytes, at: 0, end: length, headers: HEADER_BYTES, isBinary });
      return;
    }
    let block = this.#open;
    if (block === null || block.bytes.length - block.end < length) {
      block = { bytes: new Uint8Array(BLOCK_BYTES), at: 0, end: 0, headers: 0, isBinary: false };
      this.#blocks.push(block);
      this.#open = block;
    }
    block.bytes.set(frame.bytes.subarray(payloadStart, payloadEnd), block.end);
    block.end += length;
    block.headers += HEADER_BYTES;
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

  /** Drops everything. */
  clear(): void {
    this.#blocks.clear();
    this.#open = null;
    this.#dropParts();
    this.bytes = 0;
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

/** The payload in memory of its own: the frame's, if nobody else uses that, else a copy. */
function payloadOf(frame: ReceivedFrame): Uint8Array {
  const { bytes, payloadStart, payloadEnd, exclusive } = frame;
  if (!exclusive) return bytes.slice(payloadStart, payloadEnd);
  frame.isShared = true;
  return new Uint8Array(bytes.buffer, bytes.byteOffset + payloadStart, payloadEnd - payloadStart);
}
