/** nats.js: requests and published messages, through nats-server. */

import { platform } from "node:os";
import { connect as connectNats, type Msg, type NatsConnection } from "@nats-io/transport-node";
import * as v from "valibot";
import { findNatsServer, HOW_TO_GET_NATS } from "../../scripts/lib/nats-server.ts";
import { missingPackage, packageVersion } from "../lib/package-version.ts";
import type {
  BenchClient,
  BenchServer,
  Certificates,
  ClientOptions,
  Peer,
  ServerOptions,
  Target,
} from "../lib/peer.ts";
import { type AddParams, AddSchema, type Message, mark, methodName, type News, servedBytes } from "../lib/workload.ts";
import { NatsServer } from "./support/nats-server.ts";

/** Request timeout; the default of one second is too short for a thousand requests on a slow machine. */
const TIMEOUT_MS = 30_000;

/** The reply of a failed call, because replies have no error field. */
interface Failure {
  readonly error: string;
}

function open({ host, port }: Target, tls: Certificates | null): Promise<NatsConnection> {
  return connectNats({
    servers: `${host}:${port}`,
    reconnect: false,
    timeout: TIMEOUT_MS,
    // Avoids a stack trace for each request.
    noAsyncTraces: true,
    ...(tls === null ? {} : { tls: { ca: tls.ca } }),
  });
}

async function startServer({ tls, methods, ...limits }: ServerOptions): Promise<BenchServer> {
  const nats = await NatsServer.start({ tls, ...limits });
  const target: Target = { host: "127.0.0.1", port: nats.port };
  const connection = await open(target, tls);
  const serve = (subject: string, handle: (message: Msg) => void): void => {
    connection.subscribe(subject, {
      callback(error, message) {
        if (error !== null) throw error;
        handle(message);
      },
    });
  };
  for (let index = 0; index < methods; index++) {
    serve(methodName(index), (message) => {
      try {
        const { a, b } = v.parse(AddSchema, message.json());
        message.respond(JSON.stringify(a + b));
      } catch (error) {
        message.respond(JSON.stringify({ error: String(error) } satisfies Failure));
      }
    });
  }
  serve("message", (message) => message.respond(JSON.stringify(message.json())));
  serve("upload", (message) => message.respond(JSON.stringify(mark(message.data))));
  serve("download", (message) => message.respond(servedBytes(message.json<number>())));
  await connection.flush();

  let connections = 0;
  return {
    target,
    processIds: [nats.processId],
    connectionCount() {
      // The monitoring page is asynchronous, so return its previous result.
      void nats.connectionCount().then((count) => {
        connections = count - 1;
      });
      return connections;
    },
    broadcast(news) {
      connection.publish("news", JSON.stringify(news));
    },
    publish(news) {
      connection.publish("topic", JSON.stringify(news));
    },
    async close() {
      await connection.close();
      await nats.close();
    },
  };
}

class NatsClient implements BenchClient {
  private readonly connection: NatsConnection;

  constructor(connection: NatsConnection) {
    this.connection = connection;
  }

  async call(params: AddParams, method = 0): Promise<number> {
    const answer = (await this.sendRequest(methodName(method), JSON.stringify(params))).json<number | Failure>();
    if (typeof answer !== "number") throw new Error(answer.error);
    return answer;
  }

  async request(message: Message): Promise<Message> {
    return (await this.sendRequest("message", JSON.stringify(message))).json<Message>();
  }

  onBroadcast(listener: (news: News) => void): Promise<void> {
    return this.listen("news", listener);
  }

  onTopic(listener: (news: News) => void): Promise<void> {
    return this.listen("topic", listener);
  }

  private async listen(subject: string, listener: (news: News) => void): Promise<void> {
    this.connection.subscribe(subject, {
      callback(error, message) {
        if (error !== null) throw error;
        listener(message.json<News>());
      },
    });
    await this.connection.flush();
  }

  async upload(bytes: Uint8Array): Promise<number> {
    return (await this.sendRequest("upload", bytes)).json<number>();
  }

  async download(length: number): Promise<number> {
    return mark((await this.sendRequest("download", JSON.stringify(length))).data);
  }

  async close(): Promise<void> {
    await this.connection.close();
  }

  private sendRequest(subject: string, payload: string | Uint8Array): Promise<Msg> {
    return this.connection.request(subject, payload, { timeout: TIMEOUT_MS });
  }
}

async function missing(): Promise<string | null> {
  if (platform() === "win32") return "nats-server is started by a POSIX shell here";
  if ((await findNatsServer()) === null) return HOW_TO_GET_NATS;
  return missingPackage("@nats-io/transport-node");
}

export const peer: Peer = {
  name: "nats",
  title: "nats.js",
  usage:
    "Requests to subjects that the server subscribes to, payloads in JSON, `noAsyncTraces` on; broadcasts are " +
    "published once. Everything passes through a nats-server on the same machine, whose memory is reported.",
  documentation: "https://github.com/nats-io/nats.js/blob/main/core/README.md#services-requestreply",
  runtimes: { server: ["node"], client: ["node"] },
  mixed: false,
  lacks: {},
  missing,
  version: async () => `${packageVersion("@nats-io/transport-node")}, nats-server ${(await findNatsServer())?.version}`,
  startServer,
  async connect(target: Target, { tls }: ClientOptions): Promise<BenchClient> {
    return new NatsClient(await open(target, tls));
  },
};
