import {
  type Acceptor,
  type BindAddress,
  type BoundSocket,
  type ServerTls,
  tlsConfigError,
} from "@netconduit/core/adapter";
import { noUnixTls } from "./connect.ts";

/** A thousand clients that reconnect at once all find room; Linux cuts it down to `net.core.somaxconn`. */
const BACKLOG = 4096;

/** Binds a server's socket, whose clients are the acceptor's. */
export async function bind(at: BindAddress, acceptor: Acceptor<Deno.Conn>): Promise<BoundSocket> {
  const { tls } = acceptor;
  const listener = tls === null ? listenPlain(at) : listenTls(at, tls);
  const accepting = acceptor.acceptAll(
    async () => {
      const conn = await listener.accept();
      try {
        if ("setNoDelay" in conn) (conn as Deno.TcpConn).setNoDelay(true);
      } catch {
        // The client is gone already, which its stream will notice.
      }
      return conn;
    },
    (conn) => (conn as Deno.TlsConn).handshake(),
  );
  const { addr } = listener;
  return {
    ...("hostname" in addr ? { host: addr.hostname, port: addr.port } : {}),
    close() {
      listener.close();
      // Deno frees the port, and removes a Unix socket's file, when the call of `accept` that waits has been cancelled.
      return accepting;
    },
  };
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
  if (at.path !== undefined) throw noUnixTls(at.path);
  if (requestCert) {
    const option = rejectUnauthorized ? "requireClientCertificate" : "ca";
    throw tlsConfigError(
      `tls.${option}: Deno's TLS server cannot ask for client certificates, so they would go unchecked`,
    );
  }
  return Deno.listenTls({ hostname: at.host, port: at.port, tcpBacklog: BACKLOG, cert, key });
}
