import { ConduitError, ErrorCode, type ListenEvents, type Listener, type ListenTarget } from "@netconduit/core/adapter";
import { addressFamily, addressOf, resolve } from "./addresses.ts";
import { codeOf, endpointName, isPermissionError } from "./deno-error.ts";
import { addressName, connectError, listenError } from "./socket-error.ts";
import { SocketStream } from "./socket-stream.ts";
import { type KeyPair, TLS_HANDSHAKE_TIMEOUT_MS, tlsInfo, tlsServerOptions } from "./tls.ts";
import { handshakeTimeoutError, serverHandshakeError } from "./tls-error.ts";
import { removeStaleSocket } from "./unix-socket.ts";

/** A thousand clients that reconnect at once all find room; Linux cuts it down to `net.core.somaxconn`. */
const BACKLOG = 4096;
/** After accepting failed (no file descriptors left, say), it is tried again after so long, not in a busy loop. */
const ACCEPT_RETRY_MS = 100;

/**
 * Listens on TCP or a Unix socket, with TLS if the target says so. Connections that end before they are ready are
 * reported by `failed`.
 * @throws ConduitError ADDRESS_IN_USE, ADDRESS_UNAVAILABLE, INVALID_CONFIG (TLS material, host, missing permission).
 */
export async function listen(
  target: ListenTarget,
  events: ListenEvents,
  handshakeTimeoutMs: number = TLS_HANDSHAKE_TIMEOUT_MS,
): Promise<Listener> {
  const where = endpointName(target);
  if (target.path !== undefined && target.tls !== null) {
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `tls: Deno has no TLS over Unix sockets (path ${target.path})`);
  }
  const pair = target.tls === null ? null : await tlsServerOptions(target.tls);
  const listener = await bound(target, pair, where);
  return new Acceptor(listener, target, events, handshakeTimeoutMs);
}

async function bound(target: ListenTarget, pair: KeyPair | null, where: string): Promise<Deno.Listener> {
  const { path, port } = target;
  if (path !== undefined) {
    try {
      return Deno.listen({ transport: "unix", path });
    } catch (cause) {
      if (codeOf(cause) !== "EADDRINUSE") throw listenError(cause, where);
    }
    await removeStaleSocket(path);
  }
  try {
    if (path !== undefined) return Deno.listen({ transport: "unix", path });
    const hostname = await listenAddress(target, where);
    const options = { hostname, port, tcpBacklog: BACKLOG };
    return pair === null ? Deno.listen(options) : Deno.listenTls({ ...options, ...pair });
  } catch (cause) {
    if (cause instanceof ConduitError) throw cause;
    // Errors about key and certificate are Deno's only ones here that the system has no code for.
    if (pair === null || codeOf(cause) !== "" || isPermissionError(cause)) throw listenError(cause, where);
    const message = `tls.cert or tls.key is not usable: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message, { cause });
  }
}

async function listenAddress({ host, ipv6 }: ListenTarget, where: string): Promise<string> {
  const family = ipv6 ? 6 : 4;
  const kind = addressFamily(host);
  if (kind !== 0 && kind !== family) {
    const message = `Cannot listen on ${where}: host is an IPv${kind} address but ipv6 is ${ipv6}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  try {
    return await resolve(host, family);
  } catch (cause) {
    throw listenError(cause, where);
  }
}

/** Accepts connections and turns them into streams, once their TLS handshake is done. */
class Acceptor implements Listener {
  readonly address: Listener["address"];
  readonly #listener: Deno.Listener;
  readonly #target: ListenTarget;
  readonly #events: ListenEvents;
  readonly #handshakeTimeoutMs: number;
  readonly #handshaking = new Set<Deno.Conn>();
  readonly #accepting: Promise<void>;
  #closing: Promise<void> | null = null;

  constructor(listener: Deno.Listener, target: ListenTarget, events: ListenEvents, handshakeTimeoutMs: number) {
    const { addr } = listener;
    this.address =
      "hostname" in addr ? { host: addr.hostname, port: addr.port } : { host: "", port: 0, path: target.path ?? "" };
    this.#listener = listener;
    this.#target = target;
    this.#events = events;
    this.#handshakeTimeoutMs = handshakeTimeoutMs;
    this.#accepting = this.#acceptAll();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#listener.close();
    for (const conn of this.#handshaking) closeQuietly(conn);
    this.#handshaking.clear();
    // Deno frees the port, and removes a Unix socket's file, when the call of `accept` that waits has been cancelled.
    await this.#accepting;
  }

  /** Never rejects. */
  async #acceptAll(): Promise<void> {
    while (this.#closing === null) {
      try {
        const conn = await this.#listener.accept();
        if (this.#closing !== null) closeQuietly(conn);
        else if (this.#target.tls === null) this.#ready(conn);
        else void this.#secure(conn as Deno.TlsConn);
      } catch (cause) {
        if (this.#closing !== null) return;
        // The listener goes on, and so does the process.
        this.#events.failed(connectError(cause, `a client of ${endpointName(this.#target)}`));
        await new Promise<void>((resolve) => setTimeout(resolve, ACCEPT_RETRY_MS));
      }
    }
  }

  #ready(conn: Deno.Conn): void {
    if ("setNoDelay" in conn) (conn as Deno.TcpConn).setNoDelay(true);
    const tls = this.#target.tls === null ? null : tlsInfo("server");
    this.#events.accepted(new SocketStream(conn, { tls, role: "server", bufferSize: this.#target.bufferSize }));
  }

  /** Never rejects. */
  async #secure(conn: Deno.TlsConn): Promise<void> {
    const where = addressName(addressOf(conn.remoteAddr));
    const limit = this.#target.maxPendingHandshakes ?? Number.POSITIVE_INFINITY;
    if (this.#handshaking.size >= limit) {
      closeQuietly(conn);
      this.#events.failed(new ConduitError(ErrorCode.SERVER_FULL, `${limit} TLS handshakes are under way`));
      return;
    }
    this.#handshaking.add(conn);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      closeQuietly(conn);
    }, this.#handshakeTimeoutMs);
    try {
      await conn.handshake();
    } catch (cause) {
      closeQuietly(conn);
      if (this.#closing === null) {
        this.#events.failed(late ? handshakeTimeoutError(where) : serverHandshakeError(cause, where));
      }
      return;
    } finally {
      clearTimeout(timer);
      this.#handshaking.delete(conn);
    }
    if (this.#closing === null) this.#ready(conn);
    else closeQuietly(conn);
  }
}

function closeQuietly(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch {
    // It is closed already.
  }
}
