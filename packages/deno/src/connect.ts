import {
  abortError,
  type ByteStream,
  type ConduitError,
  type ConnectTarget,
  clientFacts,
  endpointName,
  tlsConfigError,
} from "@netconduit/core/adapter";
import { errors } from "./deno-error.ts";
import { resolve } from "./resolve.ts";
import { closeQuietly, endsOf, SocketStream } from "./socket-stream.ts";
import { noUnixTls, type TlsClientMaterial, tlsClientOptions, tlsInfo } from "./tls.ts";

/**
 * Connects over TCP or a Unix socket, with TLS if the target says so. Aborting closes the socket.
 * @throws ConduitError CONNECTION_REFUSED, HOST_UNREACHABLE, CONNECTION_RESET, CONNECTION_ERROR, INVALID_CONFIG or a
 * TLS code; on abort the signal's reason if that is a ConduitError, else CANCELLED.
 */
export async function connect(target: ConnectTarget, signal: AbortSignal): Promise<ByteStream> {
  const where = endpointName(target);
  const { tls } = target;
  if (signal.aborted) throw abortError(signal, where);
  if (tls !== null) noUnixTls(target.path);
  const secure = tls === null ? null : await tlsClientOptions(tls, target.host);
  const attempt = new Attempt(signal, where);
  try {
    const conn = await dial(target, secure, attempt);
    return new SocketStream(conn, clientFacts(target, where, endsOf(conn), secure === null ? null : tlsInfo("client")));
  } catch (cause) {
    attempt.close();
    throw cause;
  } finally {
    attempt.over();
  }
}

async function dial(target: ConnectTarget, secure: TlsClientMaterial | null, attempt: Attempt): Promise<Deno.Conn> {
  const { path, port, family } = target;
  if (path !== undefined) return await attempt.opens(Deno.connect({ transport: "unix", path }));
  if (secure?.pair) return await dialWithCertificate(target, secure, secure.pair, attempt);
  const hostname = family === 0 ? target.host : await attempt.waits(resolve(target.host, family));
  const conn = await attempt.opens(Deno.connect({ hostname, port, signal: attempt.signal }));
  conn.setNoDelay(true);
  return secure === null ? conn : await handshaken(Deno.startTls(conn, secure), attempt);
}

/**
 * Only `connectTls` presents a certificate. It resolves and verifies one and the same host, leaves Nagle's algorithm on,
 * and takes no signal: an attempt that is given up ends in the background.
 */
async function dialWithCertificate(
  target: ConnectTarget,
  { hostname, caCerts }: TlsClientMaterial,
  { cert, key }: { readonly cert: string; readonly key: string },
  attempt: Attempt,
): Promise<Deno.Conn> {
  if (target.family !== 0 && hostname !== (await attempt.waits(resolve(hostname, target.family)))) {
    const message = `family: with a client certificate (tls.cert) Deno cannot be told to use IPv${target.family} for ${hostname}`;
    throw tlsConfigError(message);
  }
  return await handshaken(Deno.connectTls({ hostname, port: target.port, caCerts, cert, key }), attempt);
}

async function handshaken(opening: Promise<Deno.TlsConn>, attempt: Attempt): Promise<Deno.Conn> {
  const conn = await attempt.opens(opening);
  await attempt.waits(conn.handshake(), (cause, where) => errors.clientHandshake(cause, where));
  return conn;
}

type Explain = (cause: unknown, where: string) => ConduitError;

/** One attempt to connect: what it waits for ends when the signal aborts, and nothing it opened stays behind. */
class Attempt {
  readonly signal: AbortSignal;
  readonly where: string;
  #conn: Deno.Conn | null = null;
  #closed = false;
  readonly #aborted: Promise<never>;
  readonly #onAbort: () => void;

  constructor(signal: AbortSignal, where: string) {
    this.signal = signal;
    this.where = where;
    let onAbort: () => void = ignore;
    this.#aborted = new Promise((_, reject) => {
      onAbort = () => reject(abortError(signal, where));
    });
    // It may abort while nothing is waited for.
    this.#aborted.catch(ignore);
    this.#onAbort = onAbort;
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort);
  }

  /** Waits for a connection, which is closed if it comes too late. */
  opens<C extends Deno.Conn>(opening: Promise<C>): Promise<C> {
    const kept = opening.then((conn) => {
      if (this.#closed) conn.close();
      else this.#conn = conn;
      return conn;
    });
    return this.waits(kept);
  }

  /** Waits for `step`; what it fails with is turned into an error of the library. */
  async waits<T>(step: Promise<T>, explain: Explain = (cause, where) => errors.connect(cause, where)): Promise<T> {
    const explained = step.catch((cause: unknown) => {
      throw this.signal.aborted ? abortError(this.signal, this.where) : explain(cause, this.where);
    });
    return await Promise.race([explained, this.#aborted]);
  }

  close(): void {
    this.#closed = true;
    // `startTls` may have taken it over.
    if (this.#conn !== null) closeQuietly(this.#conn);
  }

  over(): void {
    this.signal.removeEventListener("abort", this.#onAbort);
  }
}

function ignore(): void {
  // Whoever waits is told.
}
