import type { ByteStream } from "../bytes/byte-stream.ts";
import { ConduitError } from "../errors.ts";
import type { ConnectTarget, DialSignal } from "../runtime.ts";
import { endpointName, peerAddress } from "./addresses.ts";
import { TLS_CUT_OFF } from "./error-codes.ts";
import { abortError } from "./socket-errors.ts";
import type { FailureFacts, SocketOwner } from "./socket-owner.ts";
import type { Sockets } from "./sockets.ts";
import { clientFacts } from "./stream-facts.ts";
import { unusableMaterialError } from "./tls-material.ts";
import { type ClientTls, tlsInfo } from "./tls-settings.ts";

const MATERIAL_CODE = /^ERR_(OSSL|BORINGSSL|SSL|TLS)/;

/**
 * One attempt to connect: over by a stream, a failure or the signal, whichever comes first. A socket that it has by
 * then, or that comes too late, does not stay behind.
 */
export class ConnectAttempt<S> implements SocketOwner {
  readonly target: ConnectTarget;
  /** What to connect to: the target's host, or an address of it. */
  readonly host: string;
  /** Null: plaintext. */
  readonly tls: ClientTls | null;
  readonly signal: DialSignal;
  readonly #sockets: Sockets<S>;
  readonly #where: string;
  #socket: S | null = null;
  #isOver = false;
  #resolve: (stream: ByteStream) => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;
  readonly #onAbort = (): void => this.#fail(abortError(this.signal, this.#where));

  constructor(
    sockets: Sockets<S>,
    target: ConnectTarget,
    facts: { readonly host: string; readonly tls: ClientTls | null; readonly signal: DialSignal },
  ) {
    this.#sockets = sockets;
    this.target = target;
    this.host = facts.host;
    this.tls = facts.tls;
    this.signal = facts.signal;
    this.#where = endpointName(target);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Has the runtime open a socket. Called once. */
  start(): Promise<ByteStream> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.signal.addEventListener("abort", this.#onAbort);
      try {
        const opening = this.#sockets.open(this);
        if (opening !== undefined) opening.catch((cause: unknown) => this.#fail(this.#openError(cause)));
      } catch (cause) {
        this.#fail(this.#openError(cause));
      }
    });
  }

  /**
   * The runtime has a socket, perhaps one in place of an earlier one. It is not ready yet.
   * @returns false: it came too late, and has been discarded
   */
  opened(socket: S): boolean {
    this.#socket = socket;
    if (this.#isOver) this.#sockets.discard(socket, false);
    return !this.#isOver;
  }

  ready(): void {
    const socket = this.#socket;
    if (this.#isOver || socket === null) return;
    try {
      const tls = this.tls === null ? null : tlsInfo(this.#sockets.session(socket, "client"));
      // Here and now: the stream has to own the socket before anything else can happen to it.
      const ends = this.#sockets.ends(socket, null, peerAddress(this.host, this.target));
      const facts = clientFacts(this.target, this.#where, ends, tls);
      this.#resolve(this.#sockets.stream(socket, facts));
      this.#end();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** {@link ready} once the TLS handshake is, on a runtime whose handshakes are promises. Never rejects. */
  async readyAfter(handshake: Promise<unknown>): Promise<void> {
    await handshake.then(
      () => this.ready(),
      (cause: unknown) => this.failed(cause),
    );
  }

  /** The socket failed; with TLS, its handshake did. */
  failed(cause: unknown, facts?: FailureFacts): void {
    const { errors } = this.#sockets;
    const hasCa = this.tls?.material.ca !== undefined;
    this.#fail(
      this.tls === null
        ? errors.connect(cause, this.#where, this.target.path)
        : errors.clientHandshake(cause, this.#where, { ...facts, hasCa }),
    );
  }

  gone(cause?: unknown): void {
    const isCutOff = cause === undefined && this.tls !== null;
    this.failed(cause ?? new Error("the socket was closed"), isCutOff ? { name: TLS_CUT_OFF } : undefined);
  }

  #openError(cause: unknown): ConduitError {
    if (cause instanceof ConduitError) return cause;
    // The bare code: an adapter may have names like these for the failure of a handshake.
    const code: unknown = (cause as { code?: unknown } | null)?.code;
    const isMaterial = this.tls !== null && typeof code === "string" && MATERIAL_CODE.test(code);
    return isMaterial
      ? unusableMaterialError(cause)
      : this.#sockets.errors.connect(cause, this.#where, this.target.path);
  }

  #fail(error: Error): void {
    if (this.#isOver) return;
    this.#end();
    if (this.#socket !== null) this.#sockets.discard(this.#socket, false);
    this.#reject(error);
  }

  #end(): void {
    this.#isOver = true;
    this.signal.removeEventListener("abort", this.#onAbort);
  }
}
