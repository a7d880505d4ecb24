import { lstat, unlink } from "node:fs/promises";
import {
  bindUnixSocket,
  endpointName,
  type ListenEvents,
  type Listener,
  type ListenTarget,
  listenAddress,
  TLS_HANDSHAKE_TIMEOUT_MS,
  type UnixSocketFiles,
} from "@netconduit/core/adapter";
import type { TCPSocketListener, UnixSocketListener } from "bun";
import { Acceptor } from "./acceptor.ts";
import { errors } from "./bun-error.ts";
import { resolveHost } from "./resolve-host.ts";
import { type SocketEvents, socketHandler } from "./socket-events.ts";
import { materialError, tlsServerOptions } from "./tls.ts";

type BunListener = TCPSocketListener<SocketEvents> | UnixSocketListener<SocketEvents>;

/**
 * Listens on TCP or a Unix socket, with TLS if the target says so. Connections that end before they are ready are
 * reported by `failed`; that the system has run out of descriptors Bun does not tell.
 * @throws ConduitError ADDRESS_IN_USE, ADDRESS_UNAVAILABLE, INVALID_CONFIG (TLS material, host).
 */
export async function listen(
  target: ListenTarget,
  events: ListenEvents,
  handshakeTimeoutMs: number = TLS_HANDSHAKE_TIMEOUT_MS,
): Promise<Listener> {
  const secure = target.tls === null ? null : await tlsServerOptions(target.tls);
  const acceptor = new Acceptor(target, events, handshakeTimeoutMs);
  const options = {
    socket: socketHandler,
    // Every accepted socket begins with this as its `data`.
    data: acceptor as SocketEvents,
    allowHalfOpen: true,
    ...(secure === null ? {} : { tls: secure }),
  };
  const { path, port } = target;
  if (path !== undefined) {
    const bind = (): BunListener => bound(target, () => Bun.listen({ ...options, unix: path }));
    return new SocketListener(await bindUnixSocket(path, bind, files, errors), path, acceptor);
  }
  const hostname = await listenAddress(target, async (host, family) => (await resolveHost(host, family))[0], errors);
  // Not exclusive, a second process could bind the same port.
  const listener = bound(target, () => Bun.listen({ ...options, hostname, port, exclusive: true }));
  return new SocketListener(listener, hostname, acceptor);
}

function bound(target: ListenTarget, bind: () => BunListener): BunListener {
  try {
    return bind();
  } catch (cause) {
    throw materialError(cause) ?? (target.path === undefined ? errors.listen(cause, endpointName(target)) : cause);
  }
}

const files: UnixSocketFiles = {
  isSocket: async (path) => (await lstat(path)).isSocket(),
  async knock(path) {
    const socket = { data: (): void => undefined };
    (await Bun.connect({ unix: path, socket })).terminate();
  },
  remove: unlink,
};

class SocketListener implements Listener {
  readonly address: Listener["address"];
  readonly #listener: BunListener;
  readonly #acceptor: Acceptor;
  #closing: Promise<void> | null = null;

  constructor(listener: BunListener, host: string, acceptor: Acceptor) {
    this.address =
      "unix" in listener && listener.unix !== undefined
        ? { host: "", port: 0, path: listener.unix }
        : { host, port: (listener as TCPSocketListener).port };
    this.#listener = listener;
    this.#acceptor = acceptor;
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#acceptor.close();
      // Closes the listening descriptor (and removes a Unix socket's file) before it returns; accepted sockets live on.
      this.#listener.stop();
      setImmediate(resolve);
    });
    return this.#closing;
  }
}
