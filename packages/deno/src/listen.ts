import {
  type Acceptor,
  type BindAddress,
  type BoundSocket,
  type ServerTls,
  tlsConfigError,
} from "@netconduit/core/adapter";
import { unixTlsError } from "./connect.ts";
import { errors } from "./errors.ts";

/** Room for thousands of clients that reconnect at once. Linux caps it at `net.core.somaxconn`. */
const BACKLOG = 4096;
/** Delay after a failed accept, for example for lack of file descriptors, to avoid a busy loop. */
const ACCEPT_RETRY_MS = 100;
const CLIENT_GONE = /^(ENOTCONN|ECONNABORTED|ECONNRESET)$/;

/** Binds a server's socket, and passes its clients to the acceptor. */
export async function bind(at: BindAddress, acceptor: Acceptor<Deno.Conn>): Promise<BoundSocket> {
  const { tls } = acceptor;
  const listener = tls === null ? listenPlain(at) : listenTls(at, tls);
  const accepting = acceptAll(listener, acceptor);
  const { addr } = listener;
  return {
    ...("hostname" in addr ? { host: addr.hostname, port: addr.port } : {}),
    close() {
      listener.close();
      // Deno frees the port, and removes a Unix socket's file, once the pending `accept` is cancelled.
      return accepting;
    },
    ref: () => listener.ref(),
    unref: () => listener.unref(),
  };
}

/** Accepts clients until the acceptor is closed. Never rejects. */
export async function acceptAll(listener: Pick<Deno.Listener, "accept">, acceptor: Acceptor<Deno.Conn>): Promise<void> {
  while (!acceptor.isClosed) {
    try {
      const conn = await listener.accept();
      setNoDelay(conn);
      if (acceptor.tls === null) acceptor.accept(conn);
      else void handshake(conn as Deno.TlsConn, acceptor);
    } catch (cause) {
      if (acceptor.isClosed) return;
      acceptor.failed(cause);
      // Deno fails to accept a client that has already reset its connection; waiting would hold up the others.
      if (CLIENT_GONE.test(errors.codeOf(cause))) continue;
      await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY_MS));
    }
  }
}

function setNoDelay(conn: Deno.Conn): void {
  try {
    if ("setNoDelay" in conn) (conn as Deno.TcpConn).setNoDelay(true);
  } catch {
    // Fails on macOS if the client has disconnected. The stream's first read fails then.
  }
}

async function handshake(conn: Deno.TlsConn, acceptor: Acceptor<Deno.Conn>): Promise<void> {
  const pending = acceptor.handshake(conn);
  if (pending === null) return;
  try {
    await conn.handshake();
    pending.ready();
  } catch (cause) {
    pending.failed(cause);
  }
}

function listenPlain(at: BindAddress): Deno.Listener {
  if (at.path !== undefined) return Deno.listen({ transport: "unix", path: at.path });
  return Deno.listen({ hostname: at.host, port: at.port, tcpBacklog: BACKLOG });
}

/**
 * @throws ConduitError INVALID_CONFIG for a path, and for `ca`, because `Deno.listenTls` cannot ask for client
 * certificates (https://github.com/denoland/deno/issues/26825).
 */
function listenTls(
  at: BindAddress,
  { cert = "", key = "", requestCert, rejectUnauthorized }: ServerTls,
): Deno.Listener {
  if (at.path !== undefined) throw unixTlsError(at.path);
  if (requestCert) {
    const option = rejectUnauthorized ? "requireClientCertificate" : "ca";
    throw tlsConfigError(
      `tls.${option}: Deno's TLS server cannot ask for client certificates, so they would go unchecked`,
    );
  }
  return Deno.listenTls({ hostname: at.host, port: at.port, tcpBacklog: BACKLOG, cert, key });
}
