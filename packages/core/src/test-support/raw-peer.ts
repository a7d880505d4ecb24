/** A peer that does as the test says, frame by frame. */

import { ClientHandshake } from "../auth/client-handshake.ts";
import { ScramKeyCache } from "../auth/scram.ts";
import { ServerAuthenticator, ServerHandshake } from "../auth/server-handshake.ts";
import type { ByteSink, ByteStream } from "../bytes/byte-stream.ts";
import { FrameType } from "../wire/constants.ts";
import { FrameDecoder } from "../wire/frame-decoder.ts";
import { FrameWriter } from "../wire/frame-writer.ts";
import { PayloadReader } from "../wire/payload-reader.ts";
import type { FakeRuntime } from "./fake-runtime.ts";

/** A received frame. */
export interface RawFrame {
  readonly type: number;
  readonly hi: number;
  readonly lo: number;
  readonly flags: number;
  readonly timestampMs: number;
  readonly payload: Record<string, unknown> | null;
}

export const PASSWORD = "correct horse";

const MAX_BYTES = 100 * 1024 * 1024;

export class RawPeer implements ByteSink {
  readonly stream: ByteStream;
  /** Frames received and not yet taken by `next`. */
  readonly frames: RawFrame[] = [];
  /** Bytes of every chunk received. */
  readonly chunks: number[] = [];
  /** Undefined while the stream is open; then what `closed` said. */
  ended: Error | null | undefined = undefined;
  readonly #runtime: FakeRuntime;
  readonly #writer: FrameWriter;
  readonly #reader: PayloadReader;
  readonly #decoder = new FrameDecoder(MAX_BYTES);

