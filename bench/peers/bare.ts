/**
 * The bare loop: netconduit's frames and payloads over `node:net`, written by hand for one program. A 32-byte header,
 * MessagePack by `@msgpack/msgpack`, parameters checked by valibot, methods in a Map, one write per turn. It has no
 * login, limits, deadlines or flow control.
 */
import type { Socket } from "node:net";
import { Decoder, Encoder } from "@msgpack/msgpack";
import * as v from "valibot";
import { BatchWriter } from "../lib/batch-writer.ts";
import { packageVersion } from "../lib/package-version.ts";
import type { BenchClient, BenchServer, ClientOptions, Peer, ServerOptions, Target } from "../lib/peer.ts";
import { closePlain, connectPlain, startPlainServer } from "../lib/plain-server.ts";
import { type AddParams, AddSchema, type Message, mark, methodName, type News, servedBytes } from "../lib/workload.ts";
import { PendingRequests } from "./support/pending-requests.ts";

const MAGIC = 0x434e4454;
const VERSION = 0x0100;
const HEADER_BYTES = 32;
const Type = { MESSAGE: 1, REQUEST: 2, RESPONSE: 3, ERROR: 4 } as const;

const encoder = new Encoder();
const decoder = new Decoder();

interface Payload {
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: unknown;
  readonly error?: string;
  readonly data?: unknown;
}

/** One end of a connection: frames in, frames out. */
class FrameSocket {
  private readonly writer: BatchWriter;
  private readonly onFrame: (type: number, id: number, payload: Payload) => void;
  /** Chunks of an incomplete frame, their total bytes, and the bytes needed to continue. */
  private chunks: Buffer[] = [];
  private held = 0;
  private wanted = HEADER_BYTES;

  constructor(socket: Socket, onFrame: (type: number, id: number, payload: Payload) => void) {
    this.writer = new BatchWriter(socket);
    this.onFrame = onFrame;
    socket.on("data", (chunk: Buffer) => this.received(chunk));
  }

  send(type: number, id: number, payload: Payload): void {
    this.sendEncoded(type, id, encoder.encodeSharedRef(payload));
  }

  sendEncoded(type: number, id: number, payload: Uint8Array): void {
    const at = this.writer.reserve(HEADER_BYTES + payload.length);
    const { block, view } = this.writer;
    const now = Date.now();
    view.setUint32(at, MAGIC);
    view.setUint32(at + 4, (VERSION << 16) | type);
    view.setUint32(at + 12, payload.length);
    view.setUint32(at + 20, id);
    view.setUint32(at + 24, Math.floor(now / 0x1_0000_0000));
    view.setUint32(at + 28, now >>> 0);
    block.set(payload, at + HEADER_BYTES);
  }

  private received(chunk: Buffer): void {
    let bytes = chunk;
    if (this.held > 0) {
      this.chunks.push(chunk);
      this.held += chunk.length;
      if (this.held < this.wanted) return;
      bytes = Buffer.concat(this.chunks, this.held);
      this.chunks = [];
      this.held = 0;
    }
    const { buffer, byteOffset, length } = bytes;
    const view = new DataView(buffer, byteOffset, length);
    let at = 0;
    for (;;) {
      this.wanted = HEADER_BYTES;
      if (length - at < HEADER_BYTES) break;
      if (view.getUint32(at) !== MAGIC) throw new Error("The other end doesn't send netconduit's frames");
      const payloadLength = view.getUint32(at + 12);
      this.wanted = HEADER_BYTES + payloadLength;
      if (at + this.wanted > length) break;
      const payload = new Uint8Array(buffer, byteOffset + at + HEADER_BYTES, payloadLength);
      this.onFrame(view.getUint16(at + 6), view.getUint32(at + 20), decoder.decode(payload) as Payload);
      at += this.wanted;
    }
    if (at === length) return;
    this.chunks.push(bytes.subarray(at));
    this.held = length - at;
  }
}

async function startServer({ tls, methods }: ServerOptions): Promise<BenchServer> {
  const ends = new Map<Socket, FrameSocket>();
  const handlers = new Map<string, (params: unknown) => unknown>();
  for (let index = 0; index < methods; index++) {
    handlers.set(methodName(index), (params) => {
      const { a, b } = v.parse(AddSchema, params);
      return a + b;
    });
  }
  handlers.set("message", (params) => params);
  handlers.set("upload", (bytes) => mark(bytes as Uint8Array));
  handlers.set("download", (length) => servedBytes(length as number));

  const server = await startPlainServer(tls, (socket) => {
    const frames = new FrameSocket(socket, (_type, id, { method = "", params }) => {
      try {
        const handler = handlers.get(method);
        if (handler === undefined) throw new Error(`Unknown method ${method}`);
        frames.send(Type.RESPONSE, id, { result: handler(params) });
      } catch (error) {
        frames.send(Type.ERROR, id, { error: String(error) });
      }
    });
    ends.set(socket, frames);
    socket.on("close", () => ends.delete(socket));
  });
  return {
    target: server.target,
    connectionCount: () => server.sockets.size,
    broadcast(news) {
      const payload = encoder.encode({ data: news });
      for (const frames of ends.values()) frames.sendEncoded(Type.MESSAGE, 0, payload);
    },
    close: () => server.close(),
  };
}

class BareClient implements BenchClient {
  private readonly socket: Socket;
  private readonly frames: FrameSocket;
  private readonly requests: PendingRequests = new PendingRequests();
  private listener: ((news: News) => void) | null = null;

  constructor(socket: Socket) {
    this.socket = socket;
    this.frames = new FrameSocket(socket, (type, id, payload) => this.received(type, id, payload));
  }

  call(params: AddParams, method = 0): Promise<number> {
    return this.send(methodName(method), params) as Promise<number>;
  }

  request(message: Message): Promise<Message> {
    return this.send("message", message) as Promise<Message>;
  }

  async onBroadcast(listener: (news: News) => void): Promise<void> {
    this.listener = listener;
  }

  upload(bytes: Uint8Array): Promise<number> {
    return this.send("upload", bytes) as Promise<number>;
  }

  async download(length: number): Promise<number> {
    return mark((await this.send("download", length)) as Uint8Array);
  }

  close(): Promise<void> {
    return closePlain(this.socket);
  }

  private send(method: string, params: unknown): Promise<unknown> {
    return this.requests.open((id) => this.frames.send(Type.REQUEST, id, { method, params }));
  }

  private received(type: number, id: number, { result, error, data }: Payload): void {
    if (type === Type.MESSAGE) this.listener?.(data as News);
    else if (type === Type.ERROR) this.requests.reject(id, new Error(error));
    else this.requests.resolve(id, result);
  }
}

async function connect(target: Target, { tls }: ClientOptions): Promise<BenchClient> {
  return new BareClient(await connectPlain(target, tls));
}

export const peer: Peer = {
  name: "bare",
  title: "bare loop",
  usage:
    "netconduit's frames over `node:net`, written by hand: 32-byte header, a reused Encoder and Decoder of " +
    "@msgpack/msgpack, valibot, methods in a Map, one write per turn. No login, limits, deadlines or flow control.",
  documentation: "https://github.com/msgpack/msgpack-javascript#reusing-encoder-and-decoder-instances",
  runtimes: { server: ["node", "bun", "deno"], client: ["node", "bun", "deno"] },
  mixed: false,
  lacks: {},
  missing: async () => null,
  version: async () => `@msgpack/msgpack ${packageVersion("@msgpack/msgpack")}`,
  startServer,
  connect,
};
