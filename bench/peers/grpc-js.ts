/** gRPC on Node.js: unary calls, and a server-side stream for broadcasts. */
import { fileURLToPath } from "node:url";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { missingPackage, packageVersion } from "../lib/package-version.ts";
import type { BenchClient, BenchServer, ClientOptions, Peer, ServerOptions, StreamKind, Target } from "../lib/peer.ts";
import { type AddParams, ITEM_TEXT, type Message, mark, methodName, type News, servedBytes } from "../lib/workload.ts";

const PROTO: string = fileURLToPath(new URL("support/bench.proto", import.meta.url));
/** Connecting takes milliseconds, or a second with a thousand concurrent connects. */
const CONNECT_DEADLINE_MS = 30_000;

type Unary<Request, Response> = (
  request: Request,
  callback: (error: grpc.ServiceError | null, response?: Response) => void,
) => grpc.ClientUnaryCall;

interface BenchStub extends grpc.Client {
  Request: Unary<Message, Message>;
  Upload: Unary<{ bytes: Uint8Array }, { mark: number }>;
  Download: Unary<{ length: number }, { bytes: Uint8Array }>;
  Listen(nothing: object): grpc.ClientReadableStream<News>;
  Items(nothing: object): grpc.ClientReadableStream<News>;
}

/** The service of bench.proto, with its method `Add` under `methods` names: `add`, `add1`, … */
function serviceDefinition(methods: number): grpc.ServiceDefinition {
  const { Add, ...others } = loadSync(PROTO)["bench.Bench"] as grpc.ServiceDefinition;
  const definition: Record<string, grpc.MethodDefinition<object, object>> = { ...others };
  for (let index = 0; index < methods; index++) {
    const name = methodName(index);
    definition[name] = { ...Add!, path: `/bench.Bench/${name}`, originalName: name };
  }
  return definition;
}

/** Writes with backpressure: pauses when `write` returns false, until "drain". */
function sendItems(call: grpc.ServerWritableStream<object, News>): void {
  let n = 0;
  const more = (): void => {
    while (!call.cancelled && call.write({ n: n++, text: ITEM_TEXT }));
    if (!call.cancelled) call.once("drain", more);
  };
  more();
}

function limits(maxPayloadBytes: number): grpc.ChannelOptions {
  return {
    "grpc.max_receive_message_length": maxPayloadBytes + 1024,
    "grpc.max_send_message_length": maxPayloadBytes + 1024,
  };
}

async function startServer({ tls, maxPayloadBytes, methods }: ServerOptions): Promise<BenchServer> {
  const server = new grpc.Server(limits(maxPayloadBytes));
  const listening = new Set<grpc.ServerWritableStream<object, News>>();
  // Protocol Buffers have already validated that a and b are numbers.
  const add: grpc.handleUnaryCall<AddParams, { sum: number }> = ({ request }, callback) =>
    callback(null, { sum: request.a + request.b });
  const handlers: grpc.UntypedServiceImplementation = {
    Request: ({ request }: grpc.ServerUnaryCall<Message, Message>, callback: grpc.sendUnaryData<Message>) =>
      callback(null, request),
    Upload: (
      { request }: grpc.ServerUnaryCall<{ bytes: Buffer }, object>,
      callback: grpc.sendUnaryData<{ mark: number }>,
    ) => callback(null, { mark: mark(request.bytes) }),
    Download: (
      { request }: grpc.ServerUnaryCall<{ length: number }, object>,
      callback: grpc.sendUnaryData<{ bytes: Uint8Array }>,
    ) => callback(null, { bytes: servedBytes(request.length) }),
    Listen: (call: grpc.ServerWritableStream<object, News>) => {
      listening.add(call);
      call.on("cancelled", () => listening.delete(call));
      // Confirms the subscription to the client.
      call.sendMetadata(new grpc.Metadata());
    },
  };
  handlers["Items"] = sendItems as grpc.UntypedHandleCall;
  for (let index = 0; index < methods; index++) handlers[methodName(index)] = add as grpc.UntypedHandleCall;
  server.addService(serviceDefinition(methods), handlers);

  const credentials =
    tls === null
      ? grpc.ServerCredentials.createInsecure()
      : grpc.ServerCredentials.createSsl(null, [
          { private_key: Buffer.from(tls.key), cert_chain: Buffer.from(tls.cert) },
        ]);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  return {
    target: {
      host: tls === null ? "127.0.0.1" : "localhost",
      port,
      extra: { methods: String(methods) },
    },
    connectionCount: () => countConnections(server),
    broadcast(news) {
      for (const call of listening) call.write(news);
    },
    async close() {
      server.forceShutdown();
    },
  };
}

