/**
 * Splits a stream of chunks into frames.
 *
 * Theory of operation. A frame that is complete in a chunk is read in place: `bytes` is the chunk. Only a frame that
 * is split across chunks is copied, into `partial`. This buffer first has room for the header, then, once the header
 * is checked, for up to 1,040 KiB of the frame, and once these have arrived, for all of it. So at most a mebibyte is
 * copied twice, and a peer must send that much of a frame before more memory is allocated. Memory is released when
 * the frame outgrows it, or after the frame was read if nothing refers to it. All checks use the header, before a
 * payload is stored.
 *
 * A split CHUNK isn't copied here. Each piece of its payload is passed on as a frame of its own, because the receiver
 * reassembles chunks anyway.
 *
 * The caller may stop calling `next()` in the middle of a chunk. A chunk pushed while bytes are undecoded is appended
 * to them in a doubling buffer; `keepRest` copies the rest of a chunk whose memory will be reused.
 */
import { ConduitError, ErrorCode } from "../errors.ts";
import { HEADER_BYTES } from "../limits.ts";
import { Flag, FrameType, MAGIC, VERSION } from "./constants.ts";
import { foreignProtocol } from "./foreign-protocol.ts";
import { baseFrameTypes, type FrameTypes } from "./frame-types.ts";
import { FRESH_MEMORY, type ReceiveMemory } from "./receive-memory.ts";

const EMPTY: Uint8Array = new Uint8Array(0);
/**
 * First allocation for a split frame, which bounds the cost of a peer that declares much and sends little. Holds 1
 * MiB and its envelope.
 */
const FIRST_PARTIAL_BYTES = 1040 * 1024;
/** `readTarget` isn't used for less than this, because the next read also brings the following frames. */
const MIN_LANDING_BYTES = 32 * 1024;
/** Below this, a loop copies faster than `set` does. */
const LOOP_COPY_BYTES = 32;
/** Unknown flags that may change the meaning of a payload. Unknown flags above them are hints, and ignored. */
const UNKNOWN_FLAGS = 0x0f80;
/** Flags that change the meaning of the payload and can't be negotiated. */
const REFUSED_FLAGS = Flag.ENCRYPTED | Flag.FRAGMENT | Flag.LAST_FRAGMENT | UNKNOWN_FLAGS;

/** Splits pushed chunks into frames. The fields describe the current frame. */
export class FrameDecoder {
  /** Largest payload accepted, in bytes, checked when a header is complete. May be changed at any time. */
  maxPayloadBytes: number;
  /** Frame types accepted besides the base types. May be changed between two connections. */
  types: FrameTypes;
  /** Number of frames that were split across chunks. */
  cutFrames = 0;

  /**
   * Type of the current frame. The fields are valid from `next()` returning true until the next `next()` or `push()`.
   */
  type = 0;
  /** Flags of the current frame. */
  flags = 0;
  /** Upper half of the correlation id, unsigned 32 bits. */
  correlationHi = 0;
  /** Lower half of the correlation id, unsigned 32 bits. */
  correlationLo = 0;
  /** Contains the current frame; its header is in the 32 bytes before `payloadStart`. */
  bytes: Uint8Array = EMPTY;
  payloadStart = 0;
  payloadEnd = 0;
  /** Whether `bytes` was allocated for this frame only, so that decoded values may refer to it instead of copying. */
  exclusive = false;
  /**
   * Whether decoded values may refer to `bytes`. Set it to false after reading an exclusive frame without keeping
   * references.
   */
  isShared = true;

  private input: Uint8Array = EMPTY;
  private position = 0;
  private inputEnd = 0;
  /** Whether `input` is our own buffer, with room after `inputEnd`. */
  private inputOwned = false;
  private partial: Uint8Array | null = null;
  private partialLength = 0;
  /** Size of the split frame; 0 while its header is incomplete. */
  private partialTotal = 0;
  /** Missing bytes of the current CHUNK. */
  private chunkLeft = 0;
  private failure: ConduitError | null = null;
  private readonly memory: ReceiveMemory;

  constructor(maxPayloadBytes: number, types: FrameTypes, memory: ReceiveMemory = FRESH_MEMORY) {
    this.maxPayloadBytes = maxPayloadBytes;
    this.types = types;
    this.memory = memory;
  }

