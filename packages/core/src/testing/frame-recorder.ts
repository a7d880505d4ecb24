import { decode, decodeMulti } from "@msgpack/msgpack";
import { COMPRESSED, FrameParser, type ReceivedFrame, Type, type TypeName, typeName } from "./raw-frames.ts";

/** The direction of a frame. */
export type FrameDirection = "to-server" | "to-client";

/** A frame that was sent. */
export interface RecordedFrame {
  readonly direction: FrameDirection;
  /** Number of the connection, starting from 1, in the order of connecting. */
  readonly connection: number;
  /** Name of its type as in PROTOCOL.md, or its number if it has no name. */
  readonly type: TypeName | (string & {});
  /** Correlation id; 0 for none. */
  readonly id: bigint;
  readonly flags: number;
  /**
   * The decoded payload: null for none, a list of items for INPUT and OUTPUT, and raw bytes if it isn't a complete
   * value, such as in a CHUNK.
   */
  readonly payload: unknown;
  /** Size of the payload as sent. */
  readonly payloadBytes: number;
  /** When it was sent, by the network's clock. */
  readonly timeMs: number;
}

/** Flags of INPUT and OUTPUT: a binary without a header, and an item that continues in the next frame. */
const BINARY = 0x0040;
const MORE = 0x2000;
/** Limit of an inflated payload. */
const MAX_INFLATED_BYTES = 2 ** 30;

/** Records and decodes all frames of a network when they are sent. */
export class FrameRecorder {
  #all: RecordedFrame[] = [];
  readonly #now: () => number;
  readonly #inflate: (bytes: Uint8Array, maxBytes: number) => Uint8Array;

  /** @internal */
  constructor(now: () => number, inflate: (bytes: Uint8Array, maxBytes: number) => Uint8Array) {
    this.#now = now;
    this.#inflate = inflate;
  }

  /** All frames since the start or the last `clear`, oldest first. */
  get all(): readonly RecordedFrame[] {
    return this.#all;
  }

  /** The frames of a type, in one direction or both. */
  of(type: TypeName, direction?: FrameDirection): RecordedFrame[] {
    return this.#all.filter((frame) => frame.type === type && (direction ?? frame.direction) === frame.direction);
  }

  /** Discards the recorded frames. */
  clear(): void {
    this.#all = [];
  }

  /** @internal Records the frames of a new connection. */
  watch(connection: number): (direction: FrameDirection, bytes: Uint8Array) => void {
    const parsers = { "to-server": new FrameParser(), "to-client": new FrameParser() };
    return (direction, bytes) => {
      for (const frame of parsers[direction].push(bytes)) this.#add(frame, direction, connection);
    };
  }

  #add(frame: ReceivedFrame, direction: FrameDirection, connection: number): void {
    const { id, flags, payloadBytes } = frame;
    this.#all.push({
      direction,
      connection,
      type: typeName(frame),
      id,
      flags,
      payload: this.#payload(frame),
      payloadBytes: payloadBytes.length,
      timeMs: this.#now(),
    });
  }

  #payload({ type, flags, payloadBytes }: ReceivedFrame): unknown {
    const hasItems = type === Type.INPUT || type === Type.OUTPUT;
    if (payloadBytes.length === 0) return null;
    if (type === Type.CHUNK || (hasItems && (flags & (BINARY | MORE)) !== 0)) return payloadBytes;
    try {
      if (hasItems) return [...decodeMulti(payloadBytes)];
      const isCompressed = (flags & COMPRESSED) !== 0;
      return decode(isCompressed ? this.#inflate(payloadBytes, MAX_INFLATED_BYTES) : payloadBytes);
    } catch {
      // A raw client may send anything.
      return payloadBytes;
    }
  }
}
