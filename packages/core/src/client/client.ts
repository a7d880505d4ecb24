/** The client: connects, logs in, and reconnects when the connection is lost. */

import type { PeerInfo } from "../auth/peer-info.ts";
import type { CloseReason } from "../connection/close-reason.ts";
import type { ConnectionState, StateChange } from "../connection/connection-state.ts";
import type { AnyExtension, DrainNotice } from "../connection/extension.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import type { MessageAttempts } from "../endpoint/acknowledged-send.ts";
import type { CallOptions, StreamOptions, TypedStreamOptions } from "../endpoint/call-options.ts";
import { type ContractOption, parseContract, topicValidator } from "../endpoint/contract-option.ts";
import type { DeadLetter } from "../endpoint/dead-letter.ts";
import { EndpointCore, type ErrorContext } from "../endpoint/endpoint-core.ts";
import { HandlerGroup } from "../endpoint/handler-group.ts";
import type {
  Disposer,
  InputSchema,
  MethodDefinition,
  MethodHandler,
  MethodHandlers,
  ServerMessageHandler,
  StreamDefinition,
  StreamHandler,
} from "../endpoint/method-types.ts";
import { type OutgoingMiddleware, OutgoingMiddlewares } from "../endpoint/outgoing-middleware.ts";
import type { Outgoing } from "../endpoint/remote-caller.ts";
import { type PeerConnection, RemotePeerBase } from "../endpoint/remote-peer.ts";
import { asConduitError, ConduitError, ErrorCode, withCallerStack } from "../errors.ts";
import type { FolderOptions } from "../extensions/files/folder-options.ts";
import type { RemoteFiles } from "../extensions/files/remote-files.ts";
import type { TransferredFile } from "../extensions/files/served-folder.ts";
import { builtInExtensions } from "../extensions/index.ts";
import type { Latency } from "../extensions/liveness.ts";
import { topic } from "../extensions/topics/topic.ts";
import type {
  Contract,
  FolderName,
  MessageOutput,
  MessageSchema,
  MessageType,
  MethodName,
  NameBound,
  ParamsSchema,
  PublishArguments,
  ResultSchema,
  StatedItem,
  StreamArguments,
  StreamCallInput,
  StreamCallProgress,
  StreamItem,
  StreamItemSchema,
  StreamName,
  StreamParamsSchema,
  TopicName,
  TopicOutput,
} from "../rpc/contract.ts";
import type { HandlerContext } from "../rpc/incoming-request.ts";
import type { ItemStream } from "../rpc/request-streams.ts";
import type { InferOutput, Schema } from "../rpc/schema.ts";
import type { Validator } from "../rpc/validation.ts";
import type { Runtime } from "../runtime.ts";
import { ClientConnections } from "./client-connections.ts";
import { ClientHooks } from "./client-hooks.ts";
import { type ClientConfig, type ClientOptions, parseClientOptions } from "./client-options.ts";
import type { RenewalHook } from "./credential-renewal.ts";
import { type ConnectedOptions, checkConnectedOptions, ReadyWaits, wontConnect } from "./ready-waits.ts";
import { calledOff, type FailedAttempt } from "./reconnector.ts";
import type { ExpiredSession, ResumedSession } from "./resumed-session.ts";
import { publishTopic } from "./topics/publish-topic.ts";
import type { SubscribeOptions, Subscription } from "./topics/subscription.ts";
import { Subscriptions, type SubscriptionsHost } from "./topics/subscriptions.ts";

/** A snapshot of a client's state. */
export interface ClientHealth {
  /** As `isConnected`. */
  readonly connected: boolean;
  readonly state: ConnectionState;
  /** As `isAuthenticated`. */
  readonly authenticated: boolean;
  /** See {@link Client.isReconnecting}. */
  readonly reconnecting: boolean;
  /** Number of attempts since the connection was lost; 0 while connected. */
  readonly reconnectAttempts: number;
  /** The server's info from the current or last connection; null before the first login. */
  readonly serverInfo: PeerInfo | null;
  /** Heartbeat round trips in milliseconds; null while disconnected. */
  readonly latency: Latency | null;
  /** Number of calls and requests waiting for a reply. */
  readonly pendingCalls: number;
  /** Bytes waiting to be accepted by the operating system. */
  readonly bufferedBytes: number;
}

