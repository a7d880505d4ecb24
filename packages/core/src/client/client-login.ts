import { ClientHandshake, type ClientStep } from "../auth/client-handshake.ts";
import type { ByteStream } from "../bytes/byte-stream.ts";
import { ResumableStream } from "../bytes/resumable-stream.ts";
import { type CloseReason, errorOf } from "../connection/close-reason.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { EndpointCore } from "../endpoint/endpoint-core.ts";
import type { ConduitError } from "../errors.ts";
import type { ConnectTarget, Runtime } from "../runtime.ts";
import { FrameType } from "../wire/constants.ts";
import type { ClientConfig } from "./client-options.ts";
import { credentialsOf, mustBePrivate } from "./credential-renewal.ts";
import type { DialController } from "./dial-controller.ts";
import { closedDuringLogin, notNetconduit, refusedLogin } from "./login-failure.ts";

/** The server's answer to an accepted login. */
export type AcceptedLogin = ClientStep & { readonly kind: "accepted" };

/** The client that logs in. */
export interface ClientLoginHost<Peer> {
  /** The session to request from the server; undefined for none. */
  session(): { readonly token: string; readonly received: number } | undefined;
  /** Creates a connection for an open stream. */
  streamOpened(stream: ByteStream): ProtocolConnection<Peer>;
  /** The server has accepted the login. `succeed` completes the attempt; a thrown error fails it. */
  accepted(connection: ProtocolConnection<Peer>, answer: AcceptedLogin): void | Promise<void>;
}

/** An attempt with an open stream. */
interface Attempt<Peer> {
  readonly connection: ProtocolConnection<Peer>;
  readonly handshake: ClientHandshake;
  resolve(): void;
  reject(error: Error): void;
}

/** A client's logins, one at a time. Each dials, exchanges the login frames, and succeeds or fails. */
export class ClientLogin<Peer> {
  readonly #core: EndpointCore<Peer>;
  readonly #config: ClientConfig;
  readonly #host: ClientLoginHost<Peer>;
  #attempt: Attempt<Peer> | null = null;
  /** The error of a login after which the server asked this client not to reconnect. */
  #finalRefusal: ConduitError | null = null;

  constructor(core: EndpointCore<Peer>, config: ClientConfig, host: ClientLoginHost<Peer>) {
    this.#core = core;
    this.#config = config;
    this.#host = host;
  }

  /** Whether a stream is open and the login hasn't ended. */
  get isUnderWay(): boolean {
    return this.#attempt !== null;
  }

  isFor(connection: ProtocolConnection<Peer>): boolean {
    return this.#attempt?.connection === connection;
  }

  /** Whether the server ended a login with this error and asked the client not to reconnect. */
  isFinal(error: unknown): boolean {
    // A password function may throw null.
    return this.#finalRefusal !== null && error === this.#finalRefusal;
  }

  /** Dials and logs in. Rejects on failure, and soon after an abort. */
  async run(abort: DialController): Promise<void> {
    const { allowPasswordHash, resume } = this.#config;
    const { runtime } = this.#core.runtimeContext;
    const source = credentialsOf(this.#config);
    // Always awaits: a listener may connect when the stream is lost, just before the session waits for another stream.
    const credentials = await (source instanceof Promise ? abort.race(source) : source);
    const offer = this.#core.extensions.offer;
    const session = this.#host.session();
    const options = { credentials, info: this.#config, offer, allowPasswordHash, crypto: runtime.crypto };
    const handshake = new ClientHandshake({ ...options, ...(session === undefined ? {} : { resume: session }) });
    const request = handshake.start();
    const opened = await dial(runtime, targetOf(this.#config), abort);
    try {
      mustBePrivate(credentials, opened);
    } catch (error) {
      opened.destroy(null);
      throw error;
    }
    const connection = this.#host.streamOpened(resume === null ? opened : new ResumableStream(opened));
    try {
      await abort.wait<void>((resolve, reject) => {
        const attempt = { connection, handshake, resolve, reject };
        this.#attempt = attempt;
        connection.login = { receive: (type, payload) => this.#receive(attempt, type, payload) };
        connection.start(0);
        if (!connection.isOver) connection.sendPayload(FrameType.AUTH_REQUEST, request);
      });
    } finally {
      this.#attempt = null;
      connection.login = null;
    }
  }

  /** Handles a login frame. */
  #receive(attempt: Attempt<Peer>, type: number, payload: Record<string, unknown> | null): void | Promise<void> {
    if (this.#attempt !== attempt) return;
    const step = attempt.handshake.receive(type, payload);
    return step instanceof Promise ? step.then((late) => this.#act(attempt, late)) : this.#act(attempt, step);
  }

  #act(attempt: Attempt<Peer>, step: ClientStep): void | Promise<void> {
    const { connection } = attempt;
    if (connection.isOver || this.#attempt !== attempt) return;
    if (step.kind === "send") {
      connection.sendPayload(step.type, step.payload);
    } else if (step.kind === "failed") {
      const error = refusedLogin(step.error, this.#config);
      attempt.reject(error);
      // Destroy it now with this reason, before the server's close arrives with another one.
      connection.destroy(error);
    } else {
      return this.#host.accepted(connection, step);
    }
  }

  /** Completes the login. */
  succeed(): void {
    const attempt = this.#attempt;
    this.#attempt = null;
    attempt?.resolve();
  }

  /** The server sent an invalid frame. */
  frameRefused(error: ConduitError): void {
    this.#attempt?.reject(notNetconduit(error, this.#config));
  }

  /** The connection ended before the login did. */
  connectionClosed(connection: ProtocolConnection<Peer>, reason: CloseReason): void {
    const error = connection.isAuthenticated
      ? errorOf(reason)
      : closedDuringLogin(reason, connection.bytesReceived === 0, this.#config);
    if (!reason.reconnect) this.#finalRefusal = error;
    this.#attempt?.reject(error);
  }
}

function targetOf({ host, port, path, ipv6, tls, bufferSize }: ClientConfig): ConnectTarget {
  return { host, port, family: ipv6 ? 6 : 0, tls, bufferSize, ...(path === undefined ? {} : { path }) };
}

async function dial(runtime: Runtime, where: ConnectTarget, abort: DialController): Promise<ByteStream> {
  abort.throwIfAborted();
  const dialled = runtime.connect(where, abort);
  try {
    const stream = await abort.race(dialled);
    if (!abort.aborted) return stream;
    stream.destroy(null);
  } catch (error) {
    // Discard a stream that opens after the attempt was aborted.
    dialled.then((late) => late.destroy(null), ignore);
    throw error;
  }
  throw abort.reason;
}

const ignore = (): void => undefined;
