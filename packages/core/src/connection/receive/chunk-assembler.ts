/**
 * Puts together the frames that a peer sends in chunks.
 *
 * The first chunk has the frame's header, so everything is checked and charged before memory is taken. Memory grows
 * with the bytes that arrive, as `FrameDecoder` does it for each of the frames.
 */

import { ConduitError, ErrorCode } from "../../errors.ts";
import { HEADER_BYTES } from "../../limits.ts";
import { FrameType } from "../../wire/constants.ts";
import { FrameDecoder } from "../../wire/frame-decoder.ts";
import type { FrameTypes } from "../../wire/frame-types.ts";
import type { ReceiveMemory } from "../../wire/receive-memory.ts";

/** Frame types that may be sent in chunks. */
const chunkedTypes: FrameTypes = {
  maxPayloadBytes: (type, limit) =>
    (type >= FrameType.MESSAGE && type <= FrameType.RPC_ERROR) || type === FrameType.RPC_LIST ? limit : -1,
};

type Chunk = Pick<FrameDecoder, "correlationHi" | "correlationLo" | "bytes" | "payloadStart" | "payloadEnd">;

/** A frame of which not all chunks have come. */
interface HalfFrame {
  /** How many frames had begun before it, and itself. */
  readonly number: number;
  readonly idHi: number;
  readonly idLo: number;
  readonly type: number;
  /** Its whole length, and how much of that hasn't come. */
  readonly length: number;
  left: number;
  readonly decoder: FrameDecoder;
}

/** The assembler's connection. */
export interface AssemblerHost {
  readonly memory: ReceiveMemory;
  readonly maxMessageBytes: number;
  /** Frames that may be unfinished at the same time, and the sum of their lengths. */
  readonly maxFrames: number;
  readonly maxBytes: number;
  /**
   * A frame of this type and length begins.
   * @throws ConduitError FLOW_CONTROL_ERROR if the peer has no credit for it
   */
  begun(type: number, length: number): void;
  /** The peer gave up a frame that had begun. */
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

  /** Unfinished frames. */
  get frames(): number {
    return this.#halves.length;
  }

  /** The sum of their lengths. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Number of the oldest one; 0 if there is none. */
  get oldestFrame(): number {
    return this.#halves[0]?.number ?? 0;
  }

  /** Bytes of memory held for them. */
  get heldBytes(): number {
    return this.#halves.reduce((sum, { decoder }) => sum + decoder.heldBytes, 0);
  }

  /**
   * A chunk arrived.
   * @returns the decoder of a frame that is complete, whose current frame it is, or null
   * @throws ConduitError if the peer broke the protocol
   */
  receive(chunk: Chunk): FrameDecoder | null {
    const { correlationHi: idHi, correlationLo: idLo, bytes, payloadStart, payloadEnd } = chunk;
    const length = payloadEnd - payloadStart;
    const known = this.#halves.find((half) => half.idHi === idHi && half.idLo === idLo);
    if (length === 0) {
      if (known !== undefined) this.#abort(known);
      return null;
    }
    const half = known ?? this.#begin(idHi, idLo, bytes, payloadStart, payloadEnd);
    half.left -= length;
    if (half.left < 0) throw malformed(`it is ${-half.left} bytes longer than the rest of its frame`);
    half.decoder.push(bytes.subarray(payloadStart, payloadEnd));
    if (!half.decoder.next()) return null;
    this.#remove(half);
    return half.decoder;
  }

  /** The connection has ended. */
  clear(): void {
    this.#halves.length = 0;
    this.#bytes = 0;
  }

  #begin(idHi: number, idLo: number, bytes: Uint8Array, start: number, end: number): HalfFrame {
    const { maxMessageBytes, maxFrames, maxBytes, memory } = this.#host;
    if (idHi === 0 && idLo === 0) throw malformed("its correlation id is 0");
    if (end - start < HEADER_BYTES) throw malformed("the first one has no complete header");
    const view = new DataView(bytes.buffer, bytes.byteOffset + start, HEADER_BYTES);
    const type = view.getUint16(6);
    const payloadBytes = view.getUint32(12);
    const length = HEADER_BYTES + payloadBytes;
    if (payloadBytes <= maxMessageBytes && (this.#halves.length >= maxFrames || this.#bytes + length > maxBytes)) {
      const message =
        `The peer sent chunks of ${this.#halves.length + 1} frames with ${this.#bytes + length} bytes at once; ` +
        `${maxFrames} frames with ${maxBytes} bytes are allowed`;
      throw new ConduitError(ErrorCode.FLOW_CONTROL_ERROR, message);
    }
    const decoder = new FrameDecoder(maxMessageBytes, chunkedTypes, memory);
    this.#begunFrames += 1;
    const half: HalfFrame = { number: this.#begunFrames, idHi, idLo, type, length, left: length, decoder };
    // Checks the header before memory is taken. The decoder refuses what is larger than a message may be.
    this.#host.begun(type, length);
    this.#halves.push(half);
    this.#bytes += length;
    return half;
  }

  #abort(half: HalfFrame): void {
    this.#remove(half);
    half.decoder.drop();
    this.#host.aborted(half.type, half.length);
  }

  #remove(half: HalfFrame): void {
    this.#halves.splice(this.#halves.indexOf(half), 1);
    this.#bytes -= half.length;
  }
}

function malformed(problem: string): ConduitError {
  return new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, `Cannot read CHUNK: ${problem}`);
}
