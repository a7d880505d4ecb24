/**
 * Reassembles frames that the peer sends in chunks.
 *
 * The first chunk contains the frame's header, so the frame is checked and charged before memory is allocated. As in
 * `FrameDecoder`, memory grows with the bytes that arrive.
 */

import { ConduitError, ErrorCode } from "../../errors.ts";
import { HEADER_BYTES } from "../../limits.ts";
import { FrameType } from "../../wire/constants.ts";
import { FrameDecoder } from "../../wire/frame-decoder.ts";
import { type FrameTypes, isTopicFrame } from "../../wire/frame-types.ts";
import type { ReceiveMemory } from "../../wire/receive-memory.ts";

/** Frame types that may be sent in chunks. */
const chunkedTypes: FrameTypes = {
  maxPayloadBytes: (type, limit) =>
    (type >= FrameType.MESSAGE && type <= FrameType.RPC_ERROR) || type === FrameType.RPC_LIST || isTopicFrame(type)
      ? limit
      : -1,
};

type Chunk = Pick<FrameDecoder, "correlationHi" | "correlationLo" | "bytes" | "payloadStart" | "payloadEnd">;

/** An incomplete frame. */
interface HalfFrame {
  /** Sequence number of the frame, from 1. */
  readonly number: number;
  readonly idHi: number;
  readonly idLo: number;
  readonly header: Uint8Array<ArrayBuffer>;
  headerBytes: number;
  /** 0 until the header is complete, like `length`. */
  type: number;
  /** Its total length, and the number of missing payload bytes. */
  length: number;
  left: number;
  readonly decoder: FrameDecoder;
}

/** The assembler's connection. */
export interface AssemblerHost {
  readonly memory: ReceiveMemory;
  readonly maxMessageBytes: number;
  /** Limits of the number of incomplete frames, and of their total length. */
  readonly maxFrames: number;
  readonly maxBytes: number;
  /**
   * A frame of this type and length has started.
   * @throws ConduitError FLOW_CONTROL_ERROR if the peer has no credit for it
   */
  begun(type: number, length: number): void;
  /** The peer has aborted a started frame. */
  aborted(type: number, length: number): void;
}

export class ChunkAssembler {
  readonly #host: AssemblerHost;
  readonly #halves: HalfFrame[] = [];
  #bytes = 0;
  #begunFrames = 0;

  constructor(host: AssemblerHost) {
    this.#host = host;
  }

  /** Number of incomplete frames. */
  get frames(): number {
    return this.#halves.length;
  }

  /** Total length of the incomplete frames. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Sequence number of the oldest incomplete frame; 0 if there is none. */
  get oldestFrame(): number {
    return this.#halves[0]?.number ?? 0;
  }

  /** Bytes of memory held for incomplete frames. */
  get heldBytes(): number {
    return this.#halves.reduce((sum, { decoder }) => sum + decoder.heldBytes, 0);
  }

  /**
   * Adds a chunk, or a piece of one.
   * @returns the decoder whose current frame is the completed one, or null
   * @throws ConduitError if the peer violated the protocol
   */
  receive({ correlationHi: idHi, correlationLo: idLo, bytes, payloadStart, payloadEnd }: Chunk): FrameDecoder | null {
    const known = this.#halves.find((half) => half.idHi === idHi && half.idLo === idLo);
    if (payloadStart === payloadEnd) {
      if (known !== undefined) this.#abort(known);
      return null;
    }
    const half = known ?? this.#begin(idHi, idLo);
    const { header } = half;
    let at = payloadStart;
    if (half.headerBytes < HEADER_BYTES) {
      at += Math.min(HEADER_BYTES - half.headerBytes, payloadEnd - payloadStart);
      header.set(bytes.subarray(payloadStart, at), half.headerBytes);
      half.headerBytes += at - payloadStart;
      if (half.headerBytes < HEADER_BYTES) return null;
      this.#charge(half);
      half.decoder.push(header);
      if (half.decoder.next()) return this.#finish(half, payloadEnd - at);
    }
    half.left -= payloadEnd - at;
    if (at === payloadEnd) return null;
    half.decoder.push(bytes.subarray(at, payloadEnd));
    return half.decoder.next() ? this.#finish(half, -half.left) : null;
  }

  /** The connection has ended. */
  clear(): void {
    this.#halves.length = 0;
    this.#bytes = 0;
  }

  #begin(idHi: number, idLo: number): HalfFrame {
    const { maxMessageBytes, maxFrames, memory } = this.#host;
    if (idHi === 0 && idLo === 0) throw malformed("its correlation id is 0");
    if (this.#halves.length >= maxFrames) throw this.#tooMuch(this.#halves.length + 1, this.#bytes);
    this.#begunFrames += 1;
    const half: HalfFrame = {
      number: this.#begunFrames,
      idHi,
      idLo,
      header: new Uint8Array(HEADER_BYTES),
      headerBytes: 0,
      type: 0,
      length: 0,
      left: 0,
      decoder: new FrameDecoder(maxMessageBytes, chunkedTypes, memory),
    };
    this.#halves.push(half);
    return half;
  }

  /** Checks a complete header before memory is allocated. */
  #charge(half: HalfFrame): void {
    const view = new DataView(half.header.buffer);
    half.type = view.getUint16(6);
    const payloadBytes = view.getUint32(12);
    // The decoder rejects a larger one.
    if (payloadBytes > this.#host.maxMessageBytes) return;
    half.length = HEADER_BYTES + payloadBytes;
    half.left = payloadBytes;
    if (this.#bytes + half.length > this.#host.maxBytes) {
      throw this.#tooMuch(this.#halves.length, this.#bytes + half.length);
    }
    this.#bytes += half.length;
    this.#host.begun(half.type, half.length);
  }

  #finish(half: HalfFrame, excessBytes: number): FrameDecoder {
    if (excessBytes > 0) throw malformed(`it is ${excessBytes} bytes longer than the rest of its frame`);
    this.#remove(half);
    return half.decoder;
  }

  #tooMuch(frames: number, bytes: number): ConduitError {
    const { maxFrames, maxBytes } = this.#host;
    const message =
      `The peer sent chunks of ${frames} frames with ${bytes} bytes at once; ` +
      `${maxFrames} frames with ${maxBytes} bytes are allowed`;
    return new ConduitError(ErrorCode.FLOW_CONTROL_ERROR, message);
  }

  #abort(half: HalfFrame): void {
    this.#remove(half);
    half.decoder.drop();
    if (half.length > 0) this.#host.aborted(half.type, half.length);
  }

  #remove(half: HalfFrame): void {
    this.#halves.splice(this.#halves.indexOf(half), 1);
    this.#bytes -= half.length;
  }
}

function malformed(problem: string): ConduitError {
  return new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, `Cannot read CHUNK: ${problem}`);
}
