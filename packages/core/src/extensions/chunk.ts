/**
 * CHUNK: frames of more than 64 KiB are sent in parts, interleaved with all others, so that large frames don't delay
 * small ones. CHUNK_ACK acknowledges received bytes.
 */

import type { Extension, ExtensionHost, ReceivedFrame } from "../connection/extension.ts";
import { ChunkAssembler } from "../connection/receive/chunk-assembler.ts";
import { BYTES_PER_ACK } from "../connection/send/chunk-window.ts";
import type { ChunkLimits } from "../connection/send/large-frames.ts";
import { asConduitError, ConduitError, ErrorCode } from "../errors.ts";
import { DEFAULT_RECEIVE_QUEUE_BYTES, MAX_CHUNK_BYTES, MAX_CHUNKED_FRAMES } from "../limits.ts";
import { isCount } from "../util/is-count.ts";
import { isMap } from "../util/is-map.ts";
import { Flag, FrameType } from "../wire/constants.ts";

/** `{bytes}`. */
export const CHUNK_ACK_FRAME = 0x0105;
const MAX_ACK_BYTES = 32;

/** The receiving side of a connection. */
class Chunks {
  readonly connection: ExtensionHost;
  /** Created by the first chunk. */
  #assembler: ChunkAssembler | null = null;
  #unacknowledged = 0;

  constructor(connection: ExtensionHost) {
    this.connection = connection;
  }

  receive(frame: ReceivedFrame): void {
    const { connection } = this;
    try {
      if ((frame.flags & Flag.COMPRESSED) !== 0) {
        throw new ConduitError(
          ErrorCode.UNSUPPORTED_FLAG,
          "Chunks aren't compressed: the frame that they carry may be",
        );
      }
      this.#assembler ??= makeAssembler(connection);
      const whole = this.#assembler.receive(frame);
      connection.unfinished = this.#assembler;
      this.#acknowledge(frame);
      if (whole === null) return;
      connection.frameAssembled(whole);
      whole.leaveFrame();
    } catch (error) {
      // A frame that was rejected by its header must not continue.
      this.#assembler?.clear();
      connection.fail(asConduitError(error));
    }
  }

  closed(): void {
    this.#assembler?.clear();
  }

  #acknowledge({ payloadStart, payloadEnd, flags, isCut }: ReceivedFrame): void {
    this.#unacknowledged += payloadEnd - payloadStart;
    const isAsked = (flags & Flag.ACK_NOW) !== 0 && !isCut;
    if (this.#unacknowledged < (isAsked ? 1 : BYTES_PER_ACK)) return;
    this.connection.sendPayload(CHUNK_ACK_FRAME, { bytes: this.#unacknowledged });
    this.#unacknowledged = 0;
  }
}

/** The limits with default options. */
const USUAL: ChunkLimits = { messages: MAX_CHUNKED_FRAMES, bytes: DEFAULT_RECEIVE_QUEUE_BYTES };

export const chunk: Extension<ChunkLimits, Chunks> = {
  name: "chunk",
  frames: [
    { type: FrameType.CHUNK, maxPayloadBytes: MAX_CHUNK_BYTES },
    { type: CHUNK_ACK_FRAME, maxPayloadBytes: MAX_ACK_BYTES },
  ],
  // A peer without credit isn't always read, so acknowledgements could be stuck on both sides.
  needs: "credit",
  offer: ({ enableBackpressure, receiveQueueBytes }) =>
    enableBackpressure ? { messages: MAX_CHUNKED_FRAMES, bytes: receiveQueueBytes } : null,
  accept(theirs) {
    if (!isMap(theirs)) return null;
    const { messages, bytes } = theirs;
    if (!isCount(messages, 1) || !isCount(bytes, 1)) return null;
    // Shared, to save memory of idle connections.
    return messages === USUAL.messages && bytes === USUAL.bytes ? USUAL : { messages, bytes };
  },
  attach(connection, theirs) {
    if (theirs !== null) connection.useChunks(theirs);
  },
  makeState: (connection) => new Chunks(connection),
  receive(state, frame) {
    if (frame.type === FrameType.CHUNK) {
      state.receive(frame);
      return;
    }
    const bytes = state.connection.readMap(frame)?.["bytes"];
    if (!isCount(bytes)) {
      throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, "CHUNK_ACK needs bytes, an integer of at least 0");
    }
    state.connection.sendQueue.chunksAcknowledged(bytes);
  },
  closed: (state) => state.closed(),
};

function makeAssembler(connection: ExtensionHost): ChunkAssembler {
  const { maxMessageBytes, receiveQueueBytes } = connection.settings;
  return new ChunkAssembler({
    memory: connection.context.receiveMemory,
    maxMessageBytes,
    maxFrames: MAX_CHUNKED_FRAMES,
    maxBytes: receiveQueueBytes,
    begun: (type, length) => connection.requests.frameBegun(type, length),
    aborted: (type, length) => connection.requests.frameAborted(type, length),
  });
}
