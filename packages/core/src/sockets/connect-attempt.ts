import type { ByteStream } from "../bytes/byte-stream.ts";
import { ConduitError } from "../errors.ts";
import type { ConnectTarget, DialSignal } from "../runtime.ts";
import { TLS_CUT_OFF } from "./error-codes.ts";
import { abortError } from "./socket-errors.ts";
import type { SocketOperations } from "./socket-operations.ts";
import type { FailureFacts, SocketOwner } from "./socket-owner.ts";
import { clientFacts } from "./stream-facts.ts";
import { unusableMaterialError } from "./tls-material.ts";
import { type ClientTls, tlsInfo } from "./tls-settings.ts";

const MATERIAL_CODE = /^ERR_(OSSL|BORINGSSL|SSL|TLS)/;

/**
 * One attempt to connect. It ends with a stream, a failure or an abort, whichever comes first. It then discards any
 * other socket it has or gets later.
 */
export class ConnectAttempt<S> implements SocketOwner {
  readonly target: ConnectTarget;
  /** The target's host, or one of its addresses. */
  readonly host: string;
  /** Null for plaintext. */
  readonly tls: ClientTls | null;
  readonly signal: DialSignal;
  readonly #operations: SocketOperations<S>;
  #socket: S | null = null;
  #isOver = false;
  #resolve: (stream: ByteStream) => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;

  constructor(
    operations: SocketOperations<S>,
    target: ConnectTarget,
    facts: { readonly host: string; readonly tls: ClientTls | null; readonly signal: DialSignal },
  ) {
    this.#operations = operations;
    this.target = target;
    this.host = facts.host;
    this.tls = facts.tls;
    this.signal = facts.signal;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * Starts the attempt. Must be called once.
   * @param open opens a socket and reports to this attempt
   */
  start(open: (attempt: this) => void | Promise<void>): Promise<ByteStream> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      if (this.signal.aborted) return this.#abort();
      this.signal.addEventListener("abort", this.#abort);
      this.#open(open);
    });
  }

  /**
   * The runtime created a socket, possibly replacing an earlier one. It isn't connected yet.
   * @returns false if the attempt has ended and the socket was discarded
   */
  opened(socket: S): boolean {
    this.#socket = socket;
    if (this.#isOver) this.#operations.discard(socket, false);
    return !this.#isOver;
  }

  /** The socket is connected; with TLS, its handshake is complete. */
  ready(): void {
    const socket = this.#socket;
    if (this.#isOver || socket === null) return;
    try {
      const tls = this.tls === null ? null : tlsInfo(this.#operations.session(socket, "client"));
      const facts = clientFacts(this.target, this.#operations.ends(socket), tls);
      // Create the stream synchronously, so that the socket's next event reaches it.
      this.#resolve(this.#operations.stream(socket, facts));
      this.#end();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** The connection failed, or its TLS handshake did. */
  failed(cause: unknown, facts?: FailureFacts): void {
    const { errors } = this.#operations;
    const hasCa = this.tls?.material.ca !== undefined;
    this.#fail(
      this.tls === null
        ? errors.connect(cause, this.target)
        : errors.clientHandshake(cause, this.target, { ...facts, hasCa }),
    );
  }

  closed(cause?: unknown): void {
    const isCutOff = cause === undefined && this.tls !== null;
    this.failed(cause ?? new Error("the socket was closed"), isCutOff ? { name: TLS_CUT_OFF } : undefined);
  }

  readonly #abort = (): void => this.#fail(abortError(this.signal, this.target));

  #open(open: (attempt: this) => void | Promise<void>): void {
    try {
      const opening = open(this);
      if (opening instanceof Promise) opening.catch((cause: unknown) => this.#openFailed(cause));
    } catch (cause) {
      this.#openFailed(cause);
    }
  }

  #openFailed(cause: unknown): void {
    this.#fail(this.#openError(cause));
  }

  #openError(cause: unknown): ConduitError {
    if (cause instanceof ConduitError) return cause;
    // Use the plain code, because an adapter's `codeOf` may return such a name for a failed handshake.
    const code: unknown = (cause as { code?: unknown } | null)?.code;
    const isMaterial = this.tls !== null && typeof code === "string" && MATERIAL_CODE.test(code);
    return isMaterial ? unusableMaterialError(cause) : this.#operations.errors.connect(cause, this.target);
  }

  #fail(error: Error): void {
    if (this.#isOver) return;
    this.#end();
    if (this.#socket !== null) this.#operations.discard(this.#socket, false);
    this.#reject(error);
  }

  #end(): void {
    this.#isOver = true;
    this.signal.removeEventListener("abort", this.#abort);
  }
}
