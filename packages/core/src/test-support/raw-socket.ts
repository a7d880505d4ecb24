/** Raw peers over `node:net` sockets, available on Node.js, Bun and Deno. */
import { type AddressInfo, connect, createServer, type Server as NetServer, type Socket } from "node:net";
import {
  type ConnectionOptions,
  createServer as createTlsServer,
  TLSSocket,
  type TlsOptions,
  connect as tlsConnect,
} from "node:tls";
import type { ByteSink } from "../bytes/byte-stream.ts";
import { RawPeer, type RawStream } from "./raw-peer.ts";

class RawSocket implements RawStream {
  readonly #socket: Socket;
  #error: Error | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  open(sink: ByteSink): void {
    this.#socket.on("data", (chunk) => sink.data(chunk));
    this.#socket.on("error", (error) => {
      this.#error = error;
    });
    this.#socket.on("close", () => sink.closed(this.#error));
  }

  write(bytes: Uint8Array): boolean {
    return this.#socket.write(bytes);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Sends FIN. */
  async close(): Promise<void> {
    this.#socket.end();
  }

  /** Sends RST. Closes normally while FIN is being sent, because Node then fails to reset the socket and never closes it. */
  destroy(): void {
    const isEnding = this.#socket.writableEnded && !this.#socket.writableFinished;
    // A TLS socket can't be reset.
    if (isEnding || this.#socket instanceof TLSSocket) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }
}

/** Connects to a port. Also resolves if the peer is disconnected immediately. */
export async function socketPeer(port: number, host = "127.0.0.1"): Promise<RawPeer> {
  const socket = connect({ host, port, noDelay: true });
  const peer = new RawPeer(new RawSocket(socket));
  await new Promise<void>((resolve) => socket.once("connect", resolve).once("close", () => resolve()));
  return peer;
}

/** Connects over TLS. Rejects if the handshake fails. */
export async function tlsPeer(options: ConnectionOptions): Promise<RawPeer> {
  const socket = tlsConnect({ ALPNProtocols: [], ...options });
  const peer = new RawPeer(new RawSocket(socket));
  await new Promise<void>((resolve, reject) => {
    socket.once("secureConnect", resolve).once("error", reject);
    socket.once("close", () => reject(new Error("The connection ended during the handshake")));
  });
  return peer;
}

/** A listener, by default on 127.0.0.1, whose connections are raw peers. */
export interface SocketListener {
  readonly port: number;
  close(): Promise<void>;
}

export async function socketListener(accepted: (peer: RawPeer) => void, host?: string): Promise<SocketListener> {
  return listening(
    createServer({ noDelay: true }, (socket) => accepted(new RawPeer(new RawSocket(socket)))),
    host,
  );
}

/** The same over TLS. */
export async function tlsListener(
  options: TlsOptions,
  accepted: (peer: RawPeer) => void,
  refused: (error: Error & { readonly code?: string }) => void = () => undefined,
): Promise<SocketListener> {
  const server = createTlsServer(options, (socket) => accepted(new RawPeer(new RawSocket(socket))));
  server.on("tlsClientError", refused);
  return listening(server);
}

async function listening(server: NetServer, host = "127.0.0.1"): Promise<SocketListener> {
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
