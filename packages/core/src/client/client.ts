/**
 * The client: dials, logs in, and dials again when the connection is lost.
 */

import { ClientHandshake } from "../auth/client-handshake.ts";
import type { PeerInfo } from "../auth/peer-info.ts";
import { formatAddress } from "../bytes/address.ts";
import type { ByteStream } from "../bytes/byte-stream.ts";
import type { CloseReason } from "../connection/close-reason.ts";
import {
  type ConnectionState,
  ConnectionStateMachine,
  type StateChange,
  StateListeners,
} from "../connection/connection-state.ts";
import type { AnyExtension } from "../connection/extension.ts";
import { type ConnectionDelegate, ProtocolConnection } from "../connection/protocol-connection.ts";
import { type ContractOption, parseContract } from "../endpoint/contract-option.ts";
import { EndpointCore, type ErrorContext } from "../endpoint/endpoint-core.ts";
import { HookList } from "../endpoint/hook-list.ts";
import type { Awaitable, Disposer, MethodDefinition, MethodHandler, MethodHandlers } from "../endpoint/method-types.ts";
import { type Outgoing, type PeerConnection, RemotePeerBase } from "../endpoint/remote-peer.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { builtInExtensions } from "../extensions/index.ts";
import type { Latency } from "../extensions/liveness.ts";
import type {
  Contract,
  MessageOutput,
  MessageSchema,
  MessageType,
  MethodName,
  NameBound,
  ParamsSchema,
  ResultSchema,
} from "../rpc/contract.ts";
import type { HandlerContext } from "../rpc/incoming-request.ts";
import type { InferOutput, Schema } from "../rpc/schema.ts";
import type { ConnectTarget, Runtime } from "../runtime.ts";
import { FrameType } from "../wire/constants.ts";
import { type ClientConfig, type ClientOptions, parseClientOptions } from "./client-options.ts";
import type { DialController } from "./dial-controller.ts";
import { closedDuringLogin, notNetconduit } from "./login-failure.ts";
import { OfflineQueue } from "./offline-queue.ts";
import { OfflineSender } from "./offline-sender.ts";
import { endpointOf, Reconnector } from "./reconnector.ts";

/** How a client is doing. */
export interface ClientHealth {
  readonly connected: boolean;
  readonly state: ConnectionState;
  readonly authenticated: boolean;
  /** Attempts of the present series; 0 while connected. */
  readonly reconnectAttempts: number;
  readonly serverInfo: PeerInfo | null;
  /** Heartbeat round trips in milliseconds; null while there is no connection. */
  readonly latency: Latency | null;
  /** Calls and requests that wait for their reply. */
  readonly pendingCalls: number;
  /** Bytes accepted and not yet taken by the operating system. */
  readonly bufferedBytes: number;
}

/** Options of a client, and its contract. */
export type ClientInit<C extends Contract = Contract> = ClientOptions & ContractOption<C>;

interface Login {
  readonly handshake: ClientHandshake;
  resolve(): void;
  reject(error: Error): void;
}

/** The last login. */
interface LastLogin {
  readonly connection: PeerConnection;
  readonly token: string;
  /** Unix milliseconds. */
  readonly connectedAt: number;
}

type OnHandler<D, Peer> = (data: D, context: HandlerContext<Peer>) => Awaitable<unknown>;

/**
 * A client. The adapter packages export it bound to their runtime; this one takes the runtime as its second argument.
 * `C` is the contract's type (default: open), which option `contract` gives. A type alone checks nothing that arrives.
 */
export class Client<C extends Contract = Contract> extends RemotePeerBase<C, "server", null> {
  /** All options with their defaults filled in. */
  readonly config: ClientConfig;
  readonly #core: EndpointCore<Client<C>>;
  readonly #delegate: ConnectionDelegate<Client<C>>;
  readonly #runtime: Runtime;
  readonly #stateListeners: StateListeners;
  /** Of the present dial, and of its connection. */
  #machine: ConnectionStateMachine;
  readonly #connectHooks = new HookList<[client: this]>();
  readonly #disconnectHooks = new HookList<[client: this, reason: CloseReason]>();
  readonly #reconnectHooks = new HookList<[client: this]>();
  readonly #offline: OfflineQueue<Outgoing>;
  readonly #offlineSender: OfflineSender;
  readonly #reconnector: Reconnector<Client<C>>;
  #link: ProtocolConnection<Client<C>> | null = null;
  #login: Login | null = null;
  #lastLogin: LastLogin | null = null;

