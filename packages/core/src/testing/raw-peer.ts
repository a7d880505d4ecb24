import type { ByteStream } from "../bytes/byte-stream.ts";
import { EventLog } from "./event-log.ts";
import {
  call,
  concat,
  FrameParser,
  frame,
  type HeaderFields,
  message,
  type ReceivedFrame,
  Type,
  type TypeName,
  typeName,
  typeNumber,
} from "./raw-frames.ts";

/** The stream of a raw peer. It must not deliver data before `open`. */
export type RawStream = Pick<ByteStream, "open" | "write" | "pause" | "resume" | "close" | "destroy">;

/**
 * A peer that sends arbitrary frames and bytes over an in-memory stream or a socket. It can misbehave in ways that
 * clients and servers can't, and answers nothing on its own, not even heartbeats.
 */
export class RawPeer<S extends RawStream = RawStream> {
  readonly stream: S;
  /** All frames received. */
  readonly frames: EventLog<ReceivedFrame> = new EventLog();
  /** Lengths of the chunks received. */
  readonly chunks: number[] = [];
  /** All chunks sent. */
  readonly sent: Uint8Array[] = [];
  /** Undefined while the stream is open; then `null` for a clean end, or the error. */
  ended: Error | null | undefined = undefined;
  /** Resolves when the stream has ended: with `"end"` after a clean end, or with the code of its error. */
  readonly over: Promise<string>;
  #resolveOver: (how: string) => void = () => undefined;
  readonly #parser = new FrameParser();
  readonly #settle: (() => Promise<void>) | null;
  /** Frames that `next` hasn't returned yet. */
  readonly #pending: ReceivedFrame[] = [];

  /**
   * @param settle resolves when all activity has settled. With it, `next` rejects if no frame has arrived by then;
   *   without it, `next` waits.
   */
  constructor(stream: S, settle: (() => Promise<void>) | null = null) {
    this.stream = stream;
    this.#settle = settle;
    this.over = new Promise((resolve) => {
      this.#resolveOver = resolve;
    });
    stream.open({
      data: (chunk) => this.#received(chunk),
      // A raw peer ignores back-pressure.
      drained: () => undefined,
      closed: (error) => this.#closed(error),
    });
  }

  #received(chunk: Uint8Array): void {
    this.chunks.push(chunk.length);
    for (const received of this.#parser.push(chunk)) {
      this.#pending.push(received);
      this.frames.add(received);
    }
  }

  #closed(error: Error | null): void {
    this.ended = error;
    this.#resolveOver(error === null ? "end" : String((error as { code?: unknown }).code ?? error.message));
  }

  // --- sending ------------------------------------------------------------------------------------------------------

  /** Sends all parts in one write. */
  write(...parts: readonly Uint8Array[]): void {
    const bytes = concat(parts);
    this.sent.push(bytes);
    this.stream.write(bytes);
  }

  /** Sends a frame with `payload` as MessagePack; without one, an empty frame. */
  send(type: TypeName | number, payload?: unknown, fields?: HeaderFields): void {
    this.write(frame(typeNumber(type), payload, fields));
  }

  /** Sends RPC_REQUEST. */
  call(method: string, params: unknown = {}, id: number | bigint = 1): void {
    this.write(call(id, method, params));
  }

  /** Sends MESSAGE. */
  message(type: string, data: unknown = null, id: number | bigint = 0): void {
    this.write(message(type, data, id));
  }

  /** Stops reading. */
  pause(): void {
    this.stream.pause();
  }

  /** Resumes reading. */
  resume(): void {
    this.stream.resume();
  }

  /** Sends FIN after all written data, and continues to read. */
  end(): void {
    void this.stream.close();
  }

  /** Cuts the connection with a reset. */
  reset(): void {
    this.stream.destroy(null);
  }

  /** Closes the connection if it is open. */
  async dispose(): Promise<void> {
    if (this.ended === undefined) this.reset();
    await this.over;
  }

  // --- receiving ----------------------------------------------------------------------------------------------------

  /** Skips to the next frame of a type; without a type, to the next one other than HEARTBEAT_PING. */
  async next(type?: TypeName | number): Promise<ReceivedFrame> {
    const wanted = type === undefined ? undefined : typeNumber(type);
    const isWanted = (one: ReceivedFrame): boolean =>
      wanted === undefined ? one.type !== Type.HEARTBEAT_PING : one.type === wanted;
    await this.#settle?.();
    for (;;) {
      const count = this.frames.all.length;
      const index = this.#pending.findIndex(isWanted);
      if (index >= 0) return this.#pending.splice(0, index + 1)[index] as ReceivedFrame;
      if (this.#settle !== null) break;
      await this.frames.count(count + 1);
    }
    const name = wanted === undefined ? "frame" : typeName({ type: wanted });
    const instead = this.#pending.map(typeName).join(", ") || "nothing";
    throw new Error(`No ${name} arrived, but ${instead} (ended: ${String(this.ended)})`);
  }

  /** All frames that `next` hasn't returned. With `settle`, waits until all activity has settled. */
  async received(): Promise<ReceivedFrame[]> {
    await this.#settle?.();
    return this.#pending.splice(0);
  }

  /** The type names of `received`. */
  async receivedTypes(): Promise<string[]> {
    return (await this.received()).map(typeName);
  }
}

/** Returns the payload of a login's answer; throws with the received frame if it has another type. */
export function payloadOf(received: ReceivedFrame, type: number): Readonly<Record<string, unknown>> {
  if (received.type === type) return received.payload ?? {};
  throw new Error(`The login was answered by ${typeName(received)}: ${JSON.stringify(received.payload)}`);
}

/** All extensions without parameters. Without `credit`, a raw peer isn't limited. */
export const EXTENSIONS: readonly string[] = ["reply", "close", "cancel", "deadline", "call", "compression"];

/** Extensions that a raw peer offers or accepts: names, names with parameters, or null for none. */
export type RawExtensions = readonly string[] | Readonly<Record<string, unknown>> | null;

/** The entry `extensions` of AUTH_REQUEST or AUTH_SUCCESS. */
export function extensionsOf(extensions: RawExtensions = EXTENSIONS): Record<string, unknown> {
  if (extensions === null) return {};
  return { extensions: isList(extensions) ? Object.fromEntries(extensions.map((name) => [name, true])) : extensions };
}

function isList(extensions: NonNullable<RawExtensions>): extensions is readonly string[] {
  return Array.isArray(extensions);
}
