import { formatEndpoint } from "../bytes/address.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { ListenEvents, Listener, ListenTarget, TlsServerOptions } from "../runtime.ts";
import { ipFamily } from "../util/ip-address.ts";
import { Acceptor } from "./acceptor.ts";
import { ConnectAttempt } from "./connect-attempt.ts";
import { maxSocketsFor } from "./descriptor-limit.ts";
import { ACCESS_DENIED } from "./error-codes.ts";
import { hostAddresses } from "./host-addresses.ts";
import { badPath, type SocketErrors } from "./socket-errors.ts";
import { type BindAddress, type BoundSocket, type Sockets, tlsTools } from "./sockets.ts";
import { tlsConfigError, unusableMaterialError } from "./tls-material.ts";
import { serverTls } from "./tls-settings.ts";
import { bindUnixSocket, closeUnixSocket, inodeOf, isSocketFile } from "./unix-socket.ts";

/** See {@link Runtime.listen}. */
export async function listen<S>(
  sockets: Sockets<S>,
  target: ListenTarget,
  events: ListenEvents,
  handshakeTimeoutMs: number,
): Promise<Listener> {
  const tls = target.tls === null ? null : await serverTls(target.tls, tlsTools(sockets));
  const descriptors = (await sockets.descriptorLimit?.()) ?? null;
  const maxSockets = descriptors === null ? undefined : maxSocketsFor(descriptors);
  const acceptor = new Acceptor(sockets, target, events, { tls, handshakeTimeoutMs, maxSockets });
  const bind = (at: BindAddress): Promise<BoundSocket> =>
    sockets.bind(at, acceptor).catch((cause: unknown) => {
      throw tls !== null && isAboutMaterial(cause, sockets.errors) ? unusableMaterialError(cause) : cause;
    });
  const listener =
    target.path === undefined
      ? await listenTcp(sockets, target, bind, acceptor)
      : await listenUnix(sockets, target.path, bind, acceptor);
  return { ...listener, maxSockets };
}

/** @throws ConduitError INVALID_CONFIG; the former material stays in use */
async function replaceTls<S>(
  sockets: Sockets<S>,
  acceptor: Acceptor<S>,
  bound: BoundSocket,
  options: TlsServerOptions,
): Promise<void> {
  if (bound.tlsChanged === undefined) {
    throw tlsConfigError("This runtime can't replace the certificate of a server that listens; stop() and start() it");
  }
  const former = acceptor.tls;
  const tls = await serverTls(options, tlsTools(sockets));
  acceptor.useTls(tls);
  try {
    bound.tlsChanged();
  } catch (cause) {
    if (former !== null) acceptor.useTls(former);
    throw unusableMaterialError(cause);
  }
}

async function listenTcp<S>(
  sockets: Sockets<S>,
  target: ListenTarget,
  bind: (at: BindAddress) => Promise<BoundSocket>,
  acceptor: Acceptor<S>,
): Promise<Listener> {
  const family = target.ipv6 ? 6 : 4;
  const hostFamily = ipFamily(target.host);
  if (hostFamily !== 0 && hostFamily !== family) {
    const message = `Cannot listen on ${formatEndpoint(target)}: host is an IPv${hostFamily} address but ipv6 is ${target.ipv6}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  try {
    // Runtimes themselves would use the first address of any family.
    const [host = ""] = await hostAddresses(target.host, family, sockets.resolve);
    const bound = await bind({ host, port: target.port });
    const address = { host: bound.host ?? host, port: bound.port ?? target.port };
    acceptor.bound(address.host, address.port);
    return listenerOf(sockets, address, bound, acceptor);
  } catch (cause) {
    throw cause instanceof ConduitError ? cause : sockets.errors.listen(cause, target);
  }
}

async function listenUnix<S>(
  sockets: Sockets<S>,
  path: string,
  bind: (at: BindAddress) => Promise<BoundSocket>,
  acceptor: Acceptor<S>,
): Promise<Listener> {
  const bad = badPath(path, `Cannot listen on ${formatEndpoint({ path })}`);
  if (bad !== null) throw bad;
  const { files, errors, timers } = sockets;
  const address = { host: "", port: 0, path };
  if (!isSocketFile(path)) {
    try {
      return listenerOf(sockets, address, await bind({ path }), acceptor);
    } catch (cause) {
      throw cause instanceof ConduitError ? cause : errors.listen(cause, { path });
    }
  }
  const tools = {
    files,
    errors,
    probe: () => probe(sockets, path),
    sleep: (ms: number) => new Promise<void>((resolve) => void timers.setTimeout(resolve, ms)),
  };
  const bound = await bindUnixSocket(path, () => bind({ path }), tools);
  const inode = await inodeOf(path, files, errors);
  const close = (): Promise<void> => closeUnixSocket(path, inode, () => bound.close(), tools);
  return listenerOf(sockets, address, { ...bound, close }, acceptor);
}

function listenerOf<S>(
  sockets: Sockets<S>,
  address: Listener["address"],
  bound: BoundSocket,
  acceptor: Acceptor<S>,
): Listener {
  let closing: Promise<void> | null = null;
  return {
    address,
    close() {
      acceptor.close();
      closing ??= bound.close();
      return closing;
    },
    ref: () => bound.ref?.(),
    unref: () => bound.unref?.(),
    setTls: (options) => replaceTls(sockets, acceptor, bound, options),
  };
}

/** Whether an error is about the key or certificate. Only those have no system name here. */
function isAboutMaterial(cause: unknown, errors: SocketErrors): boolean {
  const code = errors.codeOf(cause);
  return !(cause instanceof ConduitError) && !/^E(?!RR_)/.test(code) && code !== ACCESS_DENIED;
}

/** Connects to a Unix socket and disconnects. Rejects with the runtime's error if no process is listening. */
async function probe<S>(sockets: Sockets<S>, path: string): Promise<void> {
  const target = { path, host: "", port: 0, family: 0, tls: null, bufferSize: 1 } as const;
  const { signal } = new AbortController();
  const attempt = new ConnectAttempt(sockets, target, { host: "", tls: null, signal });
  try {
    const stream = await attempt.start((opening) => sockets.open(opening));
    stream.destroy(null);
  } catch (error) {
    throw (error as Error).cause;
  }
}
