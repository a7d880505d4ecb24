import type { ByteStream, ConnectTarget, Listener, TlsClientOptions, TlsServerOptions } from "@netconduit/core/adapter";
import { connect } from "../src/connect.ts";
import { listen } from "../src/listen.ts";

/** Where a test connects to or listens; port 0 unless given. */
export interface TestEndpoint {
  readonly host?: string;
  readonly path?: string;
  readonly port?: number;
  readonly ipv6?: boolean;
  readonly serverTls?: TlsServerOptions;
  readonly clientTls?: TlsClientOptions;
  readonly handshakeTimeoutMs?: number;
}

export function target(endpoint: TestEndpoint): ConnectTarget {
  return {
    path: endpoint.path,
    host: endpoint.host ?? "localhost",
    port: endpoint.port ?? 0,
    family: 0,
    tls: endpoint.clientTls ?? null,
    bufferSize: 65_536,
  };
}

/** A queue one can wait at. */
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
  /** The next stream accepted. */
  accepted(): Promise<ByteStream>;
  /** The next failure reported. */
  failed(): Promise<Error>;
}

export async function listening(endpoint: TestEndpoint): Promise<TestListener> {
  const streams = new Arrivals<ByteStream>();
  const failures = new Arrivals<Error>();
  const listener = await listen(
    {
      path: endpoint.path,
      host: endpoint.host ?? "localhost",
      port: endpoint.port ?? 0,
      ipv6: endpoint.ipv6 ?? false,
      tls: endpoint.serverTls ?? null,
      bufferSize: 65_536,
    },
    { accepted: (stream) => streams.add(stream), failed: (error) => failures.add(error) },
    endpoint.handshakeTimeoutMs,
  );
  return { listener, accepted: () => streams.next(), failed: () => failures.next() };
}

/** A client's stream `a` and the server's `b` of one new connection. */
export async function connectedPair(
  endpoint: TestEndpoint,
): Promise<{ a: ByteStream; b: ByteStream; dispose(): Promise<void> }> {
  const { listener, accepted } = await listening(endpoint);
  const port = "port" in listener.address ? listener.address.port : 0;
  const a = await connect(target({ ...endpoint, port }), new AbortController().signal);
  return { a, b: await accepted(), dispose: () => listener.close() };
}
