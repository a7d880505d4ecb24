import {
  abortError,
  type ByteStream,
  type ConnectTarget,
  clientFacts,
  endpointName,
  TLS_CUT_OFF,
  tcpEnds,
} from "@netconduit/core/adapter";
import type { TLSOptions } from "bun";
import { errors } from "./bun-error.ts";
import { mayFareBetter, resolveHost } from "./resolve-host.ts";
import { type EventSocket, type SocketEvents, socketHandler } from "./socket-events.ts";
import { SocketStream } from "./socket-stream.ts";
import { materialError, serverIdentityError, tlsClientOptions, tlsInfo } from "./tls.ts";

/**
 * Connects over TCP or a Unix socket, with TLS if the target says so. Aborting drops the socket, at the latest when it
 * connects: Bun cannot take back a connection that is being opened.
 * @throws ConduitError CONNECTION_REFUSED, HOST_UNREACHABLE, CONNECTION_RESET, CONNECTION_ERROR, INVALID_CONFIG or a
 * TLS code; on abort the signal's reason if that is a ConduitError, else CANCELLED.
 */
export async function connect(target: ConnectTarget, signal: AbortSignal): Promise<ByteStream> {
  const where = endpointName(target);
  if (signal.aborted) throw abortError(signal, where);
  const secure = target.tls === null ? null : await tlsClientOptions(target.tls, target.host);
  const hosts = await candidates(target, where);
  for (const [index, hostname] of hosts.entries()) {
    if (signal.aborted) throw abortError(signal, where);
    try {
      return await new Attempt(target, signal, where).start(hostname, secure);
    } catch (error) {
      const last = index === hosts.length - 1;
      if (last || !mayFareBetter((error as Error).cause)) throw error;
    }
  }
  throw errors.connect(new Error("no address"), where);
}

/** What to connect to, one after the other. Without a family Bun resolves the name itself and tries both at a time. */
async function candidates(target: ConnectTarget, where: string): Promise<readonly string[]> {
  if (target.path !== undefined || target.family === 0) return [target.host];
  try {
    return await resolveHost(target.host, target.family);
  } catch (cause) {
    throw errors.connect(cause, where);
  }
}

/** A connection until it is ready. */
class Attempt implements SocketEvents {
  readonly #target: ConnectTarget;
  readonly #signal: AbortSignal;
  readonly #where: string;
  #socket: EventSocket | null = null;
  /** Its outcome is known. */
  #settled = false;
  #resolve: (stream: ByteStream) => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;
  readonly #onAbort = (): void => this.#fail(abortError(this.#signal, this.#where));

  constructor(target: ConnectTarget, signal: AbortSignal, where: string) {
    this.#target = target;
    this.#signal = signal;
    this.#where = where;
  }

  start(hostname: string, secure: TLSOptions | null): Promise<ByteStream> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#signal.addEventListener("abort", this.#onAbort);
      const { path, port } = this.#target;
      const options = {
        socket: socketHandler,
        data: this as SocketEvents,
        allowHalfOpen: true,
        ...(secure === null ? {} : { tls: secure }),
      };
      const onFailure = (cause: unknown): void =>
        this.#fail(materialError(cause) ?? errors.connect(cause, this.#where));
      try {
        // What comes of it, the events say; the promise alone knows why there was no socket.
        const opening =
          path === undefined ? Bun.connect({ ...options, hostname, port }) : Bun.connect({ ...options, unix: path });
        opening.then(undefined, onFailure);
      } catch (cause) {
        onFailure(cause);
      }
    });
  }

  opened(socket: EventSocket): void {
    this.#socket = socket;
    if (this.#settled) socket.terminate();
    else if (this.#target.tls === null) this.#ready(socket);
  }

  secured(socket: EventSocket, success: boolean, authorizationError: Error | null): void {
    if (this.#settled) return;
    const { tls, host } = this.#target;
    const cause = serverIdentityError(socket, success, authorizationError, tls?.serverName ?? host);
    if (cause === null) this.#ready(socket);
    else this.failed(cause);
  }

  ended(): void {
    // `gone` follows.
    this.#socket?.close();
  }

  failed(cause: Error): void {
    // A server that hangs up is reported as one that resets. What has no code is about TLS too.
    const code = errors.codeOf(cause) || "ERR_TLS_UNKNOWN";
    const name = code === "ECONNRESET" ? TLS_CUT_OFF : code;
    this.#fail(errors.clientHandshake(cause, this.#where, { name }));
  }

  gone(cause: Error | undefined): void {
    this.#fail(errors.connect(cause ?? new Error("the socket was closed"), this.#where));
  }

  #ready(socket: EventSocket): void {
    try {
      const tls = this.#target.tls === null ? null : tlsInfo(socket);
      const stream = new SocketStream(socket, clientFacts(this.#target, this.#where, tcpEnds(socket), tls));
      this.#settle();
      this.#resolve(stream);
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #fail(error: Error): void {
    if (this.#settled) return;
    this.#settle();
    // No socket stays behind.
    this.#socket?.terminate();
    this.#reject(error);
  }

  #settle(): void {
    this.#settled = true;
    this.#signal.removeEventListener("abort", this.#onAbort);
  }
}
