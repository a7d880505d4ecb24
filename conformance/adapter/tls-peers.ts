import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from "node:tls";
import type { ByteStream, TlsClientOptions, TlsServerOptions } from "@netconduit/core/adapter";
import { onTestFinished } from "vitest";
import { testFile } from "../../packages/node/test-data/tls/files.ts";
import { Recorder } from "../byte-stream/recorder.ts";
import { listening, type TestListener, target } from "./endpoints.ts";
import type { SocketAdapter } from "./subject.ts";

export const ca: string = testFile("ca.crt");

export function serverTls(name = "server"): TlsServerOptions {
  return { cert: testFile(`${name}.crt`), key: testFile(`${name}.key`) };
}

export function clientCertificate(name: string): TlsClientOptions {
  return { ca, cert: testFile(`${name}.crt`), key: testFile(`${name}.key`) };
}

export function pem(name: string): Promise<string> {
  return readFile(testFile(name), "utf8");
}

/** Runs `body` with a TLS listener of the adapter, then closes the listener. */
export async function withListener(
  adapter: SocketAdapter,
  tls: TlsServerOptions,
  body: (server: TestListener) => Promise<void>,
  limits: { readonly handshakeTimeoutMs?: number; readonly maxPendingHandshakes?: number } = {},
): Promise<void> {
  const server = await listening(adapter, { host: "127.0.0.1", serverTls: tls, ...limits });
  try {
    await body(server);
  } finally {
    await server.listener.close();
  }
}

/** Starts a TLS server with the runtime's `node:tls` that writes a byte to each client. Closed when the test ends. */
export async function bareTlsServer(options: TlsOptions, onSecure?: (socket: TLSSocket) => void): Promise<number> {
  const sockets = new Set<TLSSocket>();
  const material = { cert: await pem("server.crt"), key: await pem("server.key") };
  const server = createTlsServer({ ...material, ...options }, (socket) => {
    sockets.add(socket.on("error", () => {}));
    if (onSecure === undefined) socket.write("!");
    else onSecure(socket);
  });
  server.on("tlsClientError", () => {});
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** Connects by TLS to a port on the loopback interface. */
export function dial(
  adapter: SocketAdapter,
  port: number,
  clientTls: TlsClientOptions,
  host = "localhost",
): Promise<ByteStream> {
  // Deno can't choose the address family and present a certificate at the same time.
  const family = clientTls.cert === undefined ? 4 : 0;
  return adapter.connect({ ...target({ host, port, clientTls }), family }, new AbortController().signal);
}

/** Returns the error of a rejected TLS client, or `"connected"`. */
export function refusal(
  adapter: SocketAdapter,
  port: number,
  clientTls: TlsClientOptions,
  host?: string,
): Promise<unknown> {
  return dial(adapter, port, clientTls, host).then(
    (stream) => {
      stream.destroy(null);
      return "connected";
    },
    (error: unknown) => error,
  );
}

/** Connects and immediately writes. Resolves with the error of the handshake or the stream, or with the received bytes. */
export async function outcome(adapter: SocketAdapter, port: number, clientTls: TlsClientOptions): Promise<unknown> {
  let stream: ByteStream;
  try {
    stream = await dial(adapter, port, clientTls, "127.0.0.1");
  } catch (error) {
    return error;
  }
  const recorder = new Recorder();
  recorder.open(stream);
  stream.write(new Uint8Array(200));
  const received = await recorder.received(1).catch(() => null);
  stream.destroy(null);
  await recorder.whenClosed;
  return received === null ? recorder.closedCalls[0] : [...recorder.bytes()];
}