/** Options of a client, and its contract. */
export type ClientInit<C extends Contract = Contract> = ClientOptions & ContractOption<C>;

type StreamCallback = (params: never, context: HandlerContext<never, never>) => unknown;

/**
 * A client. The runtime packages export it bound to their runtime; here it takes the runtime as its second argument.
 * `C` is the contract's type, inferred from the option `contract`; without one, any name and data are allowed. A
 * contract type alone, without the option, validates nothing.
 */
export class Client<C extends Contract = Contract> extends RemotePeerBase<C, "server", null> {
  /** All options, with defaults filled in. */
  readonly config: ClientConfig;
  readonly #core: EndpointCore<Client<C>>;
  readonly #hooks: ClientHooks<this>;
  /** Created by the first call of `connected` that waits. */
  #readyWaits: ReadyWaits | null = null;
  readonly #connections: ClientConnections<Client<C>>;
  readonly #contract: C | null;
  #middlewares: OutgoingMiddlewares | null = null;
  /** Created by the first subscription or `onSubscribed` hook. */
  #subscriptions: Subscriptions | null = null;

  /** @throws ConduitError INVALID_CONFIG, naming each invalid option with its rule and value */
  constructor(options: ClientInit<C>, runtime: Runtime);
  /** @internal */
  constructor(options: ClientInit<C>, runtime: Runtime, extensions: readonly AnyExtension[]);
  constructor(options: ClientInit<C>, runtime: Runtime, extensions: readonly AnyExtension[] = builtInExtensions) {
    const { contract, config } = parseInit(options);
    super();
    const sides = { own: contract === null ? undefined : (contract.client ?? {}), peer: contract?.server };
    const settings = { ...config, renewsCredentials: config.credentials !== undefined };
    this.#core = new EndpointCore(runtime, settings, sides, extensions);
    this.config = config;
    this.#contract = contract;
    this.#hooks = new ClientHooks<this>(this, (name, error) => this.#core.hookFailed(name, error));
    this.#connections = new ClientConnections<Client<C>>(this.#core, config, {
      peer: this,
      hooks: this.#hooks,
      subscriptions: () => this.#subscriptions,
      connected: () => this.#readyWaits?.ready(),
      disconnected: () => this._connectionLost(),
      gaveUp: (reason) => this._gaveUp(reason),
    });
  }

  get state(): ConnectionState {
    return this.#connections.state;
  }

  /**
   * Whether the client has lost its connection and is reconnecting automatically: from just before `onDisconnect`
   * until the next login, `disconnect()` or `connect()`, or until it gives up.
   */
  get isReconnecting(): boolean {
    return this.#connections.isReconnecting;
  }

  /** @internal */
  protected get _connection(): PeerConnection | null {
    return this.#connections.lastLogin?.connection ?? null;
  }

  /** @internal */
  protected get _connectedAt(): number {
    return this.#connections.lastLogin?.connectedAt ?? 0;
  }

  /** @internal */
  protected override get _hasEnded(): boolean {
    return this.#connections.hasEnded;
  }

  /** @internal */
  protected override _agreedResult(method: string): Validator<unknown> | null {
    return this.#core.results?.get(method) ?? null;
  }

  /** @internal */
  protected get _runtimeContext(): RuntimeContext {
    return this.#core.runtimeContext;
  }

  /** @internal */
  protected get _outgoing(): Outgoing {
    return this.#connections.outgoing;
  }

  /** @internal */
  protected override _messageAttempts(): MessageAttempts {
    return this.#connections.messageAttempts();
  }

  /** @internal */
  protected override get _middlewares(): OutgoingMiddlewares | null {
    return this.#middlewares;
  }

  /** The same as `info`. */
  get serverInfo(): PeerInfo | null {
    return this.info;
  }

  /** The session token of the current or last login; null before the first. */
  get sessionToken(): string | null {
    return this.#connections.lastLogin?.token ?? null;
  }

  /** A snapshot of the client's state, for a health check. */
  health(): ClientHealth {
    return {
      connected: this.isConnected,
      state: this.state,
      authenticated: this.isAuthenticated,
      reconnecting: this.isReconnecting,
      reconnectAttempts: this.isConnected ? 0 : this.#connections.attempts,
      serverInfo: this.info,
      latency: this.isAuthenticated ? this.latency : null,
      pendingCalls: this.#connections.current?.pendingCalls ?? 0,
      bufferedBytes: this.bufferedBytes,
    };
  }

  // --- registration -------------------------------------------------------------------------------------------------

  /**
   * Adds a middleware around the calls, requests, messages and streams that this client sends after it. Middlewares
   * run in the order in which they were added. For handlers, see `group`.
   * @throws ConduitError INVALID_CONFIG
   */
  use(middleware: OutgoingMiddleware): this {
    this.#middlewares ??= new OutgoingMiddlewares((error, name) => this.#core.reportError(error, "send", this, name));
    this.#middlewares.add(middleware);
    return this;
  }

  /** Creates a group of handlers with its own middleware: `client.group().use(…)`. */
  group(): HandlerGroup<C, "client", Client<C>> {
    const { registration } = this.#core;
    return new HandlerGroup<C, "client", Client<C>>(registration, registration).group();
  }

  /**
   * Registers a method that the server may call. Handlers, schemas and errors work as in `Server.rpc`.
   *
   * @returns a function that removes the method.
   * @throws ConduitError INVALID_STATE if the name is taken; INVALID_CONFIG if a schema is invalid
   */
  rpc<
    M extends NameBound<MethodName<C, "client">>,
    P extends ParamsSchema<C, "client", M> | undefined = undefined,
    R extends ResultSchema<C, "client", M> | undefined = undefined,
    I extends InputSchema = undefined,
    G extends Schema | undefined = undefined,
  >(
    method: (M & string) | MethodDefinition<P, R, M & string, I, G>,
    handler: MethodHandler<C, "client", M, P, R, Client<C>, I, unknown, G>,
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
   * With a handler: registers a method that returns a stream of items, for `connection.stream`. Handlers, schemas and
   * errors work as in `Server.stream`. Without a handler: calls such a method of the server.
   *
   * @returns a function that removes the method.
   * @throws ConduitError INVALID_STATE if the name is taken; INVALID_CONFIG if a schema is invalid
   */
  override stream<
    M extends NameBound<StreamName<C, "client">>,
    P extends StreamParamsSchema<C, "client", M> | undefined = undefined,
    O extends StreamItemSchema<C, "client", M> | undefined = undefined,
    I extends InputSchema = undefined,
    G extends Schema | undefined = undefined,
  >(
    stream: (M & string) | StreamDefinition<P, O, M & string, I, G>,
    handler: StreamHandler<C, "client", M, P, O, Client<C>, I, unknown, G>,
  ): Disposer;
  override stream<M extends NameBound<StreamName<C, "client">>, P extends StreamParamsSchema<C, "client", M>>(
    name: M & string,
    params: P,
    handler: StreamHandler<C, "client", M, P, undefined, Client<C>>,
  ): Disposer;
  /** Calls a method that the server registered with `stream`, and returns its items; see `RemotePeer.stream`. */
  override stream<
    T extends StatedItem<C, "server"> = StatedItem<C, "server">,
    M extends NameBound<StreamName<C, "server">> = NameBound<StreamName<C, "server">>,
    R extends Schema = never,
  >(
    name: M & string,
    ...paramsAndOptions: StreamArguments<
      C,
      "server",
      M,
      | StreamOptions<StreamCallInput<C, "server", M>, StreamCallProgress<C, "server", M>>
      | TypedStreamOptions<R, StreamCallInput<C, "server", M>, StreamCallProgress<C, "server", M>>
    >
  ): ItemStream<StreamItem<C, "server", NoInfer<T>, M, R>>;
  override stream(
    stream: string | StreamDefinition,
    second?: unknown,
    third?: unknown,
  ): Disposer | ItemStream<unknown> {
    if (typeof second === "function" || typeof third === "function") {
      return this.#core.registration.addStream(stream, second as StreamCallback, third as StreamCallback | undefined);
    }
    return this._stream(stream as string, second, third as StreamOptions | undefined);
  }

  /** A folder that the server serves. No request is sent until a method is called. */
  override files(name: FolderName<C, "server">): RemoteFiles;
  /**
   * Serves a folder of this side to the server, which accesses it by `connection.files(name)`, within the limits of
   * the options.
   *
   * @returns a function that stops serving the folder; running transfers continue
   * @throws ConduitError INVALID_CONFIG; INVALID_STATE if the name is taken
   */
  override files(name: FolderName<C, "client">, options: FolderOptions<Client<C>>): Disposer;
  override files(name: string, options?: FolderOptions<Client<C>>): RemoteFiles | Disposer {
    return options === undefined ? super.files(name as FolderName<C, "server">) : this.#core.serveFiles(name, options);
  }

  /**
   * Registers a handler for every method that the contract lists for clients, by name. It doesn't compile if one is
   * missing. To register handlers one at a time, use `rpc` and the option `complete`, which checks later that none is
   * missing.
   *
   * @returns a function that removes these methods.
   * @throws ConduitError INVALID_STATE if a name is taken or, with the option `contract`, a handler is missing; nothing
   *   is registered
   */
  implement(handlers: MethodHandlers<C, "client", Client<C>>): Disposer {
    return this.#core.registration.addMethods(handlers);
  }

  /**
   * Registers a handler for one or more types of messages from the server. The handler's return value is the reply to
   * `connection.request`; after `connection.send` it is discarded, except that a netconduit server receives it as a
   * message of type `<type>_response`. Data is validated with the given schema, or with the contract's by default.
   * @returns a function that removes the handler.
   */
  on<T extends NameBound<MessageType<C, "client">>>(
    type: (T & string) | readonly (T & string)[],
    handler: ServerMessageHandler<MessageOutput<C, "client", T>, Client<C>>,
  ): Disposer;
  on<T extends NameBound<MessageType<C, "client">>, M extends MessageSchema<C, "client", T>>(
    type: (T & string) | readonly (T & string)[],
    schema: M,
    handler: ServerMessageHandler<InferOutput<M>, Client<C>>,
  ): Disposer;
  on(
    type: string | readonly string[],
    schemaOrHandler: Schema | ServerMessageHandler<never, Client<C>>,
    maybeHandler?: ServerMessageHandler<never, Client<C>>,
  ): Disposer {
    return this.#core.registration.addMessageHandler(type, schemaOrHandler, maybeHandler);
  }

  /** Runs after every login, including reconnects. Returns a function that removes the hook. */
  onConnect(hook: (client: this) => unknown): Disposer {
    return this.#hooks.connect.add(hook);
  }

  /** Runs once each time a logged-in connection ends, with the reason. Returns a function that removes the hook. */
  onDisconnect(hook: (client: this, reason: CloseReason) => unknown): Disposer {
    return this.#hooks.disconnect.add(hook);
  }

  /**
   * Runs when an attempt to reconnect has failed. With such a hook, `onError` is only called when the client gives up
   * reconnecting. Returns a function that removes the hook.
   */
  onReconnectAttemptFailed(hook: (client: this, attempt: FailedAttempt) => unknown): Disposer {
    return this.#hooks.attemptFailed.add(hook);
  }

  /** Runs after `onConnect` if the client reconnected automatically. Returns a function that removes the hook. */
  onReconnect(hook: (client: this) => unknown): Disposer {
    return this.#hooks.reconnect.add(hook);
  }

  /**
   * Runs when the connection continues over a new stream after its stream was lost (option `resume`). No messages
   * were lost, and `onDisconnect`, `onConnect` and `onReconnect` don't run. Returns a function that removes the hook.
   */
  onResume(hook: (session: ResumedSession) => unknown): Disposer {
    return this.#hooks.resume.add(hook);
  }

  /**
   * Runs when a connection that waited for a new stream has ended: the server wasn't reached in time or no longer has
   * the session, or the client was closed. The hook gets how much may be lost. Returns a function that removes the
   * hook.
   */
  onSessionExpired(hook: (session: ExpiredSession) => unknown): Disposer {
    return this.#hooks.expired.add(hook);
  }

  /**
   * Runs when the server is about to stop: it accepts no more messages and calls, and finishes those it has. Returns
   * a function that removes the hook.
   */
  onDrain(hook: (client: this, notice: DrainNotice) => unknown): Disposer {
    return this.#hooks.drain.add(hook);
  }

  /**
   * Runs when the server announces that this client's token is about to expire, with the milliseconds left. The hook
   * returns new credentials; without a hook, or if it returns nothing, the option `credentials` provides them. If the
   * server gets no valid token in time, the connection ends with IDENTITY_EXPIRED. Replaces an earlier hook. Returns
   * a function that removes the hook.
   */
  onCredentialsExpiring(hook: RenewalHook): Disposer {
    return this.#connections.renewal.setHook(hook);
  }

  /** Runs when the server has sent a file to a folder of this side. Returns a function that removes the hook. */
  onFileReceived(hook: (client: Client<C>, file: TransferredFile) => unknown): Disposer {
    return this.#core.fileReceivedHooks.add(hook);
  }

  /** Runs when the server has downloaded a file from a folder of this side. Returns a function that removes the hook. */
  onFileSent(hook: (client: Client<C>, file: TransferredFile) => unknown): Disposer {
    return this.#core.fileSentHooks.add(hook);
  }

  /**
   * Runs when the client stops delivering a message from the server: its handlers have failed as many times as the
   * server allows (`ack.deliveries`). Returns a function that removes the hook.
   */
  onDeadLetter(hook: (letter: DeadLetter) => unknown): Disposer {
    return this.#core.deadLetterHooks.add(hook);
  }

  /** Runs on every error that no caller receives. Returns a function that removes the hook. */
  onError(hook: (error: Error, context: ErrorContext<Client<C>>) => unknown): Disposer {
    return this.#core.errorHooks.add(hook);
  }

  /** Runs on messages whose type has no handler. Returns a function that removes the hook. */
  onUnknown(hook: (client: Client<C>, type: string, data: unknown) => unknown): Disposer {
    return this.#core.unknownHooks.add(hook);
  }

  /** Runs on every change of `state`, with its reason. Returns a function that removes the listener. */
  onStateChange(listener: (change: StateChange) => unknown): Disposer {
    return this.#connections.onStateChange(listener);
  }

  // --- topics -------------------------------------------------------------------------------------------------------

  /**
   * Subscribes to a topic of the server. While the client isn't connected, the subscription waits; `ready` and the
   * iteration reject if the server doesn't accept it. Without a contract, `T` states the type of the data, which
   * isn't validated. A client may have several subscriptions to one topic, each with its own buffer; on the server
   * they count as one.
   * @throws ConduitError INVALID_CONFIG
   */
  subscribe<T = unknown, N extends TopicName<C> = TopicName<C>>(
    name: N,
    options: SubscribeOptions = {},
  ): Subscription<TopicOutput<C, N, T>> {
    return this._subscriptions.subscribe(name, options);
  }

  /** Runs when the server has subscribed this client to a topic by `topic.add`. Returns a function that removes the hook. */
  onSubscribed(hook: (subscription: Subscription) => unknown): Disposer {
    return this._subscriptions.onSubscribed(hook);
  }

  /**
   * Publishes data to a topic, if the server allows it. Resolves when the server has published it. Rejects like
   * `call`, with NOT_FOUND or PERMISSION_DENIED, and with PEER_UNSUPPORTED if the server doesn't support topics.
   */
  async publish<N extends TopicName<C>>(
    name: N,
    ...[data, options]: PublishArguments<C, N, CallOptions>
  ): Promise<void> {
    const connection = this.#connections.current;
    if (connection?.isOpen === true && connection.extension(topic) === undefined) {
      throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, `Cannot publish to '${name}': the server has no topics`);
    }
    await publishTopic(this._outgoing, topicValidator(this.#contract, name), name, data, options);
  }

  /** @internal */
  protected get _subscriptions(): Subscriptions {
    if (this.#subscriptions !== null) return this.#subscriptions;
    const host: SubscriptionsHost = {
      wheel: this.#core.wheel,
      receiveQueueBytes: this.config.receiveQueueBytes,
      connection: () => this.#connections.usable,
      mayConnect: () => this.#connections.mayConnect,
      validatorOf: (name) => topicValidator(this.#contract, name),
      reportInvalid: (error, name) => {
        const connection = this.#connections.current;
        if (connection === null) this.#core.reportError(error, "message", this, name);
        else connection.messageFailed(asConduitError(error), name);
      },
      hookFailed: (name, error) => this.#core.hookFailed(name, error),
    };
    this.#subscriptions = new Subscriptions(host);
    this.#connections.receiveTopics();
    return this.#subscriptions;
  }

  // --- life ---------------------------------------------------------------------------------------------------------

  /**
   * Connects and logs in. Resolves when the client is logged in and the `onConnect` hooks have finished, or
   * immediately if it is already connected. While the client waits to reconnect, this starts the next attempt
   * immediately.
   * @throws ConduitError CONNECTION_REFUSED, HOST_UNREACHABLE, CONNECT_TIMEOUT, AUTH_FAILED, AUTH_TIMEOUT,
   *   SERVER_FULL, SERVER_STOPPING, RATE_LIMITED (too many failed logins from this address), PASSWORD_HASH_REFUSED,
   *   LOGIN_METHOD_REFUSED, INSECURE_CONNECTION (a token over plain TCP), SERVER_NOT_TRUSTED, CONNECTION_CLOSED and
   *   CONNECTION_RESET (the server closed the connection), NOT_NETCONDUIT, TLS_UNTRUSTED, TLS_WRONG_NAME and the
   *   other TLS codes, INVALID_STATE (option `complete`), INVALID_CONFIG (the return value of the function
   *   `credentials`, or the files of `tls`); any error thrown by a function in the options
   */
  async connect(): Promise<void> {
    if (this.#connections.isReady) return;
    if (this.config.complete) this.#core.registration.mustBeComplete("connect");
    this.#core.begin();
    try {
      await this.#connections.connect();
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  /**
   * Resolves when the client is connected: immediately, or after its next login. Doesn't start connecting.
   * @throws ConduitError CONNECTION_CLOSED when the client is closed or has given up, and until `connect` is called again;
   *   TIMEOUT, CANCELLED
   */
  async connected(options: ConnectedOptions = {}): Promise<void> {
    checkConnectedOptions(options);
    if (this.#connections.isReady) return;
    if (this._hasEnded) throw wontConnect(null);
    try {
      this.#readyWaits ??= new ReadyWaits(this.#core.runtimeContext.runtime);
      await this.#readyWaits.wait(options);
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  /** @internal */
  protected override _connectedAgain(signal: AbortSignal | undefined): Promise<void> {
    return this.connected({ signal });
  }

  /** Alias of `close`. */
  disconnect(reason?: string): Promise<void> {
    return this.close(reason);
  }

  /**
   * Flushes the send queue, closes the connection and stops reconnecting. Pending calls reject with
   * CONNECTION_CLOSED. Resolves when the connection has closed; it is aborted after `closeTimeoutMs`. The client can
   * be connected again.
   */
  async close(reason = "Closed by the client"): Promise<void> {
    const dial = this.#connections.callOff();
    this.#subscriptions?.endAll(null);
    this._endPauses();
    this.#readyWaits?.fail(calledOff);
    // `connect` may have been called during the close.
    if (await this.#connections.closeAll(reason, dial)) this.#core.end();
  }

  /**
   * Lets the process exit while the client is connected or waits to reconnect. A login in progress still keeps it
   * running. Undone by `ref`.
   */
  unref(): this {
    this.#connections.keepsRunning = false;
    return this;
  }

  /** Makes the client keep the process running, which is the default. */
  ref(): this {
    this.#connections.keepsRunning = true;
    return this;
  }

  /** Disconnects at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // --- for pools ----------------------------------------------------------------------------------------------------

  /** @internal `connect` has failed: reconnects as after a lost connection, or gives up. */
  protected _tryAgain(error: unknown): void {
    this.#connections.tryAgain(error);
  }

  /** @internal The client won't reconnect automatically. */
  protected _gaveUp(reason: () => Error): void {
    this.#connections.giveUp(reason);
    this.#subscriptions?.endAll(asConduitError(reason()));
    this._endPauses();
    this.#readyWaits?.fail(() => wontConnect(reason()));
  }

  /** @internal */
  protected _hookFailed(name: string, error: unknown): void {
    this.#core.hookFailed(name, error);
  }

  /** @internal */
  protected _report(error: unknown, stage: "message" | "rpc", name: string): void {
    this.#core.reportError(error, stage, undefined, name);
  }
}

function parseInit<C extends Contract>(options: ClientInit<C>): { contract: C | null; config: ClientConfig } {
  if (typeof options !== "object" || options === null || !("contract" in options)) {
    const config = parseClientOptions(options);
    return { contract: parseContract<C>(undefined, config.complete, "the client"), config };
  }
  const { contract, ...rest } = options;
  const config = parseClientOptions(rest);
  return { contract: parseContract(contract, config.complete, "the client"), config };
}

/** Any client, with any contract. `any`, because the class is invariant in its type parameter. */
// biome-ignore lint/suspicious/noExplicitAny: see above
export type AnyClient = Client<any>;
