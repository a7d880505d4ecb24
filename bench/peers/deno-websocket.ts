/** Deno's built-in WebSocket server with JSON. */
import type { BenchClient, BenchServer, ClientOptions, Peer, ServerOptions, Target } from "../lib/peer.ts";
import { runtimeVersion } from "../lib/runtimes.ts";
import { answerer, opened, StandardSocketClient } from "./support/json-socket.ts";

interface HttpServer {
  readonly addr: { readonly port: number };
  shutdown(): Promise<void>;
}

/** An HTTP client, needed to set the CA. */
interface HttpClient {
  close(): void;
}

/** The part of Deno's API used here, because Deno's type declarations conflict with Node's. */
declare const Deno: {
  readonly version: { readonly deno: string };
  serve(
    options: {
      readonly hostname: string;
      readonly port: number;
      readonly cert?: string;
      readonly key?: string;
      onListen(): void;
    },
    handler: (request: Request) => Response,
  ): HttpServer;
  upgradeWebSocket(request: Request): { readonly socket: WebSocket; readonly response: Response };
  createHttpClient(options: { readonly caCerts: readonly string[] }): HttpClient;
};

/** Deno's WebSocket has options beyond the standard. */
type DenoWebSocket = new (url: string, options: { readonly client: HttpClient }) => WebSocket;

async function startServer(options: ServerOptions): Promise<BenchServer> {
  const { tls } = options;
  const answer = answerer(options);
  const sockets = new Set<WebSocket>();
  const server = Deno.serve(
    {
      hostname: "127.0.0.1",
      port: 0,
      ...(tls === null ? {} : { cert: tls.cert, key: tls.key }),
      // Suppress Deno's default output of the address.
      onListen: () => undefined,
    },
    (request) => {
      const { socket, response } = Deno.upgradeWebSocket(request);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => sockets.add(socket);
      socket.onclose = () => sockets.delete(socket);
      socket.onmessage = ({ data }: { readonly data: string | ArrayBuffer }) =>
        socket.send(answer(typeof data === "string" ? data : new Uint8Array(data)));
      return response;
    },
  );
  return {
    target: { host: tls === null ? "127.0.0.1" : "localhost", port: server.addr.port },
    connectionCount: () => sockets.size,
    broadcast(news) {
      const text = JSON.stringify(news);
      for (const socket of sockets) if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    async close() {
      for (const socket of sockets) socket.close();
      await server.shutdown();
    },
  };
}

let httpClient: HttpClient | null = null;

async function connect({ host, port }: Target, { tls }: ClientOptions): Promise<BenchClient> {
  if (tls === null) return new StandardSocketClient(await opened(new WebSocket(`ws://${host}:${port}`)));
  httpClient ??= Deno.createHttpClient({ caCerts: [tls.ca] });
  const Socket = WebSocket as unknown as DenoWebSocket;
  return new StandardSocketClient(await opened(new Socket(`wss://${host}:${port}`, { client: httpClient })));
}

export const peer: Peer = {
  name: "deno-websocket",
  title: "Deno's WebSocket + JSON",
  usage:
    "`Deno.serve` with `Deno.upgradeWebSocket` and Deno's own WebSocket client, JSON written by hand as for ws; " +
    "broadcasts are a loop over the sockets. Deno doesn't compress.",
  documentation: "https://docs.deno.com/api/deno/~/Deno.upgradeWebSocket",
  runtimes: { server: ["deno"], client: ["deno"] },
  mixed: false,
  lacks: {},
  missing: async () => (runtimeVersion("deno") === null ? "Deno is not installed" : null),
  version: async () => (typeof Deno === "undefined" ? runtimeVersion("deno") : Deno.version.deno) ?? "unknown",
  startServer,
  connect,
};