  /** Unix milliseconds at the sender. */
  get timestampMs(): number {
    const at = this.payloadStart;
    return at < HEADER_BYTES ? 0 : readUint32(this.bytes, at - 8) * 0x1_0000_0000 + readUint32(this.bytes, at - 4);
  }

  /** Bytes received that `next()` hasn't turned into frames yet. */
  get bufferedBytes(): number {
    return this.inputEnd - this.position + this.partialLength;
  }

  /** Whether there is nothing to decode, so that another connection may use this decoder. */
  get isIdle(): boolean {
    const hasBytes = this.position < this.inputEnd || this.partial !== null || this.chunkLeft > 0;
    return !hasBytes && this.failure === null;
  }

  /** Whether the current CHUNK is incomplete. */
  get isCut(): boolean {
    return this.chunkLeft > 0;
  }

  /** Number of the partially received frame; 0 if there is none. */
  get incompleteFrame(): number {
    return this.partial === null ? 0 : this.cutFrames;
  }

  /** Bytes of memory held for {@link bufferedBytes}. */
  get heldBytes(): number {
    return this.input.length + (this.partial === null ? 0 : this.partial.length);
  }

  /**
   * Adds a chunk. The caller must not change it until everything is decoded or `keepRest` was called. Never throws;
   * after a failure the chunk is ignored.
   */
  push(chunk: Uint8Array): void {
    if (this.failure !== null || chunk.length === 0) return;
    if (this.position < this.inputEnd) {
      this.append(chunk);
      return;
    }
    // Convert subclasses (Node's Buffer) to plain Uint8Arrays, to keep the reading code monomorphic.
    this.input =
      chunk.constructor === Uint8Array ? chunk : new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.position = 0;
    this.inputEnd = chunk.length;
    this.inputOwned = false;
  }

  /**
   * Moves to the next frame. Returns false if more bytes are needed.
   * @throws ConduitError BAD_MAGIC, UNSUPPORTED_VERSION, UNKNOWN_FRAME_TYPE, UNSUPPORTED_FLAG, MESSAGE_TOO_LARGE. The
   *   stream can't be read after that: every later call throws the same error.
   */
  next(): boolean {
    if (this.failure !== null) throw this.failure;
    if (this.exclusive) this.leaveMemory();
    if (this.chunkLeft > 0) return this.nextPiece();
    if (this.partial !== null) return this.continuePartial(this.partial);
    const input = this.input;
    const start = this.position;
    const available = this.inputEnd - start;
    if (available < HEADER_BYTES) {
      this.bytes = EMPTY;
      this.payloadStart = 0;
      return available === 0 ? false : this.continuePartial(this.startPartial(HEADER_BYTES, 0));
    }
    const total = this.readHeader(input, start);
    if (available < total) {
      if (this.type === FrameType.CHUNK) {
        this.advance(HEADER_BYTES);
        this.chunkLeft = total - HEADER_BYTES;
        return this.nextPiece();
      }
      this.bytes = EMPTY;
      this.payloadStart = 0;
      const size = Math.min(total, Math.max(FIRST_PARTIAL_BYTES, available));
      return this.continuePartial(this.startPartial(size, total));
    }
    this.bytes = input;
    this.payloadStart = start + HEADER_BYTES;
    this.payloadEnd = start + total;
    this.advance(total);
    return true;
  }

  /**
   * Returns memory for the next bytes of a large partial frame, so that they needn't be copied; null if they must be
   * pushed.
   */
  readTarget(): Uint8Array | null {
    const { partial, partialLength, partialTotal } = this;
    if (partial === null || partialTotal - partialLength < MIN_LANDING_BYTES || this.position < this.inputEnd)
      return null;
    const buffer = partialLength < partial.length ? partial : this.grown(partial, partialLength + 1);
    return buffer.subarray(partialLength, partialTotal);
  }

  /** `count` bytes were stored in the memory from {@link readTarget}. */
  bytesRead(count: number): void {
    this.partialLength += count;
  }

  /** Copies the undecoded bytes, because the chunk's memory is about to be reused. */
  keepRest(): void {
    if (this.position === this.inputEnd || this.inputOwned) return;
    this.input = this.input.slice(this.position, this.inputEnd);
    this.inputEnd = this.input.length;
    this.position = 0;
    this.inputOwned = true;
  }

