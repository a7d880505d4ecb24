import {
  ACCESS_DENIED,
  addressName,
  bindUnixSocket,
  type ConduitError,
  endpointName,
  goneError,
  handshakesFullError,
  type ListenEvents,
  type Listener,
  type ListenTarget,
  listenAddress,
  serverFacts,
  TLS_HANDSHAKE_TIMEOUT,
  TLS_HANDSHAKE_TIMEOUT_MS,
  type UnixSocketFiles,
  unusableMaterialError,
} from "@netconduit/core/adapter";
import { errors } from "./deno-error.ts";
import { resolve } from "./resolve.ts";
import { closeQuietly, endsOf, SocketStream } from "./socket-stream.ts";
import { type KeyPair, noUnixTls, tlsInfo, tlsServerOptions } from "./tls.ts";

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
  const { path, port } = target;
  if (target.tls !== null) noUnixTls(path);
  const pair = target.tls === null ? null : await tlsServerOptions(target.tls);
  if (path !== undefined) {
    const bind = (): Deno.Listener => Deno.listen({ transport: "unix", path });
    return new Acceptor(await bindUnixSocket(path, bind, files, errors), target, events, handshakeTimeoutMs);
  }
  const options = { hostname: await listenAddress(target, resolve, errors), port, tcpBacklog: BACKLOG };
  let listener: Deno.Listener;
  try {
    listener = pair === null ? Deno.listen(options) : Deno.listenTls({ ...options, ...pair });
  } catch (cause) {
    throw listenFailure(cause, target, pair);
  }
  return new Acceptor(listener, target, events, handshakeTimeoutMs);
}

function listenFailure(cause: unknown, target: ListenTarget, pair: KeyPair | null): ConduitError {
  // Errors about key and certificate are Deno's only ones here that the system has no code for.
  const ofSystem = (cause as { code?: unknown } | null)?.code !== undefined || errors.codeOf(cause) === ACCESS_DENIED;
  return pair === null || ofSystem ? errors.listen(cause, endpointName(target)) : unusableMaterialError(cause);
}

const files: UnixSocketFiles = {
  isSocket: async (path) => (await Deno.lstat(path)).isSocket,
  knock: async (path) => (await Deno.connect({ transport: "unix", path })).close(),
  remove: (path) => Deno.remove(path),
};

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
        this.#events.failed(errors.connect(cause, `a client of ${endpointName(this.#target)}`));
        await new Promise<void>((resolve) => setTimeout(resolve, ACCEPT_RETRY_MS));
      }
    }
  }

  #ready(conn: Deno.Conn): void {
    if ("setNoDelay" in conn) (conn as Deno.TcpConn).setNoDelay(true);
    const facts = serverFacts(this.#target, endsOf(conn), this.#target.tls === null ? null : tlsInfo("server"));
    if (facts !== null) this.#events.accepted(new SocketStream(conn, facts));
    else this.#drop(conn, goneError("A client was gone before it was accepted"));
  }

  #drop(conn: Deno.Conn, error: ConduitError): void {
    closeQuietly(conn);
    if (this.#closing === null) this.#events.failed(error);
  }

  /** Never rejects. */
  async #secure(conn: Deno.TlsConn): Promise<void> {
    const ends = endsOf(conn);
    const where = ends === null ? "(gone)" : addressName(ends.remote);
    const limit = this.#target.maxPendingHandshakes ?? Number.POSITIVE_INFINITY;
    if (this.#handshaking.size >= limit) {
      this.#drop(conn, handshakesFullError(limit));
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
      this.#drop(conn, errors.serverHandshake(late ? handshakeTimeout(cause) : cause, where));
      return;
    } finally {
      clearTimeout(timer);
      this.#handshaking.delete(conn);
    }
    if (this.#closing === null) this.#ready(conn);
    else closeQuietly(conn);
  }
}

function handshakeTimeout(cause: unknown): Error {
  return Object.assign(new Error("the TLS handshake took too long", { cause }), { code: TLS_HANDSHAKE_TIMEOUT });
}