  constructor(runtime: FakeRuntime, stream: ByteStream) {
    this.#runtime = runtime;
    this.stream = stream;
    this.#writer = new FrameWriter({
      wallClock: () => runtime.wallClock(),
      maxMessageBytes: MAX_BYTES,
      compress: null,
    });
    this.#reader = new PayloadReader((bytes, max) => runtime.inflate(bytes, max), MAX_BYTES);
    stream.open(this);
  }

  // --- ByteSink -----------------------------------------------------------------------------------------------------

  data(chunk: Uint8Array): void {
    this.chunks.push(chunk.length);
    this.#decoder.push(chunk);
    while (this.#decoder.next()) {
      const { type, correlationHi: hi, correlationLo: lo, flags, timestampMs } = this.#decoder;
      this.frames.push({ type, hi, lo, flags, timestampMs, payload: this.#reader.readMap(this.#decoder) });
    }
    this.#decoder.keepRest();
  }

  drained(): void {
    // A raw peer writes whatever the test says.
  }

  closed(error: Error | null): void {
    this.ended = error;
  }

  // --- sending ------------------------------------------------------------------------------------------------------

  /** The bytes of a frame; no payload: none. */
  encode(type: number, payload?: Record<string, unknown>, hi = 0, lo = 0): Uint8Array {
    if (payload === undefined) this.#writer.control(type, hi, lo);
    else this.#writer.payload(type, hi, lo, payload);
    return this.#writer.bytes.slice(this.#writer.start, this.#writer.end);
  }

  /** A frame whose payload is these bytes, whatever they are. */
  encodeRaw(type: number, payload: Uint8Array, hi = 0, lo = 0): Uint8Array {
    const header = this.encode(type, undefined, hi, lo);
    const frame = new Uint8Array(header.length + payload.length);
    frame.set(header);
    new DataView(frame.buffer).setUint32(12, payload.length);
    frame.set(payload, header.length);
    return frame;
  }

  send(type: number, payload?: Record<string, unknown>, hi = 0, lo = 0): void {
    this.sendBytes(this.encode(type, payload, hi, lo));
  }

  /** Written in one piece: frames that arrive in one chunk. */
  sendBytes(...parts: Uint8Array[]): void {
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    this.stream.write(whole);
  }

  call(method: string, params: Record<string, unknown> = {}, lo = 1, hi = 0): void {
    this.send(FrameType.RPC_REQUEST, { method, params }, hi, lo);
  }

  message(type: string, data: unknown = null, lo = 0, hi = 0): void {
    this.send(FrameType.MESSAGE, { type, data }, hi, lo);
  }

  // --- receiving ----------------------------------------------------------------------------------------------------

  /** All frames received so far and not taken yet, once nothing is under way. They count as taken. */
  async received(): Promise<RawFrame[]> {
    await this.#runtime.settle();
    return this.frames.splice(0);
  }

  /** The types of `received`. */
  async receivedTypes(): Promise<string[]> {
    return (await this.received()).map(typeName);
  }

  /** Takes the first frame of this type. @throws Error if none has arrived once nothing is under way. */
  async next(type: number): Promise<RawFrame> {
    await this.#runtime.settle();
    const index = this.frames.findIndex((frame) => frame.type === type);
    const [frame] = index < 0 ? [] : this.frames.splice(index, 1);
    if (frame !== undefined) return frame;
    const names = this.frames.map(typeName).join(", ") || "nothing";
    throw new Error(`No frame of type ${typeName({ type })} arrived, but ${names} (ended: ${String(this.ended)})`);
  }
}

/** Name of a frame's type. */
export function typeName(frame: { readonly type: number }): string {
  return Object.entries(FrameType).find(([, type]) => type === frame.type)?.[0] ?? String(frame.type);
}

/** How a raw peer logs in, or lets a client in. */
export interface RawLogin {
  /** Names offered (client) or accepted (server). Default: whatever a peer of ours says. Null: a netconduit peer. */
  readonly extensions?: readonly string[] | null;
  readonly password?: string;
  /** As a netconduit client does: by its hash. */
  readonly passwordHash?: boolean;
}

/** Dials the server at `port`. */
export async function rawDial(runtime: FakeRuntime, port: number): Promise<RawPeer> {
  const target = { host: "test", port, family: 0, tls: null, bufferSize: 65_536 } as const;
  return new RawPeer(runtime, await runtime.connect(target, new AbortController().signal));
}

/** Dials the server at `port` and logs in. The AUTH_SUCCESS frame is taken. */
export async function rawClient(runtime: FakeRuntime, port: number, login: RawLogin = {}): Promise<RawPeer> {
  const peer = await rawDial(runtime, port);
  await logIn(runtime, peer, login);
  return peer;
}

/** Logs a peer in that has dialled. */
export async function logIn(runtime: FakeRuntime, peer: RawPeer, login: RawLogin = {}): Promise<void> {
  const handshake = new ClientHandshake({
    password: login.password ?? PASSWORD,
    info: { name: "raw", version: "1", description: "" },
    allowPasswordHash: login.passwordHash === true,
    crypto: runtime.crypto,
    cache: new ScramKeyCache(),
  });
  const request = { ...(await handshake.start()) };
  if (login.extensions === null) request["extensions"] = null;
  else if (login.extensions !== undefined) request["extensions"] = extensionMap(login.extensions);
  if (login.passwordHash === true) request["scram"] = undefined;
  peer.send(FrameType.AUTH_REQUEST, definedOnly(request));
  if (login.passwordHash !== true) {
    const challenge = await peer.next(FrameType.AUTH_CHALLENGE);
    const step = await handshake.receive(challenge.type, challenge.payload);
    if (step.kind !== "send") throw new Error(`The login went wrong: ${step.kind}`);
    peer.send(step.type, step.payload);
  }
  await peer.next(FrameType.AUTH_SUCCESS);
}

/** A server made of raw peers: what dials it is in `peers`, not logged in. */
export class RawServer {
  readonly port: number;
  readonly peers: RawPeer[] = [];
  readonly #runtime: FakeRuntime;
  readonly #authenticator: ServerAuthenticator;

  private constructor(runtime: FakeRuntime, authenticator: ServerAuthenticator, port: number) {
    this.#runtime = runtime;
    this.#authenticator = authenticator;
    this.port = port;
  }

  static async start(runtime: FakeRuntime, port = 8080): Promise<RawServer> {
    const { crypto } = runtime;
    const now = (): number => runtime.now();
    const options = { password: PASSWORD, crypto, now, iterations: 4096, allowPasswordHash: true };
    const server = new RawServer(runtime, await ServerAuthenticator.create(options), port);
    await runtime.listen(
      { host: "test", port, ipv6: false, tls: null, bufferSize: 65_536 },
      {
        accepted: (stream) => server.peers.push(new RawPeer(runtime, stream)),
        failed: (error) => {
          throw error;
        },
      },
    );
    return server;
  }

  /** The peer that dialled last, once one has. */
  async accept(): Promise<RawPeer> {
    await this.#runtime.settle();
    const peer = this.peers.at(-1);
    if (peer === undefined) throw new Error("Nobody has dialled");
    return peer;
  }

  /** Lets the last one in up to, but without, its AUTH_SUCCESS, whose bytes are returned. */
  async answer(login: RawLogin = {}): Promise<{ readonly peer: RawPeer; readonly success: Uint8Array }> {
    const peer = await this.accept();
    const handshake = new ServerHandshake(this.#authenticator, true);
    const request = await peer.next(FrameType.AUTH_REQUEST);
    const payload = login.passwordHash === true ? { ...request.payload, scram: undefined } : request.payload;
    let step = await handshake.receive(request.type, payload);
    if (step.kind === "challenge") {
      peer.send(FrameType.AUTH_CHALLENGE, step.payload);
      const response = await peer.next(FrameType.AUTH_RESPONSE);
      step = await handshake.receive(response.type, response.payload);
    }
    if (step.kind !== "accepted") throw new Error(`The client was not let in: ${step.kind}`);
    const answer: Record<string, unknown> = {
      session_token: "f".repeat(64),
      server_info: { name: "raw", version: "1" },
      ...step.payload,
    };
    if (login.extensions === null) answer["extensions"] = undefined;
    else if (login.extensions !== undefined) answer["extensions"] = extensionMap(login.extensions);
    return { peer, success: peer.encode(FrameType.AUTH_SUCCESS, definedOnly(answer)) };
  }

  /** Lets the last one in. */
  async admit(login: RawLogin = {}): Promise<RawPeer> {
    const { peer, success } = await this.answer(login);
    peer.sendBytes(success);
    await this.#runtime.settle();
    return peer;
  }
}

function extensionMap(names: readonly string[]): Record<string, true> {
  return Object.fromEntries(names.map((name) => [name, true as const]));
}

function definedOnly(map: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(map).filter(([, value]) => value !== undefined));
}
