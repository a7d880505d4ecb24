import type { Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { createServer, type Server } from "node:tls";
import { type Acceptor, type Handshake, MIN_TLS_VERSION } from "@netconduit/core/adapter";

/** Performs the TLS handshakes of accepted sockets. */
export interface TlsHandshakes {
  accept(socket: Socket): void;
  /** The acceptor has other TLS material, for new handshakes. Throws if it is unusable. */
  tlsChanged(): void;
}

/** Handshakes over TCP. One TLS server performs them all. */
export function tcpHandshakes(acceptor: Acceptor<Socket>): TlsHandshakes {
  const pending = new Map<string, Handshake<Socket>>();
  /** The failure of a socket that is closed already and has no address any more. */
  let failure: { readonly cause: unknown; readonly refusal: unknown } | null = null;
  const start = (): Server => {
    const server = tlsServer(acceptor);
    server.on("secureConnection", (socket) => {
      const handshake = pending.get(nameOf(socket));
      if (handshake === undefined) socket.destroy();
      else handshake.ready(socket.authorizationError, socket.ref());
    });
    // Node itself closes a connection with an unacceptable certificate, and only reports that it closed.
    server.on("tlsClientError", (cause, socket) => {
      const handshake = pending.get(nameOf(socket));
      if (handshake === undefined) failure = { cause, refusal: socket.authorizationError };
      else handshake.refused(cause, socket.authorizationError, socket);
    });
    return server;
  };
  let server = start();
  return {
    accept(socket) {
      const handshake = acceptor.handshake(socket);
      if (handshake === null) return;
      const name = nameOf(socket);
      pending.set(name, handshake);
      socket.once("close", async () => {
        pending.delete(name);
        // The TLS socket's failure is reported in the same turn, before or after this event.
        await setImmediate();
        if (failure === null) handshake.closed();
        else handshake.refused(failure.cause, failure.refusal, socket);
        failure = null;
      });
      begin(server, socket);
    },
    tlsChanged() {
      server = start();
    },
  };
}

/**
 * Handshakes over a Unix socket. Its clients can't be distinguished by address, so each handshake uses its own TLS server
 * (0.3 ms and 50 KiB), which later ones reuse.
 */
export function unixHandshakes(acceptor: Acceptor<Socket>): TlsHandshakes {
  let idle: Server[] = [tlsServer(acceptor)];
  return {
    accept(socket) {
      const handshake = acceptor.handshake(socket);
      if (handshake === null) return;
      const pool = idle;
      const server = pool.pop() ?? tlsServer(acceptor);
      const release = (): void => {
        if (server.listenerCount("secureConnection") === 0) return;
        server.removeAllListeners("secureConnection").removeAllListeners("tlsClientError");
        pool.push(server);
      };
      server.on("secureConnection", (secured) => {
        release();
        handshake.ready(secured.authorizationError, secured.ref());
      });
      server.on("tlsClientError", (cause, failed) => handshake.refused(cause, failed.authorizationError, failed));
      socket.once("close", async () => {
        // As over TCP, the failure may be reported after this event.
        await setImmediate();
        release();
        handshake.closed();
      });
      begin(server, socket);
    },
    tlsChanged() {
      idle = [tlsServer(acceptor)];
    },
  };
}

function tlsServer({ tls, handshakeTimeoutMs: handshakeTimeout }: Acceptor<Socket>): Server {
  return createServer({ ...tls, minVersion: MIN_TLS_VERSION, handshakeTimeout });
}

function begin(server: Server, socket: Socket): void {
  // A handshake must not keep the process running once the listener has closed.
  server.emit("connection", socket.unref());
}

/** Node doesn't say which socket a TLS socket is on, but both have the client's address. */
function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}
