import { type ClientTls, type ConduitError, type ConnectAttempt, tlsConfigError } from "@netconduit/core/adapter";

/** Opens a client's socket for `attempt`. */
export async function open(attempt: ConnectAttempt<Deno.Conn>): Promise<void> {
  const { target, tls } = attempt;
  const { path } = target;
  if (path !== undefined) {
    if (tls !== null) throw noUnixTls(path);
    if (attempt.opened(await Deno.connect({ transport: "unix", path }))) attempt.ready();
  } else if (tls?.material.cert !== undefined) {
    const conn = await connectWithCertificate(attempt, tls);
    if (attempt.opened(conn)) await attempt.readyAfter(conn.handshake());
  } else {
    const conn = await connectTcp(attempt);
    if (!attempt.opened(conn)) return;
    conn.setNoDelay(true);
    if (tls === null) return attempt.ready();
    const secured = await Deno.startTls(conn, { hostname: tls.name, caCerts: roots(tls) });
    if (attempt.opened(secured)) await attempt.readyAfter(secured.handshake());
  }
}

/** Deno asks for a signal of the platform's, and the attempt's need not be one. */
async function connectTcp({ host: hostname, target, signal }: ConnectAttempt<Deno.Conn>): Promise<Deno.TcpConn> {
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    return await Deno.connect({ hostname, port: target.port, signal: controller.signal });
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/**
 * Only `connectTls` presents a certificate. It resolves and verifies one and the same host, leaves Nagle's algorithm on,
 * and takes no signal: an attempt that is given up ends in the background.
 * @throws ConduitError INVALID_CONFIG when Deno would have to verify another name than it connects to
 * (https://github.com/denoland/deno/issues/21496), or to choose a family.
 */
function connectWithCertificate({ target, host }: ConnectAttempt<Deno.Conn>, tls: ClientTls): Promise<Deno.TlsConn> {
  const { cert = "", key = "" } = tls.material;
  const limit = "with a client certificate (tls.cert) Deno";
  if (tls.name !== target.host) {
    throw tlsConfigError(
      `tls.serverName is "${tls.name}" and the host "${target.host}": ${limit} can only verify the host it connects to`,
    );
  }
  if (host !== target.host) {
    throw tlsConfigError(`family: ${limit} cannot be told to use IPv${target.family} for ${target.host}`);
  }
  return Deno.connectTls({ hostname: host, port: target.port, caCerts: roots(tls), cert, key });
}

/** Trusted in addition to Deno's own roots; Deno cannot trust these alone. */
function roots({ material }: ClientTls): string[] {
  return material.ca === undefined ? [] : [material.ca];
}

export function noUnixTls(path: string): ConduitError {
  return tlsConfigError(`tls: Deno has no TLS over Unix sockets (path ${path})`);
}