  /** Removes and returns the undecoded bytes after the current frame. */
  takeRest(): Uint8Array {
    const rest = this.input.slice(this.position, this.inputEnd);
    this.input = EMPTY;
    this.position = 0;
    this.inputEnd = 0;
    return rest;
  }

  /** Clears the current frame; its fields are no longer valid. */
  leaveFrame(): void {
    if (this.exclusive) this.leaveMemory();
    this.wait();
  }

  /** Drops the received part of a split frame. */
  drop(): void {
    if (this.partial !== null && this.partial.length > HEADER_BYTES) this.memory.release(this.partial);
    this.partial = null;
    this.partialLength = 0;
    this.partialTotal = 0;
  }

  /** Drops all received bytes when the connection has ended. A stream may still read into a split frame's memory. */
  forget(): void {
    this.input = EMPTY;
    this.position = 0;
    this.inputEnd = 0;
    this.partial = null;
    this.partialLength = 0;
    this.partialTotal = 0;
  }

  /** Releases the current frame's own memory. */
  private leaveMemory(): void {
    this.exclusive = false;
    if (!this.isShared) this.memory.release(this.bytes);
  }

  private startPartial(size: number, total: number): Uint8Array {
    const partial = size === HEADER_BYTES ? new Uint8Array(HEADER_BYTES) : this.memory.allocate(size);
    this.partial = partial;
    this.partialLength = 0;
    this.partialTotal = total;
    this.cutFrames += 1;
    return partial;
  }

  /** Copies the input's bytes of the split frame. If the frame is complete, makes it the current one and returns true. */
  private continuePartial(partial: Uint8Array): boolean {
    let buffer = partial;
    if (this.partialTotal === 0) {
      this.fill(buffer, HEADER_BYTES);
      this.checkMagic(buffer, 0, Math.min(this.partialLength, 4));
      if (this.partialLength < HEADER_BYTES) return this.wait();
      const total = this.readHeader(buffer, 0);
      if (this.type === FrameType.CHUNK && total > HEADER_BYTES) {
        this.partial = null;
        this.partialLength = 0;
        this.chunkLeft = total - HEADER_BYTES;
        return this.nextPiece();
      }
      this.partialTotal = total;
    }
    const total = this.partialTotal;
    const needed = Math.min(total, this.partialLength + this.inputEnd - this.position);
    if (needed > buffer.length) buffer = this.grown(buffer, needed);
    this.fill(buffer, total);
    if (this.partialLength < total) return this.wait();
    this.bytes = buffer;
    this.payloadStart = HEADER_BYTES;
    this.payloadEnd = total;
    this.exclusive = true;
    this.isShared = true;
    this.partial = null;
    this.partialLength = 0;
    this.partialTotal = 0;
    return true;
  }

  /** Makes the received part of the current CHUNK a frame. */
  private nextPiece(): boolean {
    const count = Math.min(this.chunkLeft, this.inputEnd - this.position);
    if (count === 0) return this.wait();
    this.bytes = this.input;
    this.payloadStart = this.position;
    this.payloadEnd = this.position + count;
    this.chunkLeft -= count;
    this.advance(count);
    return true;
  }

  /** Moves the split frame to memory with room for `needed` bytes: the first part, or all of it. */
  private grown(buffer: Uint8Array, needed: number): Uint8Array {
    const total = this.partialTotal;
    const larger = this.memory.allocate(needed <= FIRST_PARTIAL_BYTES ? Math.min(total, FIRST_PARTIAL_BYTES) : total);
    larger.set(buffer.subarray(0, this.partialLength));
    this.partial = larger;
    if (buffer.length > HEADER_BYTES) this.memory.release(buffer);
    return larger;
  }

  private wait(): false {
    this.bytes = EMPTY;
    this.payloadStart = 0;
    return false;
  }

