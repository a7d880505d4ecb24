/** `ws` with hand-written JSON messages: the usual choice without an RPC library. */
import { once } from "node:events";
import { WebSocket, WebSocketServer } from "ws";
import { missingPackage, packageVersion } from "../lib/package-version.ts";
import type { BenchClient, BenchServer, ClientOptions, Peer, ServerOptions, StreamKind, Target } from "../lib/peer.ts";
import { ITEM_TEXT, type News } from "../lib/workload.ts";
import { closeHttp, listenHttp } from "./support/http-server.ts";
import { answerer, type Content, JsonClient } from "./support/json-socket.ts";

/** Sent by a client to receive items until the connection ends. */
const STREAM = "stream";
/** Items to send between two checks of the socket's buffered amount. */
const ITEMS_PER_LOOK = 500;
const MAX_BUFFERED_BYTES = 1024 * 1024;

function sendItems(socket: WebSocket): void {
  let n = 0;
  const more = (): void => {
    if (socket.readyState !== WebSocket.OPEN) return;
    if (socket.bufferedAmount < MAX_BUFFERED_BYTES) {
      for (let i = 0; i < ITEMS_PER_LOOK; i++) socket.send(JSON.stringify({ n: n++, text: ITEM_TEXT }));
    }
    setImmediate(more);
  };
  more();
}

async function startServer(options: ServerOptions): Promise<BenchServer> {
  const { http, target } = await listenHttp(options.tls);
  const maxPayload = options.maxPayloadBytes + 1024;
  const server = new WebSocketServer({ server: http, perMessageDeflate: false, maxPayload });
  const answer = answerer(options);
  server.on("connection", (socket) => {
    socket.on("error", () => socket.terminate());
    socket.on("message", (data: Buffer, isBinary) => {
      const content = isBinary ? data : data.toString();
      if (content === STREAM) sendItems(socket);
      else socket.send(answer(content));
    });
  });
  return {
    target,
    connectionCount: () => server.clients.size,
    broadcast(news) {
      const text = JSON.stringify(news);
      for (const socket of server.clients) if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    async close() {
      for (const socket of server.clients) socket.terminate();
      server.close();
      await closeHttp(http);
    },
  };
}

class WsClient extends JsonClient {
  private readonly socket: WebSocket;

  constructor(socket: WebSocket) {
    super();
    this.socket = socket;
    socket.on("message", (data: Buffer, isBinary) => this.received(isBinary ? data : data.toString()));
    socket.on("close", () => this.closed());
  }

  /** Uses a separate connection; closing it ends the stream. */
  async stream(kind: StreamKind, received: (item: News | Uint8Array) => void): Promise<() => Promise<void>> {
    if (kind !== "items") throw new Error("ws is measured with items only");
    const own = new WebSocket(this.socket.url, { perMessageDeflate: false });
    await once(own, "open");
    own.on("message", (data) => received(JSON.parse(String(data)) as News));
    own.send(STREAM);
    return async () => own.terminate();
  }

  async close(): Promise<void> {
    this.socket.close();
    if (this.socket.readyState !== WebSocket.CLOSED) await once(this.socket, "close");
  }

  protected write(content: Content): void {
    this.socket.send(content);
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
