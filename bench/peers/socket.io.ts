/** socket.io: events with acknowledgements, over its WebSocket transport only. */
import { Server, type Socket } from "socket.io";
import { type Socket as ClientSocket, io } from "socket.io-client";
import * as v from "valibot";
import { missingPackage, packageVersion } from "../lib/package-version.ts";
import type { BenchClient, BenchServer, ClientOptions, Peer, ServerOptions, Target } from "../lib/peer.ts";
import { type AddParams, AddSchema, type Message, mark, methodName, type News, servedBytes } from "../lib/workload.ts";
import { listenHttp } from "./support/http-server.ts";

/** The acknowledgement of a failed call, because acknowledgements have no error field. */
interface Failure {
  readonly error: string;
}

type Ack<T> = (answer: T | Failure) => void;

interface ClientEvents {
  message(message: Message, ack: Ack<Message>): void;
  subscribe(ack: Ack<boolean>): void;
  upload(bytes: Uint8Array, ack: Ack<number>): void;
  download(length: number, ack: Ack<Uint8Array>): void;
  /** The methods. */
  [add: string]: ((params: unknown, ack: Ack<number>) => void) | ((...args: never[]) => void);
}

interface ServerEvents {
  topic(news: News): void;
  news(news: News): void;
}

async function startServer({ tls, maxPayloadBytes, methods }: ServerOptions): Promise<BenchServer> {
  const { http, target } = await listenHttp(tls);
  const server = new Server<ClientEvents, ServerEvents>(http, {
    transports: ["websocket"],
    perMessageDeflate: false,
    httpCompression: false,
    serveClient: false,
    maxHttpBufferSize: maxPayloadBytes + 1024,
  });
  // As recommended by its page on memory usage: the handshake's request is no longer needed.
  server.engine.on("connection", (connection: { request: unknown }) => {
    connection.request = null;
  });
  const names = Array.from({ length: methods }, (_, index) => methodName(index));

  server.on("connection", (socket: Socket<ClientEvents, ServerEvents>) => {
    for (const name of names) {
      socket.on(name, (params: unknown, ack: Ack<number>) => {
        try {
          const { a, b } = v.parse(AddSchema, params);
          ack(a + b);
        } catch (error) {
          ack({ error: String(error) });
        }
      });
    }
    socket.on("message", (message: Message, ack: Ack<Message>) => ack(message));
    socket.on("subscribe", async (ack: Ack<boolean>) => {
      await socket.join("news");
      ack(true);
    });
    socket.on("upload", (bytes: Uint8Array, ack: Ack<number>) => ack(mark(bytes)));
    socket.on("download", (length: number, ack: Ack<Uint8Array>) => ack(servedBytes(length)));
  });
  return {
    target,
    connectionCount: () => server.sockets.sockets.size,
    broadcast(news) {
      server.emit("news", news);
    },
    publish(news) {
      server.to("news").emit("topic", news);
    },
    async joinTopics(topics, members) {
      const sockets = [...server.sockets.sockets.values()];
      let next = 0;
      for (let n = 0; n < topics; n++) {
        for (let member = 0; member < members; member++) {
          await (sockets[next] as (typeof sockets)[number]).join(`room:${n}`);
          next = (next + 1) % sockets.length;
        }
      }
    },
    async leaveTopics() {
      for (const socket of server.sockets.sockets.values()) {
        for (const room of [...socket.rooms]) if (room.startsWith("room:")) await socket.leave(room);
      }
    },
    async close() {
      await server.close();
    },
  };
}

class SocketIoClient implements BenchClient {
  private readonly socket: ClientSocket<ServerEvents>;

  constructor(socket: ClientSocket<ServerEvents>) {
    this.socket = socket;
  }

  call(params: AddParams, method = 0): Promise<number> {
    return this.emit<number>(methodName(method), params);
  }

  request(message: Message): Promise<Message> {
    return this.emit<Message>("message", message);
  }

  async onBroadcast(listener: (news: News) => void): Promise<void> {
    this.socket.on("news", listener);
  }

  async onTopic(listener: (news: News) => void): Promise<void> {
    this.socket.on("topic", listener);
    await (this.socket as ClientSocket).emitWithAck("subscribe");
  }

  upload(bytes: Uint8Array): Promise<number> {
    return this.emit<number>("upload", bytes);
  }

  async download(length: number): Promise<number> {
    return mark(await this.emit<Uint8Array>("download", length));
  }

  async close(): Promise<void> {
    this.socket.disconnect();
  }

  private async emit<T>(event: string, value: unknown): Promise<T> {
    const answer = (await (this.socket as ClientSocket).emitWithAck(event, value)) as T | Failure;
    if (typeof answer === "object" && answer !== null && "error" in answer) throw new Error(answer.error);
    return answer as T;
  }
}

async function connect({ host, port }: Target, { tls }: ClientOptions): Promise<BenchClient> {
  const socket: ClientSocket<ServerEvents> = io(`${tls === null ? "http" : "https"}://${host}:${port}`, {
    transports: ["websocket"],
    forceNew: true,
    reconnection: false,
    ...(tls === null ? {} : { ca: tls.ca }),
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("connect_error", reject);
  });
  return new SocketIoClient(socket);
}

export const peer: Peer = {
  name: "socket.io",
  title: "socket.io",
  usage:
    "Events with acknowledgements (`emitWithAck`), `io.emit` to broadcast, bytes as binary attachments; WebSocket " +
    "transport only, compression off, the handshake's request discarded as its page on memory usage recommends.",
  documentation: "https://socket.io/docs/v4/emitting-events/#acknowledgements",
  runtimes: { server: ["node", "bun", "deno"], client: ["node", "bun", "deno"] },
  usual: ["node"],
  mixed: false,
  lacks: {},
  missing: async () => missingPackage("socket.io") ?? missingPackage("socket.io-client"),
  version: async () => packageVersion("socket.io"),
  startServer,
  connect,
};