  /** @throws ConduitError INVALID_CONFIG, naming each wrong option, its rule and the value. */
  constructor(options: ClientInit<C>, runtime: Runtime);
  /** @internal */
  constructor(options: ClientInit<C>, runtime: Runtime, extensions: readonly AnyExtension[]);
  constructor(options: ClientInit<C>, runtime: Runtime, extensions: readonly AnyExtension[] = builtInExtensions) {
    const { contract, config } = parseInit(options);
    super();
    const sides = { own: contract?.client, peer: contract?.server };
    this.#core = new EndpointCore(runtime, config, sides, extensions);
    this.config = config;
    this.#runtime = runtime;
    this.#delegate = this.#core.delegate({
      role: "client",
      handshakeFrame: (link, type, payload) => this.#handshakeFrame(link, type, payload),
      // A client's login is bounded by its dial's own timer, which covers the name lookup and TLS as well.
      phaseTimedOut: ignore,
      frameRefused: (link, error) => this.#frameRefused(link, error),
      connectionClosing: ignore,
      connectionClosed: (link, reason) => this.#connectionClosed(link, reason),
    });
    this.#stateListeners = new StateListeners(this.#core);
    this.#machine = new ConnectionStateMachine(this.#core, "disconnected", this.#stateListeners);
    this.#offline = new OfflineQueue(this.#core.wheel, config.sendQueueSize);
    this.#offlineSender = new OfflineSender(this.#offline, {
      rpcTimeoutMs: config.rpcTimeoutMs,
      now: () => runtime.now(),
      mustQueue: (name) => this.#mustQueue(name),
      sendFailed: (error, stage, name) => this.#core.reportError(error, stage, undefined, name),
    });
    this.#reconnector = new Reconnector(this.#core, config, {
      open: (abort) => this.#dial(abort),
      failed: (error, isLast) => this.#dialFailed(error, isLast),
      opened: (again) => this.#opened(again),
    });
  }

  get state(): ConnectionState {
    return this.#machine.state;
  }

  /** @internal */
  protected get connection(): PeerConnection | null {
    return this.#lastLogin?.connection ?? null;
  }

  /** @internal */
  protected get connectedAt(): number {
    return this.#lastLogin?.connectedAt ?? 0;
  }

  /** @internal */
  protected get outgoing(): Outgoing {
    const link = this.#link;
    return link?.isOpen === true ? link : this.#offlineSender;
  }

  /** The same as `info`. */
  get serverInfo(): PeerInfo | null {
    return this.info;
  }

  /** The session token of the present or last login; null before the first. */
  get sessionToken(): string | null {
    return this.#lastLogin?.token ?? null;
  }

  health(): ClientHealth {
    return {
      connected: this.isConnected,
      state: this.state,
      authenticated: this.isAuthenticated,
      reconnectAttempts: this.isConnected ? 0 : this.#reconnector.attempts,
      serverInfo: this.info,
      latency: this.isAuthenticated ? this.latency : null,
      pendingCalls: this.#link?.pendingCalls ?? 0,
      bufferedBytes: this.bufferedBytes,
    };
  }

  // --- registration -------------------------------------------------------------------------------------------------

  /**
   * Registers a method that the server may call. Handlers, schemas and errors are those of `Server.rpc`.
   *
   * @returns a function that removes the method.
   * @throws ConduitError INVALID_STATE when the name is taken; INVALID_CONFIG for a schema that is none.
   */
  rpc<
    M extends NameBound<MethodName<C, "client">>,
    P extends ParamsSchema<C, "client", M> | undefined = undefined,
    R extends ResultSchema<C, "client", M> | undefined = undefined,
  >(
    method: (M & string) | MethodDefinition<P, R, M & string>,
    handler: MethodHandler<C, "client", M, P, R, Client<C>>,
  ): Disposer;
  rpc<M extends NameBound<MethodName<C, "client">>, P extends ParamsSchema<C, "client", M>>(
    name: M & string,
    params: P,
    handler: MethodHandler<C, "client", M, P, undefined, Client<C>>,
  ): Disposer;
  rpc(
    method: string | MethodDefinition,
    schemaOrHandler: Schema | ((params: never, context: HandlerContext<Client<C>>) => unknown),
    maybeHandler?: (params: never, context: HandlerContext<Client<C>>) => unknown,
  ): Disposer {
    return this.#core.registration.addMethod(method, schemaOrHandler, maybeHandler);
  }

  /**
   * Registers a handler for every method that the contract lists for clients, by name. It does not compile if one is
   * missing. Where not all handlers are at hand, register them one at a time with `rpc`; option `complete` then checks
   * later that none is missing.
   *
   * @returns a function that removes these methods.
   * @throws ConduitError INVALID_STATE when a name is taken or, for a contract given as a value, a handler is missing.
   * Nothing is registered then.
   */
  implement(handlers: MethodHandlers<C, "client", Client<C>>): Disposer {
    return this.#core.registration.addMethods(handlers);
  }

  /**
   * Handles messages of a type, or of several, from the server. What the handler returns goes back: as the reply to
   * `connection.request`, or else as a message of type `<type>_response`. Data is checked by the schema given here, else
   * by that of option `contract`.
   * @returns a function that removes the handler.
   */
  on<T extends NameBound<MessageType<C, "client">>>(
    type: (T & string) | readonly (T & string)[],
    handler: OnHandler<MessageOutput<C, "client", T>, Client<C>>,
  ): Disposer;
  on<T extends NameBound<MessageType<C, "client">>, M extends MessageSchema<C, "client", T>>(
    type: (T & string) | readonly (T & string)[],
    schema: M,
    handler: OnHandler<InferOutput<M>, Client<C>>,
  ): Disposer;
  on(
    type: string | readonly string[],
    schemaOrHandler: Schema | OnHandler<never, Client<C>>,
    maybeHandler?: OnHandler<never, Client<C>>,
  ): Disposer {
    return this.#core.registration.addMessageHandler(type, schemaOrHandler, maybeHandler, false);
  }

  /** Runs after every login, the first and later ones. @returns a function that removes it. */
  onConnect(hook: (client: this) => unknown): Disposer {
    return this.#connectHooks.add(hook);
  }

  /** Runs once each time a logged-in connection ends, with the reason. @returns a function that removes it. */
  onDisconnect(hook: (client: this, reason: CloseReason) => unknown): Disposer {
    return this.#disconnectHooks.add(hook);
  }

  /** Runs after `onConnect` when the login was one that the client made by itself. @returns a function that removes it. */
  onReconnect(hook: (client: this) => unknown): Disposer {
    return this.#reconnectHooks.add(hook);
  }

  /** Hears of everything that went wrong and was not thrown to a caller. @returns a function that removes the hook. */
  onError(hook: (error: Error, context: ErrorContext<Client<C>>) => unknown): Disposer {
    return this.#core.errorHooks.add(hook);
  }

  /** Hears of messages whose type no handler is registered for. @returns a function that removes the hook. */
  onUnknown(hook: (client: Client<C>, type: string, data: unknown) => unknown): Disposer {
    return this.#core.unknownHooks.add(hook);
  }

  /** Hears of every change of `state`, with its reason. @returns a function that removes the listener. */
  onStateChange(listener: (change: StateChange) => void): Disposer {
    return this.#stateListeners.add(listener);
  }

  // --- life ---------------------------------------------------------------------------------------------------------

  /**
   * Connects and logs in. Resolves once the connection is usable and the `onConnect` hooks are done; at once if it is
   * already. While the client reconnects by itself, this tries again at once.
   * @throws ConduitError CONNECTION_REFUSED, HOST_UNREACHABLE, CONNECT_TIMEOUT, AUTH_FAILED, SERVER_FULL,
   * SERVER_STOPPING, RATE_LIMITED (too many failed logins from this address), PASSWORD_HASH_REFUSED, SERVER_NOT_TRUSTED,
   * CONNECTION_CLOSED and CONNECTION_RESET (the server hung up), NOT_NETCONDUIT, TLS_UNTRUSTED, TLS_WRONG_NAME and the
   * other TLS codes; whatever a credentials callback throws.
   */
  async connect(): Promise<void> {
    if (this.isConnected) return;
    if (this.config.complete) this.#core.registration.mustBeComplete("connect");
    await this.#reconnector.connect();
  }

  /** The same as `close`. */
  disconnect(reason?: string): Promise<void> {
    return this.close(reason);
  }

  /**
   * Ends the connection, and any reconnecting: what was sent is flushed first, calls that wait for a reply reject with
   * CONNECTION_CLOSED. Resolves when it is over; forced after `closeTimeoutMs`. The client can `connect` again.
   */
  async close(reason = "Closed by the client"): Promise<void> {
    const dialling = this.#reconnector.callOff(calledOff);
    if (this.#offline.size > 0) this.#offline.rejectAll(calledOff());
    const link = this.#link;
    if (link !== null) {
      await link.close({ code: ErrorCode.CONNECTION_CLOSED, message: reason, reconnect: false });
    }
    if (dialling !== null) await dialling.catch(ignore);
    if (this.state === "failed") this.#machine.transition("close", { message: reason });
  }

  /** Disconnects at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // --- dialling -----------------------------------------------------------------------------------------------------

  async #dial(abort: DialController): Promise<void> {
    const link = this.#link;
    // A connection that is being closed is not dialled over.
    if (link !== null) {
      const reason = { code: ErrorCode.CONNECTION_CLOSED, message: "Connecting anew", reconnect: false };
      await abort.race(link.close(reason));
    }
    abort.throwIfAborted();
    this.#machine = new ConnectionStateMachine(this.#core, this.#machine.state, this.#stateListeners);
    this.#machine.transition("dial", { message: `Connecting to ${endpointOf(this.config)}` });
    await this.#open(this.#target(), abort);
  }

  #dialFailed(error: ConduitError, isLast: boolean): void {
    const link = this.#link;
    if (link !== null && !link.isOver) link.destroy(error);
    this.#link = null;
    const { code, message } = error;
    if (this.#machine.allows("fail")) this.#machine.transition("fail", { code, message });
    // Nothing will try again by itself, so nothing that waits will ever be sent.
    if (isLast) this.#offline.rejectAll(error);
  }

  #opened(again: boolean): Promise<void> | null {
    return this.#connectHooks.isEmpty && (!again || this.#reconnectHooks.isEmpty) ? null : this.#runHooks(again);
  }

  async #runHooks(again: boolean): Promise<void> {
    await this.#connectHooks.run((error) => this.#core.hookFailed("onConnect", error), this);
    if (again) await this.#reconnectHooks.run((error) => this.#core.hookFailed("onReconnect", error), this);
  }

  #target(): ConnectTarget {
    const { host, port, path, ipv6, tls, bufferSize } = this.config;
    return { host, port, family: ipv6 ? 6 : 0, tls, bufferSize, ...(path === undefined ? {} : { path }) };
  }

  /** Connects and logs in. */
  async #open(where: ConnectTarget, abort: DialController): Promise<void> {
    const { config } = this;
    const { password: given, allowPasswordHash } = config;
    const { crypto } = this.#runtime;
    const password = typeof given === "function" ? await abort.race((async () => given())()) : given;
    const offer = this.#core.extensions.offer;
    const handshake = new ClientHandshake({ password, info: config, offer, allowPasswordHash, crypto });
    const request = await handshake.start();
    const stream = await this.#connect(where, abort);
    this.#machine.transition("opened", { message: `Connected to ${formatAddress(stream.remote)}` });
    const link = new ProtocolConnection<Client<C>>(this.#delegate, stream, this.#machine);
    link.peer = this;
    this.#link = link;
    try {
      await abort.wait<void>((resolve, reject) => {
        this.#login = { handshake, resolve, reject };
        link.start(0);
        if (!link.isOver) link.sendPayload(FrameType.AUTH_REQUEST, request);
      });
    } finally {
      this.#login = null;
    }
  }

  async #connect(where: ConnectTarget, abort: DialController): Promise<ByteStream> {
    abort.throwIfAborted();
    const dialled = this.#runtime.connect(where, abort);
    try {
      const stream = await abort.race(dialled);
      if (!abort.aborted) return stream;
      stream.destroy(null);
    } catch (error) {
      // Discard a stream that opens after the dial was given up.
      dialled.then((late) => late.destroy(null), ignore);
      throw error;
    }
    throw abort.reason;
  }

  async #handshakeFrame(
    link: ProtocolConnection<Client<C>>,
    type: number,
    payload: Record<string, unknown> | null,
  ): Promise<void> {
    const login = this.#login;
    if (login === null) return;
    const step = await login.handshake.receive(type, payload);
    if (link.isOver || this.#login !== login) return;
    if (step.kind === "send") {
      link.sendPayload(step.type, step.payload);
    } else if (step.kind === "failed") {
      login.reject(step.error);
      // At once and for this reason: the server hangs up right behind its refusal, and that must not come first.
      link.destroy(step.error);
    } else {
      this.#login = null;
      this.#lastLogin = { connection: link, token: step.sessionToken, connectedAt: this.#runtime.wallClock() };
      link.authenticated(step.server, this.#core.extensions.accept(step.extensions));
      this.#reconnector.loggedIn();
      this.#offline.sendAll(link);
      link.activate();
      login.resolve();
    }
  }

  #frameRefused(link: ProtocolConnection<Client<C>>, error: ConduitError): void {
    const login = this.#login;
    if (login !== null) login.reject(notNetconduit(error, this.config));
    else this.#core.reportError(error, error.code === ErrorCode.RATE_LIMITED ? "rate-limit" : "protocol", link.peer);
  }

  #connectionClosed(link: ProtocolConnection<Client<C>>, reason: CloseReason): void {
    if (this.#link === link) this.#link = null;
    if (this.#login !== null) {
      this.#login.reject(closedDuringLogin(reason, link.bytesReceived === 0, this.config));
      return;
    }
    if (!link.isAuthenticated) return;
    const onError = (error: unknown): void => this.#core.hookFailed("onDisconnect", error);
    this.#reconnector.lost(reason, () => this.#disconnectHooks.run(onError, this, reason));
  }

  /** @throws ConduitError CONNECTION_CLOSED unless the client is coming back and keeps what is sent meanwhile */
  #mustQueue(name: string): void {
    const returning = this.#reconnector.isReturning(this.#link?.closeReason ?? null);
    if (this.config.queueWhileDisconnected === "send" && returning) return;
    throw new ConduitError(ErrorCode.CONNECTION_CLOSED, `Cannot send '${name}': not connected (${this.state})`);
  }
}

function parseInit<C extends Contract>(options: ClientInit<C>): { contract: C | null; config: ClientConfig } {
  if (typeof options !== "object" || options === null || !("contract" in options)) {
    const config = parseClientOptions(options);
    return { contract: parseContract<C>(undefined, config.complete), config };
  }
  const { contract, ...rest } = options;
  const config = parseClientOptions(rest);
  return { contract: parseContract(contract, config.complete), config };
}

/** One for all clients. */
const ignore = (): void => undefined;
function calledOff(): ConduitError {
  return new ConduitError(ErrorCode.CONNECTION_CLOSED, "disconnect() was called");
}

/** Any client, whatever its contract; `any` because a class type with handlers inside is invariant in it. */
// biome-ignore lint/suspicious/noExplicitAny: see above
export type AnyClient = Client<any>;
