import { type ClientTls, type ConduitError, type ConnectAttempt, tlsConfigError } from "@netconduit/core/adapter";

/** Opens a client's socket, and reports to the attempt. */
export async function open(attempt: ConnectAttempt<Deno.Conn>): Promise<void> {
  const { target, tls } = attempt;
  const { path } = target;
  if (path !== undefined) {
    if (tls !== null) throw unixTlsError(path);
    if (attempt.opened(await Deno.connect({ transport: "unix", path }))) attempt.ready();
  } else if (tls?.material.cert !== undefined) {
    await handshake(attempt, await connectWithCertificate(attempt, tls));
  } else {
    const conn = await connectTcp(attempt);
    if (!attempt.opened(conn)) return;
    conn.setNoDelay(true);
    if (tls === null) attempt.ready();
    else await handshake(attempt, await Deno.startTls(conn, { hostname: tls.name, caCerts: roots(tls) }));
  }
}

async function handshake(attempt: ConnectAttempt<Deno.Conn>, conn: Deno.TlsConn): Promise<void> {
  if (!attempt.opened(conn)) return;
  try {
    await conn.handshake();
    attempt.ready();
  } catch (cause) {
    attempt.failed(cause);
  }
}

/** Deno only accepts a platform `AbortSignal`, and the attempt's signal may be another object. */
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
 * Only `connectTls` can present a certificate. It resolves and verifies the same host, leaves Nagle's algorithm on, and
 * accepts no signal, so an aborted attempt ends in the background.
 * @throws ConduitError INVALID_CONFIG if Deno would have to verify a name other than the host
 *   (https://github.com/denoland/deno/issues/21496), or to choose an address family
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
    throw tlsConfigError(`family: ${limit} has no way to choose IPv${target.family} for ${target.host}`);
  }
  return Deno.connectTls({ hostname: host, port: target.port, caCerts: roots(tls), cert, key });
}

/** Deno trusts these in addition to its own CAs; it can't trust only these. */
function roots({ material }: ClientTls): string[] {
  return material.ca === undefined ? [] : [material.ca];
}

export function unixTlsError(path: string): ConduitError {
  return tlsConfigError(`tls: Deno has no TLS over Unix sockets (path ${path})`);
}
