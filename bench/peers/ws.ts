/** `ws` with JSON, written by hand: what one builds when there is no library for RPC. */
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import * as v from "valibot";
import { type RawData, WebSocket, WebSocketServer } from "ws";
import { missingPackage, packageVersion } from "../lib/package-version.ts";
import type { BenchClient, BenchServer, ClientOptions, Peer, ServerOptions, Target } from "../lib/peer.ts";
import { type AddParams, AddSchema, type Message, mark, methodName, type News, servedBytes } from "../lib/workload.ts";

/** Bytes in front of a binary message: the request's id. */
const ID_BYTES = 4;

interface Call {
  readonly id: number;
  readonly method: string;
  readonly params: unknown;
}

async function startServer({ tls, maxPayloadBytes, methods }: ServerOptions): Promise<BenchServer> {
  const http = tls === null ? createHttpServer() : createHttpsServer(tls);
  const server = new WebSocketServer({ server: http, perMessageDeflate: false, maxPayload: maxPayloadBytes + 1024 });
  const handlers = new Map<string, (params: unknown) => unknown>();
  for (let index = 0; index < methods; index++) {
    handlers.set(methodName(index), (params) => {
      const { a, b } = v.parse(AddSchema, params);
      return a + b;
    });
  }
  handlers.set("message", (params) => params);

  server.on("connection", (socket) => {
    socket.on("error", () => socket.terminate());
    socket.on("message", (data: Buffer, isBinary) => {
      if (isBinary) {
        socket.send(JSON.stringify({ id: data.readUInt32BE(0), result: mark(data.subarray(ID_BYTES)) }));
        return;
      }
      const { id, method, params } = JSON.parse(data.toString()) as Call;
      if (method === "download") {
        socket.send(withId(id, servedBytes(params as number)));
        return;
      }
      const handler = handlers.get(method);
      if (handler === undefined) socket.send(JSON.stringify({ id, error: `Unknown method ${method}` }));
      else reply(socket, id, handler, params);
    });
  });
  http.listen({ port: 0, host: "127.0.0.1", backlog: 4096 });
  await once(http, "listening");
  return {
    target: { host: tls === null ? "127.0.0.1" : "localhost", port: (http.address() as AddressInfo).port },
    connectionCount: () => server.clients.size,
    broadcast(news) {
      const text = JSON.stringify(news);
      for (const socket of server.clients) if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    async close() {
      for (const socket of server.clients) socket.terminate();
      server.close();
      http.close();
      await once(http, "close");
    },
  };
}

function reply(socket: WebSocket, id: number, handler: (params: unknown) => unknown, params: unknown): void {
  try {
    socket.send(JSON.stringify({ id, result: handler(params) }));
  } catch (error) {
    socket.send(JSON.stringify({ id, error: String(error) }));
  }
}

function withId(id: number, bytes: Uint8Array): Buffer {
  const message = Buffer.allocUnsafe(ID_BYTES + bytes.length);
  message.writeUInt32BE(id, 0);
  message.set(bytes, ID_BYTES);
  return message;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

class WsClient implements BenchClient {
  private readonly socket: WebSocket;
  private readonly pending: Map<number, Pending> = new Map();
  private listener: ((news: News) => void) | null = null;
  private nextId = 1;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("message", (data, isBinary) => this.received(data, isBinary));
    socket.on("close", () => {
      for (const { reject } of this.pending.values()) reject(new Error("The connection closed"));
      this.pending.clear();
    });
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
    return this.expect((id) => this.socket.send(withId(id, bytes))) as Promise<number>;
  }

  download(length: number): Promise<number> {
    return this.send("download", length) as Promise<number>;
  }

  async close(): Promise<void> {
    this.socket.close();
    if (this.socket.readyState !== WebSocket.CLOSED) await once(this.socket, "close");
  }

  private send(method: string, params: unknown): Promise<unknown> {
    return this.expect((id) => this.socket.send(JSON.stringify({ id, method, params })));
  }

  private expect(send: (id: number) => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const id = this.nextId++;
      this.pending.set(id, { resolve, reject });
      send(id);
    });
  }

  private received(data: RawData, isBinary: boolean): void {
    if (isBinary) {
      const bytes = data as Buffer;
      this.settle(bytes.readUInt32BE(0)).resolve(mark(bytes.subarray(ID_BYTES)));
      return;
    }
    const message = JSON.parse((data as Buffer).toString()) as { id?: number; result?: unknown; error?: string } & News;
    if (message.id === undefined) this.listener?.(message);
    else if (message.error !== undefined) this.settle(message.id).reject(new Error(message.error));
    else this.settle(message.id).resolve(message.result);
  }

  private settle(id: number): Pending {
    const pending = this.pending.get(id);
    if (pending === undefined) throw new Error(`A reply to request ${id}, which nobody waits for`);
    this.pending.delete(id);
    return pending;
  }
}

async function connect({ host, port }: Target, { tls, maxPayloadBytes }: ClientOptions): Promise<BenchClient> {
  const url = `${tls === null ? "ws" : "wss"}://${host}:${port}`;
  const socket = new WebSocket(url, {
    perMessageDeflate: false,
    maxPayload: maxPayloadBytes + 1024,
    ...(tls === null ? {} : { ca: tls.ca }),
  });
  await once(socket, "open");
  return new WsClient(socket);
}

export const peer: Peer = {
  name: "ws",
  title: "ws + JSON",
  usage: "Requests and replies as JSON with an id, binary messages with a 4-byte id; permessage-deflate off.",
  documentation: "https://github.com/websockets/ws#usage-examples",
  runtimes: { server: ["node", "bun", "deno"], client: ["node", "bun", "deno"] },
  usual: ["node"],
  mixed: false,
  lacks: {},
  missing: async () => missingPackage("ws"),
  version: async () => packageVersion("ws"),
  startServer,
  connect,
};
