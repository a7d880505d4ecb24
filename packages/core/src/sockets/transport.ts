import type { ByteStream } from "../bytes/byte-stream.ts";
import { ConduitError } from "../errors.ts";
import type { ConnectTarget, DialSignal, ListenEvents, Listener, ListenTarget, Runtime } from "../runtime.ts";
import { Acceptor } from "./acceptor.ts";
import { addressFamily, endpointName } from "./addresses.ts";
import { ConnectAttempt } from "./connect-attempt.ts";
import { ACCESS_DENIED } from "./error-codes.ts";
import { bindUnixSocket, listenAddress } from "./listen-address.ts";
import { abortError, codedError, unusablePathError } from "./socket-errors.ts";
import type { BindAddress, BoundSocket, Sockets } from "./sockets.ts";
import { TLS_HANDSHAKE_TIMEOUT_MS, unusableMaterialError } from "./tls-material.ts";
import { type ClientTls, clientTls, serverTls } from "./tls-settings.ts";

/** How a runtime connects and listens. */
export interface Transport extends Pick<Runtime, "connect"> {
  /** @throws ConduitError ADDRESS_IN_USE, ADDRESS_UNAVAILABLE, INVALID_CONFIG (TLS material, host, permission). */
  listen(target: ListenTarget, events: ListenEvents, handshakeTimeoutMs?: number): Promise<Listener>;
}

/** Connects and listens by the sockets of a runtime. */
export function makeTransport<S>(sockets: Sockets<S>): Transport {
  const { errors } = sockets;
  const readText = (path: string): Promise<string> => sockets.files.readText(path);

  function connect(target: ConnectTarget, signal: DialSignal): Promise<ByteStream> {
    const { path, host, family, tls } = target;
    const unusable = path === undefined ? null : unusablePathError(path, `Cannot connect to ${path}`);
    if (unusable !== null) return Promise.reject(unusable);
    // The others need no address, or find it by themselves.
    const needsAddress = path === undefined && family !== 0 && sockets.opensFamily !== true;
    // Nothing has to be waited for.
    if (tls === null && !needsAddress && !signal.aborted) return attempt(target, host, null, signal);
    return prepareAndConnect(target, needsAddress, signal);
  }

  function attempt(
    target: ConnectTarget,
    host: string,
    tls: ClientTls | null,
    signal: DialSignal,
  ): Promise<ByteStream> {
    return new ConnectAttempt(sockets, target, { host, tls, signal }).start();
  }

  async function prepareAndConnect(
    target: ConnectTarget,
    needsAddress: boolean,
    signal: DialSignal,
  ): Promise<ByteStream> {
    const where = endpointName(target);
    const { host, family } = target;
    if (signal.aborted) throw abortError(signal, where);
    const tls = target.tls === null ? null : await clientTls(target.tls, host, readText);
    const hosts = needsAddress ? await unlessAborted(addresses(host, family as 4 | 6, where), signal, where) : [host];
    if (signal.aborted) throw abortError(signal, where);
    for (const [index, address] of hosts.entries()) {
      try {
        return await attempt(target, address, tls, signal);
      } catch (error) {
        const last = index === hosts.length - 1;
        if (last || signal.aborted || !mayFareBetter(errors.codeOf((error as Error).cause))) throw error;
      }
    }
    throw errors.connect(new Error("no address"), where);
  }

  /** What to connect to, one after the other. */
  async function addresses(host: string, family: 4 | 6, where: string): Promise<readonly string[]> {
    return await resolve(host, family).catch((cause: unknown) => {
      throw errors.connect(cause, where);
    });
  }

  async function resolve(host: string, family: 4 | 6): Promise<readonly string[]> {
    const kind = addressFamily(host);
    if (kind === family) return [host];
    const found = kind === 0 ? await sockets.resolve(host, family) : [];
    if (found.length === 0) throw codedError("ENOTFOUND", `${host} has no IPv${family} address`);
    return found;
  }

  async function listen(
    target: ListenTarget,
    events: ListenEvents,
    handshakeTimeoutMs: number = TLS_HANDSHAKE_TIMEOUT_MS,
  ): Promise<Listener> {
    const tls = target.tls === null ? null : await serverTls(target.tls, readText);
    const acceptor = new Acceptor(sockets, target, events, { tls, handshakeTimeoutMs });
    const { path, port } = target;
    const bind = (at: BindAddress): Promise<BoundSocket> =>
      sockets.bind(at, acceptor).catch((cause: unknown) => {
        throw tls !== null && isMaterial(cause) ? unusableMaterialError(cause) : cause;
      });
    if (path !== undefined) {
      const unusable = unusablePathError(path, `Cannot listen on ${path}`);
      if (unusable !== null) throw unusable;
      const bound = await bindUnixSocket(path, () => bind({ path }), { ...sockets.files, probe }, errors);
      return new BoundListener({ host: "", port: 0, path }, bound, acceptor);
    }
    const host = await listenAddress(target, async (name, family) => (await resolve(name, family))[0] ?? "", errors);
    const bound = await bind({ host, port }).catch((cause: unknown) => {
      throw cause instanceof ConduitError ? cause : errors.listen(cause, endpointName(target));
    });
    acceptor.bound(bound);
    return new BoundListener({ host: bound.host ?? host, port: bound.port ?? port }, bound, acceptor);
  }

  /** Errors about key and certificate are the only ones here that the system has no name for. */
  function isMaterial(cause: unknown): boolean {
    const name = errors.codeOf(cause);
    return !(cause instanceof ConduitError) && !/^E(?!RR_)/.test(name) && name !== ACCESS_DENIED;
  }

  async function probe(path: string): Promise<void> {
    const target = { path, host: "", port: 0, family: 0, tls: null, bufferSize: 1 } as const;
    const attempt = new ConnectAttempt(sockets, target, { host: "", tls: null, signal: new AbortController().signal });
    const stream = await attempt.start().catch((error: Error) => {
      throw error.cause;
    });
    stream.destroy(null);
  }

  return { connect, listen };
}

/** Whether connecting to another address of the same host may fare better. */
function mayFareBetter(code: string): boolean {
  return /^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EADDRNOTAVAIL|EINVAL)$/.test(code);
}

/** What `step` comes to, unless the signal aborts first. */
function unlessAborted<T>(step: Promise<T>, signal: DialSignal, where: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortError(signal, where));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort);
    void step.then(resolve, reject).then(() => signal.removeEventListener("abort", onAbort));
  });
}

class BoundListener<S> implements Listener {
  readonly address: Listener["address"];
  readonly #bound: BoundSocket;
  readonly #acceptor: Acceptor<S>;
  #closing: Promise<void> | null = null;

  constructor(address: Listener["address"], bound: BoundSocket, acceptor: Acceptor<S>) {
    this.address = address;
    this.#bound = bound;
    this.#acceptor = acceptor;
  }

  close(): Promise<void> {
    if (this.#closing === null) {
      this.#acceptor.close();
      this.#closing = this.#bound.close();
    }
    return this.#closing;
  }
}
