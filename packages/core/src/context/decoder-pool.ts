import { FrameDecoder } from "../wire/frame-decoder.ts";
import type { FrameTypes } from "../wire/frame-types.ts";
import type { ReceiveMemory } from "../wire/receive-memory.ts";

/**
 * Lends decoders to connections that have bytes to decode. A connection without an incomplete frame has none: 200 bytes
 * less, a twelfth of what an idle one takes.
 */
export class DecoderPool {
  readonly #memory: ReceiveMemory;
  /** One is enough: it comes back before the next chunk, unless a frame is incomplete. */
  #spare: FrameDecoder | null = null;

  constructor(memory: ReceiveMemory) {
    this.#memory = memory;
  }

  /** @param cutFrames frames of this connection that chunks have cut so far */
  take(maxPayloadBytes: number, types: FrameTypes, cutFrames: number): FrameDecoder {
    const decoder = this.#spare ?? new FrameDecoder(maxPayloadBytes, types, this.#memory);
    this.#spare = null;
    decoder.maxPayloadBytes = maxPayloadBytes;
    decoder.types = types;
    decoder.cutFrames = cutFrames;
    return decoder;
  }

  /** @param decoder that is idle */
  give(decoder: FrameDecoder): void {
    this.#spare = decoder;
  }
}