  /** Moves bytes from the input to `buffer`, up to `target` bytes in it. */
  private fill(buffer: Uint8Array, target: number): void {
    const count = Math.min(target - this.partialLength, this.inputEnd - this.position);
    if (count <= 0) return;
    const input = this.input;
    const from = this.position;
    const to = this.partialLength;
    if (count <= LOOP_COPY_BYTES) {
      for (let i = 0; i < count; i++) buffer[to + i] = input[from + i] as number;
    } else {
      buffer.set(input.subarray(from, from + count), to);
    }
    this.partialLength = to + count;
    this.advance(count);
  }

  private advance(count: number): void {
    const position = this.position + count;
    if (position < this.inputEnd) {
      this.position = position;
      return;
    }
    this.input = EMPTY;
    this.position = 0;
    this.inputEnd = 0;
  }

  private append(chunk: Uint8Array): void {
    const rest = this.inputEnd - this.position;
    if (!this.inputOwned || this.input.length - this.inputEnd < chunk.length) {
      const larger = new Uint8Array((rest + chunk.length) * 2);
      larger.set(this.input.subarray(this.position, this.inputEnd));
      this.input = larger;
      this.position = 0;
      this.inputEnd = rest;
      this.inputOwned = true;
    }
    this.input.set(chunk, this.inputEnd);
    this.inputEnd += chunk.length;
  }

  /** Reads and checks the header at `at`, sets the frame's fields and returns the size of the whole frame. */
  private readHeader(bytes: Uint8Array, at: number): number {
    this.checkMagic(bytes, at, 4);
    const version = readUint16(bytes, at + 4);
    const type = readUint16(bytes, at + 6);
    const flags = readUint16(bytes, at + 8);
    const length = readUint32(bytes, at + 12);
    this.type = type;
    this.flags = flags;
    this.correlationHi = readUint32(bytes, at + 16);
    this.correlationLo = readUint32(bytes, at + 20);
    if (version !== VERSION) {
      throw this.fail(ErrorCode.UNSUPPORTED_VERSION, `version ${hex(version)} is not ${hex(VERSION)}`);
    }
    // Check the base types first: each client's own types aren't in the CPU's caches, and take 0.15 µs in a broadcast to thousands.
    const base = baseFrameTypes.maxPayloadBytes(type, this.maxPayloadBytes);
    const limit = base >= 0 ? base : this.types.maxPayloadBytes(type, this.maxPayloadBytes);
    if (limit < 0) throw this.fail(ErrorCode.UNKNOWN_FRAME_TYPE, `type ${hex(type)} is not known`);
    if ((flags & REFUSED_FLAGS) !== 0) {
      const problem = `flags ${hex(flags)} mean encryption, fragments or something unknown, which was not agreed on`;
      throw this.fail(ErrorCode.UNSUPPORTED_FLAG, problem);
    }
    if (length > limit) {
      const problem = `payload of ${length} bytes exceeds the limit of ${limit} bytes`;
      throw this.fail(ErrorCode.MESSAGE_TOO_LARGE, problem, { bytes: length, limit });
    }
    return HEADER_BYTES + length;
  }

  /**
   * Checks the first `count` (at most 4) bytes immediately, so that a client of another protocol is rejected without
   * waiting.
   */
  private checkMagic(bytes: Uint8Array, at: number, count: number): void {
    for (let i = 0; i < count; i++) {
      if (bytes[at + i] !== ((MAGIC >>> (24 - 8 * i)) & 0xff)) throw this.badMagic(bytes, at, count);
    }
  }

  private badMagic(bytes: Uint8Array, at: number, count: number): ConduitError {
    let received = "";
    for (let i = 0; i < count; i++) received += (bytes[at + i] as number).toString(16).padStart(2, "0");
    const problem = `it starts with ${received} (hex) instead of ${MAGIC.toString(16)}`;
    const protocol = foreignProtocol(bytes, at, count);
    return this.fail(ErrorCode.BAD_MAGIC, problem, protocol === null ? { received } : { received, protocol });
  }

  /** Stores the failure and releases all bytes. */
  private fail(code: number, problem: string, details?: Readonly<Record<string, unknown>>): ConduitError {
    const failure = new ConduitError(code, `Cannot decode frame: ${problem}`, { details });
    this.failure = failure;
    this.input = EMPTY;
    this.position = 0;
    this.inputEnd = 0;
    this.partial = null;
    this.partialLength = 0;
    this.wait();
    return failure;
  }
}

function readUint16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

function readUint32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(4, "0")}`;
}