/** Number of a server's sockets from channelz, the only source in gRPC. */
function countConnections(server: grpc.Server): number {
  let count = -1;
  const request = { server_id: String(server.getChannelzRef().id), start_socket_id: "0", max_results: "1000000" };
  const call = { request } as Parameters<ReturnType<typeof grpc.getChannelzHandlers>["GetServerSockets"]>[0];
  // The callback runs synchronously.
  grpc.getChannelzHandlers().GetServerSockets(call, (error, answer) => {
    if (error) throw new Error(`channelz: ${error.details}`);
    count = answer?.socket_ref?.length ?? 0;
  });
  return count;
}

class GrpcClient implements BenchClient {
  private readonly stub: BenchStub;
  private listening: grpc.ClientReadableStream<News> | null = null;

  constructor(stub: BenchStub) {
    this.stub = stub;
  }

  async call(params: AddParams, method = 0): Promise<number> {
    const { sum } = await this.unary<AddParams, { sum: number }>(methodName(method), params);
    return sum;
  }

  request(message: Message): Promise<Message> {
    return this.unary("Request", message);
  }

  async onBroadcast(listener: (news: News) => void): Promise<void> {
    const stream = this.stub.Listen({});
    this.listening = stream;
    stream.on("data", listener);
    await new Promise<void>((resolve, reject) => {
      stream.once("metadata", () => resolve());
      stream.on("error", (error: grpc.ServiceError) => {
        // CANCELLED is reported when this side closes the stream.
        if (error.code !== grpc.status.CANCELLED) reject(error);
      });
    });
  }

  async upload(bytes: Uint8Array): Promise<number> {
    return (await this.unary<{ bytes: Uint8Array }, { mark: number }>("Upload", { bytes })).mark;
  }

  async download(length: number): Promise<number> {
    return mark((await this.unary<{ length: number }, { bytes: Uint8Array }>("Download", { length })).bytes);
  }

  async stream(kind: StreamKind, received: (item: News | Uint8Array) => void): Promise<() => Promise<void>> {
    if (kind !== "items") throw new Error("grpc-js is measured with items only");
    const call = this.stub.Items({});
    const ended = Promise.withResolvers<void>();
    call.on("data", received);
    call.on("error", (error: grpc.ServiceError) => {
      if (error.code === grpc.status.CANCELLED) ended.resolve();
      else ended.reject(error);
    });
    return () => {
      call.cancel();
      return ended.promise;
    };
  }

  async close(): Promise<void> {
    this.listening?.cancel();
    this.stub.close();
  }

  private unary<Request, Response>(name: string, request: Request): Promise<Response> {
    return new Promise((resolve, reject) => {
      const method = (this.stub as unknown as Record<string, Unary<Request, Response>>)[name] as Unary<
        Request,
        Response
      >;
      method.call(this.stub, request, (error, response) => {
        if (error === null) resolve(response as Response);
        else reject(error);
      });
    });
  }
}

const stubs = new Map<string, grpc.ServiceClientConstructor>();

/** The stub's class, created once per number of methods, as an application would. */
function stubClass(methods: string): grpc.ServiceClientConstructor {
  let made = stubs.get(methods);
  if (made === undefined) {
    made = grpc.makeGenericClientConstructor(serviceDefinition(Number(methods)), "Bench");
    stubs.set(methods, made);
  }
  return made;
}

async function connect({ host, port, extra }: Target, { tls, maxPayloadBytes }: ClientOptions): Promise<BenchClient> {
  const Stub = stubClass(extra?.["methods"] ?? "1");
  const credentials =
    tls === null ? grpc.credentials.createInsecure() : grpc.credentials.createSsl(Buffer.from(tls.ca));
  const stub = new Stub(`${host}:${port}`, credentials, {
    ...limits(maxPayloadBytes),
    // By default, all clients of a process share one connection.
    "grpc.use_local_subchannel_pool": 1,
  }) as unknown as BenchStub;
  await new Promise<void>((resolve, reject) => {
    stub.waitForReady(Date.now() + CONNECT_DEADLINE_MS, (error) => (error === undefined ? resolve() : reject(error)));
  });
  return new GrpcClient(stub);
}

export const peer: Peer = {
  name: "grpc-js",
  title: "@grpc/grpc-js",
  usage:
    "Unary calls for requests and bytes, one server-side stream per client for broadcasts; proto-loader, one channel " +
    "and one connection per client, insecure credentials (or TLS). Protocol Buffers check the parameters.",
  documentation: "https://grpc.io/docs/languages/node/basics/",
  runtimes: { server: ["node"], client: ["node"] },
  mixed: false,
  lacks: {},
  missing: async () => missingPackage("@grpc/grpc-js") ?? missingPackage("@grpc/proto-loader"),
  version: async () => packageVersion("@grpc/grpc-js"),
  startServer,
  connect,
};
