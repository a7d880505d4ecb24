import { FrameDecoder } from "../wire/frame-decoder.ts";
import type { FrameTypes } from "../wire/frame-types.ts";
import type { ReceiveMemory } from "../wire/receive-memory.ts";

/**
 * Lends decoders to connections that have bytes to decode. A connection without an incomplete frame holds none, which
 * saves 200 bytes, a twelfth of an idle connection.
 */
export class DecoderPool {
  readonly #memory: ReceiveMemory;
  /** One is enough, because it is returned before the next chunk unless a frame is incomplete. */
  #spare: FrameDecoder | null = null;

  constructor(memory: ReceiveMemory) {
    this.#memory = memory;
  }

  /** @param cutFrames number of this connection's frames that were split across chunks so far */
  take(maxPayloadBytes: number, types: FrameTypes, cutFrames: number): FrameDecoder {
    const decoder = this.#spare ?? new FrameDecoder(maxPayloadBytes, types, this.#memory);
    this.#spare = null;
    decoder.maxPayloadBytes = maxPayloadBytes;
    decoder.types = types;
    decoder.cutFrames = cutFrames;
    return decoder;
  }

  /** @param decoder an idle decoder */
  give(decoder: FrameDecoder): void {
    this.#spare = decoder;
  }
}
