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
 * One attempt to connect. It ends with a stream, a failure or the signal, whichever comes first, and discards a socket
 * that it has by then or that comes later.
 */
export class ConnectAttempt<S> implements SocketOwner {
  readonly target: ConnectTarget;
  /** What to connect to: the target's host, or an address of it. */
  readonly host: string;
  /** Null: plaintext. */
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
   * Called once.
   * @param open opens a socket, and reports to this attempt
   */
  start(open: (attempt: this) => void | Promise<void>): Promise<ByteStream> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      if (this.signal.aborted) return this.#abort();
      this.signal.addEventListener("abort", this.#abort);
      void this.#open(open);
    });
  }

  /**
   * The runtime has a socket, perhaps one in place of an earlier one. It is not ready yet.
   * @returns false: it came too late, and has been discarded
   */
  opened(socket: S): boolean {
    this.#socket = socket;
    if (this.#isOver) this.#operations.discard(socket, false);
    return !this.#isOver;
  }

  /** The socket is connected; with TLS, its handshake is done. */
  ready(): void {
    const socket = this.#socket;
    if (this.#isOver || socket === null) return;
    try {
      const tls = this.tls === null ? null : tlsInfo(this.#operations.session(socket, "client"));
      const facts = clientFacts(this.target, this.#operations.ends(socket), tls);
      // Within the socket's event: its next one must find the stream.
      this.#resolve(this.#operations.stream(socket, facts));
      this.#end();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  /** The socket failed; with TLS, its handshake did. */
  failed(cause: unknown, facts?: FailureFacts): void {
    const { errors } = this.#operations;
    const hasCa = this.tls?.material.ca !== undefined;
    this.#fail(
      this.tls === null
        ? errors.connect(cause, this.target)
        : errors.clientHandshake(cause, this.target, { ...facts, hasCa }),
    );
  }

  gone(cause?: unknown): void {
    const isCutOff = cause === undefined && this.tls !== null;
    this.failed(cause ?? new Error("the socket was closed"), isCutOff ? { name: TLS_CUT_OFF } : undefined);
  }

  readonly #abort = (): void => this.#fail(abortError(this.signal, this.target));

  async #open(open: (attempt: this) => void | Promise<void>): Promise<void> {
    try {
      await open(this);
    } catch (cause) {
      this.#fail(this.#openError(cause));
    }
  }

  #openError(cause: unknown): ConduitError {
    if (cause instanceof ConduitError) return cause;
    // The bare code: an adapter may have names like these for the failure of a handshake.
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
