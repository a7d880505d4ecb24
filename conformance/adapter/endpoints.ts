import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ByteStream, ConnectTarget, Listener, TlsClientOptions, TlsServerOptions } from "@netconduit/core/adapter";
import { onTestFinished } from "vitest";
import type { SocketAdapter } from "./subject.ts";

/** An endpoint to connect to or listen on. Default: port 0. */
export interface TestEndpoint {
  readonly host?: string;
  readonly path?: string;
  readonly port?: number;
  readonly ipv6?: boolean;
  readonly serverTls?: TlsServerOptions;
  readonly clientTls?: TlsClientOptions;
  readonly handshakeTimeoutMs?: number;
  readonly maxPendingHandshakes?: number;
}

export const BUFFER_SIZE = 65_536;

export function target(endpoint: TestEndpoint): ConnectTarget {
  return {
    path: endpoint.path,
    host: endpoint.host ?? "localhost",
    port: endpoint.port ?? 0,
    family: 0,
    tls: endpoint.clientTls ?? null,
    bufferSize: BUFFER_SIZE,
  };
}

/** A queue with awaitable items. */
class Arrivals<T> {
  readonly #items: T[] = [];
  readonly #waiting: ((item: T) => void)[] = [];

  add(item: T): void {
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#items.push(item);
    else waiter(item);
  }

  next(): Promise<T> {
    const item = this.#items.shift();
    return item === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(item);
  }
}

export interface TestListener {
  readonly listener: Listener;
  readonly port: number;
  /** Resolves with the next accepted stream. */
  accepted(): Promise<ByteStream>;
  /** Resolves with the next reported failure. */
  failed(): Promise<Error>;
}

export async function listening(adapter: SocketAdapter, endpoint: TestEndpoint): Promise<TestListener> {
  const streams = new Arrivals<ByteStream>();
  const failures = new Arrivals<Error>();
  const listener = await adapter.listen(
    {
      path: endpoint.path,
      host: endpoint.host ?? "localhost",
      port: endpoint.port ?? 0,
      ipv6: endpoint.ipv6 ?? false,
      tls: endpoint.serverTls ?? null,
      bufferSize: BUFFER_SIZE,
      maxPendingHandshakes: endpoint.maxPendingHandshakes,
    },
    { accepted: (stream) => streams.add(stream), failed: (error) => failures.add(error) },
    endpoint.handshakeTimeoutMs,
  );
  return {
    listener,
    port: listener.address.port,
    accepted: () => streams.next(),
    failed: () => failures.next(),
  };
}

/** Opens a connection and returns both ends: `a` is the client's stream, `b` the server's. */
export async function connectedPair(
  adapter: SocketAdapter,
  endpoint: TestEndpoint,
): Promise<{ a: ByteStream; b: ByteStream; dispose(): Promise<void> }> {
  const { listener, port, accepted } = await listening(adapter, endpoint);
  const a = await adapter.connect(target({ ...endpoint, port }), new AbortController().signal);
  return { a, b: await accepted(), dispose: () => listener.close() };
}

/** Returns the error that `connect` rejects with, or `"connected"`. */
export function attempt(
  adapter: SocketAdapter,
  to: ConnectTarget,
  signal: AbortSignal = new AbortController().signal,
): Promise<unknown> {
  return adapter.connect(to, signal).then(
    (stream) => {
      stream.destroy(null);
      return "connected";
    },
    (error: unknown) => error,
  );
}

/** Returns the error that `listen` rejects with. */
export function listenFailure(adapter: SocketAdapter, endpoint: TestEndpoint): Promise<Error> {
  return listening(adapter, endpoint).then(
    async ({ listener }) => {
      await listener.close();
      return new Error("it listens");
    },
    (error: Error) => error,
  );
}

/** Starts a server with the runtime's `node:net` on the loopback interface. Closed when the test ends. */
export async function bareServer(onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.on("error", () => {}));
    onConnection(socket);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** Returns a port without a listener on the loopback interface. */
export async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Returns a path for a Unix socket. Removed when the test ends. */
export async function socketPath(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "netconduit-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  return join(directory, "server.sock");
}

/** Resolves when a bare socket has closed, with or without an error. */
export async function socketClosed(socket: Socket): Promise<void> {
  if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
}
