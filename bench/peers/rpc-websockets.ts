/** rpc-websockets: JSON-RPC 2.0 over WebSockets. */
import { Client, Server } from "rpc-websockets";
import * as v from "valibot";
import { missingPackage, packageVersion } from "../lib/package-version.ts";
import type { BenchClient, BenchServer, ClientOptions, Peer, ServerOptions, Target } from "../lib/peer.ts";
import { type AddParams, AddSchema, type Message, methodName, type News } from "../lib/workload.ts";
import { closeHttp, listenHttp } from "./support/http-server.ts";

async function startServer({ tls, maxPayloadBytes, methods }: ServerOptions): Promise<BenchServer> {
  const { http, target } = await listenHttp(tls);
  const server = new Server({ server: http, perMessageDeflate: false, maxPayload: maxPayloadBytes + 1024 });
  for (let index = 0; index < methods; index++) {
    server.register(methodName(index), (params) => {
      const { a, b } = v.parse(AddSchema, params);
      return a + b;
    });
  }
  server.register("message", (params) => params);
  server.event("news");

  return {
    target,
    connectionCount: () => server.wss.clients.size,
    broadcast(news) {
      server.emit("news", news);
    },
    async close() {
      await server.close();
      for (const socket of server.wss.clients) socket.terminate();
      await closeHttp(http);
    },
  };
}

class RpcWebSocketsClient implements BenchClient {
  private readonly client: Client;

  constructor(client: Client) {
    this.client = client;
  }

  call(params: AddParams, method = 0): Promise<number> {
    return this.client.call(methodName(method), params) as Promise<number>;
  }

  request(message: Message): Promise<Message> {
    return this.client.call("message", message) as Promise<Message>;
  }

  async onBroadcast(listener: (news: News) => void): Promise<void> {
    this.client.on("news", listener);
    await this.client.subscribe("news");
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.client.once("close", resolve));
    this.client.close();
    await closed;
  }
}

async function connect({ host, port }: Target, { tls, maxPayloadBytes }: ClientOptions): Promise<BenchClient> {
  const client = new Client(`${tls === null ? "ws" : "wss"}://${host}:${port}`, {
    reconnect: false,
    perMessageDeflate: false,
    maxPayload: maxPayloadBytes + 1024,
    ...(tls === null ? {} : { ca: tls.ca }),
  });
  await new Promise<void>((resolve, reject) => {
    client.once("open", resolve);
    client.once("error", (event: { error?: Error }) => reject(event.error ?? new Error("Cannot connect")));
  });
  return new RpcWebSocketsClient(client);
}

export const peer: Peer = {
  name: "rpc-websockets",
  title: "rpc-websockets",
  usage: "Registered methods, broadcasts by an event that every client subscribes to; permessage-deflate off.",
  documentation: "https://github.com/elpheria/rpc-websockets#quick-start",
  runtimes: { server: ["node", "bun", "deno"], client: ["node", "bun", "deno"] },
  usual: ["node"],
  mixed: false,
  lacks: { binary: "its messages are JSON, which has no bytes" },
  missing: async () => missingPackage("rpc-websockets"),
  version: async () => packageVersion("rpc-websockets"),
  startServer,
  connect,
};
