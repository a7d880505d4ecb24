/** Bun's built-in WebSocket server with JSON; broadcasts use its topics. */
import process from "node:process";
import type { BenchClient, BenchServer, ClientOptions, Peer, ServerOptions, Target } from "../lib/peer.ts";
import { runtimeVersion } from "../lib/runtimes.ts";
import { answerer, opened, StandardSocketClient } from "./support/json-socket.ts";

const TOPIC = "news";

/** The part of Bun's API used here, because Bun's type declarations conflict with Node's. */
interface ServerWebSocket {
  send(data: string | Uint8Array): number;
  subscribe(topic: string): void;
}

interface BunServer {
  readonly port: number;
  upgrade(request: unknown): boolean;
  publish(topic: string, data: string): number;
  stop(closeActiveConnections: boolean): Promise<void>;
}

declare const Bun: {
  serve(options: {
    readonly hostname: string;
    readonly port: number;
    readonly tls?: { readonly cert: string; readonly key: string };
    fetch(request: unknown, server: BunServer): Response | undefined;
    readonly websocket: {
      readonly perMessageDeflate: boolean;
      readonly maxPayloadLength: number;
      readonly backpressureLimit: number;
      open(socket: ServerWebSocket): void;
      message(socket: ServerWebSocket, data: string | Uint8Array): void;
      close(): void;
    };
  }): BunServer;
};

/** Bun's WebSocket has options beyond the standard. */
type BunWebSocket = new (url: string, options: { readonly tls?: { readonly ca: string } }) => WebSocket;

async function startServer(options: ServerOptions): Promise<BenchServer> {
  const { tls, maxPayloadBytes } = options;
  const answer = answerer(options);
  let connections = 0;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    ...(tls === null ? {} : { tls: { cert: tls.cert, key: tls.key } }),
    fetch: (request, self) =>
      self.upgrade(request) ? undefined : new Response("A WebSocket, please", { status: 426 }),
    websocket: {
      perMessageDeflate: false,
      maxPayloadLength: maxPayloadBytes + 1024,
      // Bun drops messages beyond this limit, and several of the largest may be queued.
      backpressureLimit: Math.max(16 * 1024 * 1024, 8 * maxPayloadBytes),
      open(socket) {
        connections++;
        socket.subscribe(TOPIC);
      },
      message(socket, data) {
        socket.send(answer(data));
      },
      close() {
        connections--;
      },
    },
  });
  return {
    target: { host: tls === null ? "127.0.0.1" : "localhost", port: server.port },
    connectionCount: () => connections,
    broadcast(news) {
      server.publish(TOPIC, JSON.stringify(news));
    },
    async close() {
      await server.stop(true);
    },
  };
}

async function connect({ host, port }: Target, { tls }: ClientOptions): Promise<BenchClient> {
  const Socket = WebSocket as unknown as BunWebSocket;
  const url = `${tls === null ? "ws" : "wss"}://${host}:${port}`;
  return new StandardSocketClient(await opened(new Socket(url, tls === null ? {} : { tls: { ca: tls.ca } })));
}

export const peer: Peer = {
  name: "bun-websocket",
  title: "Bun's WebSocket + JSON",
  usage:
    "`Bun.serve` with `websocket` handlers and Bun's own WebSocket client, JSON written by hand as for ws; " +
    "broadcasts by `server.publish` to a topic that every connection subscribes to; `perMessageDeflate` off.",
  documentation: "https://bun.com/docs/runtime/http/websockets",
  runtimes: { server: ["bun"], client: ["bun"] },
  mixed: false,
  lacks: {},
  missing: async () => (runtimeVersion("bun") === null ? "Bun is not installed" : null),
  version: async () => process.versions["bun"] ?? runtimeVersion("bun") ?? "unknown",
  startServer,
  connect,
};
