/** Cap'n Web: object-capability RPC over a WebSocket; on Node.js the server's WebSocket is `ws`. */
import { newWebSocketRpcSession, type RpcStub, RpcTarget } from "capnweb";
import * as v from "valibot";
import { WebSocketServer, WebSocket as WsSocket } from "ws";
import { missingPackage, packageVersion } from "../lib/package-version.ts";
import type { BenchClient, BenchServer, ClientOptions, Peer, ServerOptions, Target } from "../lib/peer.ts";
import { type AddParams, AddSchema, type Message, mark, methodName, type News, servedBytes } from "../lib/workload.ts";
import { closeHttp, listenHttp } from "./support/http-server.ts";

type Listener = (news: News) => void;
type Add = (params: AddParams) => number;

/** The interface behind the clients' stubs; methods other than `add` are defined on its prototype. */
class Api extends RpcTarget {
  private readonly listeners: Set<RpcStub<Listener>>;
  private listener: RpcStub<Listener> | null = null;

  constructor(listeners: Set<RpcStub<Listener>>) {
    super();
    this.listeners = listeners;
  }

  add(params: AddParams): number {
    const { a, b } = v.parse(AddSchema, params);
    return a + b;
  }

  message(message: Message): Message {
    return message;
  }

  upload(bytes: Uint8Array): number {
    return mark(bytes);
  }

  download(length: number): Uint8Array {
    return servedBytes(length);
  }

  /** A stub passed as a parameter is disposed of with the call, so it is duplicated. */
  listen(listener: RpcStub<Listener>): void {
    this.listener = listener.dup();
    this.listeners.add(this.listener);
  }

  [Symbol.dispose](): void {
    if (this.listener === null) return;
    this.listeners.delete(this.listener);
    this.listener[Symbol.dispose]();
    this.listener = null;
  }
}

/** The limit is in characters of JSON, in which bytes are base64. */
function limits(maxPayloadBytes: number): { readonly maxMessageSize: number } {
  return { maxMessageSize: Math.ceil(maxPayloadBytes / 3) * 4 + 1024 };
}

/** As in the documentation: the type of `ws`'s WebSocket differs from the standard's, but is compatible. */
function standard(socket: WsSocket): WebSocket {
  return socket as unknown as WebSocket;
}

async function startServer({ tls, maxPayloadBytes, methods }: ServerOptions): Promise<BenchServer> {
  class Methods extends Api {}
  for (let index = 1; index < methods; index++) {
    Object.defineProperty(Methods.prototype, methodName(index), { value: Api.prototype.add });
  }
  const { http, target } = await listenHttp(tls);
  const { maxMessageSize } = limits(maxPayloadBytes);
  const server = new WebSocketServer({ server: http, perMessageDeflate: false, maxPayload: maxMessageSize });
  const listeners = new Set<RpcStub<Listener>>();
  server.on("connection", (socket) => {
    socket.on("error", () => socket.terminate());
    newWebSocketRpcSession(standard(socket), new Methods(listeners), { limits: { maxMessageSize } });
  });
  return {
    target,
    connectionCount: () => server.clients.size,
    broadcast(news) {
      // The listener's result isn't awaited, so its promise is disposed of.
      for (const listener of listeners) listener(news)[Symbol.dispose]();
    },
    async close() {
      for (const socket of server.clients) socket.terminate();
      server.close();
      await closeHttp(http);
    },
  };
}

class CapnwebClient implements BenchClient {
  private readonly api: RpcStub<Api>;
  private readonly socket: WebSocket;

  constructor(api: RpcStub<Api>, socket: WebSocket) {
    this.api = api;
    this.socket = socket;
  }

  async call(params: AddParams, method = 0): Promise<number> {
    if (method === 0) return await this.api.add(params);
    return await (this.api as unknown as Record<string, Add>)[methodName(method)]!(params);
  }

  async request(message: Message): Promise<Message> {
    using reply = await this.api.message(message);
    return reply;
  }

  async onBroadcast(listener: Listener): Promise<void> {
    await this.api.listen(listener);
  }

  async upload(bytes: Uint8Array): Promise<number> {
    return await this.api.upload(bytes);
  }

  async download(length: number): Promise<number> {
    return mark(await this.api.download(length));
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.socket.addEventListener("close", resolve, { once: true }));
    this.api[Symbol.dispose]();
    this.socket.close();
    await closed;
  }
}

/** Node's WebSocket, as in the documentation. It doesn't accept a CA, so `ws` is used for TLS. */
function dial({ host, port }: Target, { tls }: ClientOptions, maxPayload: number): WebSocket {
  if (tls === null) return new WebSocket(`ws://${host}:${port}`);
  return standard(new WsSocket(`wss://${host}:${port}`, { perMessageDeflate: false, maxPayload, ca: tls.ca }));
}

async function connect(target: Target, options: ClientOptions): Promise<BenchClient> {
  const { maxMessageSize } = limits(options.maxPayloadBytes);
  const socket = dial(target, options, maxMessageSize);
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve, { once: true });
    socket.addEventListener("error", () => reject(new Error(`Cannot open a WebSocket to ${socket.url}`)), {
      once: true,
    });
  });
  const api = newWebSocketRpcSession<Api>(socket, undefined, { limits: { maxMessageSize } });
  return new CapnwebClient(api, socket);
}

export const peer: Peer = {
  name: "capnweb",
  title: "capnweb",
  usage:
    "A WebSocket session, with `ws` on the server and Node's WebSocket on the client (`ws` over TLS, because Node's " +
    "takes no CA); permessage-deflate off; methods of an RpcTarget, broadcasts by a callback that each client " +
    "passes, bytes as base64 in JSON.",
  documentation: "https://github.com/cloudflare/capnweb#http-server-on-nodejs",
  runtimes: { server: ["node"], client: ["node"] },
  mixed: false,
  lacks: {},
  missing: async () => missingPackage("capnweb") ?? missingPackage("ws"),
  version: async () => packageVersion("capnweb"),
  startServer,
  connect,
};
