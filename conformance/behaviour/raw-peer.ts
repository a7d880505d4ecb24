/**
 * A peer made of a socket and hand-built frames: it can do what no client of ours would. Nothing here uses the
 * library's own wire code, so the two check each other.
 */
import { createHash } from "node:crypto";
import { connect, type Socket } from "node:net";
import { decode, encode } from "@msgpack/msgpack";
import { Heard } from "./heard.ts";
import { ScramLogin } from "./scram-login.ts";

/** Frame types by their numbers, as PROTOCOL.md has them. */
export const Type = {
  MESSAGE: 0x0001,
  RPC_REQUEST: 0x0002,
  RPC_RESPONSE: 0x0003,
  RPC_ERROR: 0x0004,
  PING: 0x0005,
  PONG: 0x0006,
  AUTH_REQUEST: 0x0007,
  AUTH_SUCCESS: 0x0008,
  AUTH_FAILURE: 0x0009,
  PAUSE: 0x000a,
  RESUME: 0x000b,
  CLOSE: 0x000e,
  CLOSE_ACK: 0x000f,
  RPC_LIST: 0x0010,
  AUTH_CHALLENGE: 0x0100,
  AUTH_RESPONSE: 0x0101,
  CANCEL: 0x0102,
} as const;

export const COMPRESSED = 0x0001;
const HEADER_BYTES = 32;
const EVERYTHING = { reply: true, flow: true, close: true, cancel: true, deadline: true, call: true };

/** Header fields that differ from those of an ordinary frame. */
export interface HeaderFields {
  readonly magic?: number;
  readonly version?: number;
  readonly flags?: number;
  readonly reserved?: number;
  /** What the header claims; default: the payload's true length. */
  readonly length?: number;
  readonly id?: bigint;
}

/** A frame with these bytes as its payload. */
export function rawFrame(type: number, payload: Uint8Array, fields: HeaderFields = {}): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + payload.length);
  bytes.writeUInt32BE(fields.magic ?? 0x434e4454, 0);
  bytes.writeUInt16BE(fields.version ?? 0x0100, 4);
  bytes.writeUInt16BE(type, 6);
  bytes.writeUInt16BE(fields.flags ?? 0, 8);
  bytes.writeUInt16BE(fields.reserved ?? 0, 10);
  bytes.writeUInt32BE(fields.length ?? payload.length, 12);
  bytes.writeBigUInt64BE(fields.id ?? 0n, 16);
  bytes.writeBigUInt64BE(BigInt(Date.now()), 24);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** A frame with `payload` as MessagePack; without one, an empty frame. */
export function frame(type: number, payload?: unknown, fields: HeaderFields = {}): Buffer {
  return rawFrame(type, payload === undefined ? new Uint8Array(0) : encode(payload), fields);
}

/** RPC_REQUEST. */
export function call(id: bigint, method: string, params: unknown = {}): Buffer {
  return frame(Type.RPC_REQUEST, { method, params }, { id });
}

/** MESSAGE. */
export function message(type: string, data: unknown, id = 0n): Buffer {
  return frame(Type.MESSAGE, { type, data }, { id });
}

/** netconduit's hash of a password. */
export function passwordHash(password: string): string {
  return createHash("sha256").update(password).digest("hex");
}

/** A frame that arrived. */
export interface ReceivedFrame {
  readonly type: number;
  readonly flags: number;
  readonly id: bigint;
  /** Unix milliseconds, as the sender has it. */
  readonly timestampMs: number;
  /** Decoded; `undefined` for an empty frame, the bytes for a compressed one. */
  readonly payload: unknown;
  readonly payloadBytes: Uint8Array;
}

/** How a raw peer logs in. */
export interface RawLogin {
  readonly password?: string;
  /** Extensions to offer; default: all. `null`: none, as netconduit's own peers. */
  readonly extensions?: Readonly<Record<string, unknown>> | null;
  readonly info?: Readonly<Record<string, unknown>>;
}

/** See the head of this file. */
export class RawPeer {
  readonly frames = new Heard<ReceivedFrame>();
  /** Resolves when the socket is over: `"end"` by FIN, or the code of its error. */
  readonly over: Promise<string>;
  /** All bytes written to the socket, for whoever wants to play them again. */
  readonly sent: Buffer[] = [];
  readonly #socket: Socket;
  #received: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.#socket = socket;
    let how = "end";
    socket.on("data", (chunk) => this.#take(chunk));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      how = error.code ?? error.message;
    });
    this.over = new Promise((resolve) => socket.on("close", () => resolve(how)));
  }

  /** Connects to a port of 127.0.0.1. A peer that is cut off meanwhile resolves too, and is over. */
  static async connect(port: number): Promise<RawPeer> {
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    const peer = new RawPeer(socket);
    await new Promise<void>((resolve) => socket.once("connect", resolve).once("close", () => resolve()));
    return peer;
  }

  /** Sends in one write. */
  write(...parts: readonly Uint8Array[]): void {
    const bytes = Buffer.concat(parts);
    this.sent.push(bytes);
    this.#socket.write(bytes);
  }

  /** The next frame that is no PING. */
  async next(): Promise<ReceivedFrame> {
    for (;;) {
      const received = await this.frames.next();
      if (received.type !== Type.PING) return received;
    }
  }

  /** Skips to the next frame of a type. */
  async nextOf(type: number): Promise<ReceivedFrame> {
    for (;;) {
      const received = await this.frames.next();
      if (received.type === type) return received;
    }
  }

  /** Logs in by SCRAM. @returns the payload of AUTH_SUCCESS. */
  async login({ password = "secret", extensions = EVERYTHING, info }: RawLogin = {}): Promise<Record<string, unknown>> {
    const scram = new ScramLogin(password);
    this.write(
      frame(Type.AUTH_REQUEST, {
        client_info: info ?? { name: "raw", version: "1.0.0" },
        scram: scram.clientFirst,
        ...(extensions === null ? {} : { extensions }),
      }),
    );
    const challenge = payloadOf(await this.next(), Type.AUTH_CHALLENGE);
    this.write(frame(Type.AUTH_RESPONSE, { data: scram.answer(challenge["data"] as string) }));
    const payload = payloadOf(await this.next(), Type.AUTH_SUCCESS);
    if (!scram.trusts(payload["scram"] as string))
      throw new Error("The server did not prove that it knows the password");
    return payload;
  }

  /** Stops reading: the server's bytes pile up. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** FIN. */
  end(): void {
    this.#socket.end();
  }

  /** RST. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  async dispose(): Promise<void> {
    this.#socket.destroy();
    await this.over;
  }

  #take(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= HEADER_BYTES) {
      const header = this.#received;
      const end = HEADER_BYTES + header.readUInt32BE(12);
      if (header.length < end) return;
      const payloadBytes = header.subarray(HEADER_BYTES, end);
      const flags = header.readUInt16BE(8);
      const isPlain = (flags & COMPRESSED) === 0;
      this.#received = header.subarray(end);
      this.frames.add({
        type: header.readUInt16BE(6),
        flags,
        id: header.readBigUInt64BE(16),
        timestampMs: Number(header.readBigUInt64BE(24)),
        payload: payloadBytes.length === 0 ? undefined : isPlain ? decode(payloadBytes) : payloadBytes,
        payloadBytes,
      });
    }
  }
}

function payloadOf(received: ReceivedFrame, type: number): Record<string, unknown> {
  if (received.type === type) return received.payload as Record<string, unknown>;
  throw new Error(`Login answered by frame type ${received.type}: ${JSON.stringify(received.payload)}`);
}
