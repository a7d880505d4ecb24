/** A pool of clients, which distributes calls and messages over several servers and avoids those that fail or stop. */

import type { Client } from "../client/client.ts";
import { OfflineQueue } from "../client/offline-queue.ts";
import { OfflineSender } from "../client/offline-sender.ts";
import { QueuedAttempts } from "../client/queued-attempts.ts";
import { calledOff, type FailedAttempt } from "../client/reconnector.ts";
import { publishTopic } from "../client/topics/publish-topic.ts";
import type { SubscribeOptions, Subscription } from "../client/topics/subscription.ts";
import type { CloseReason } from "../connection/close-reason.ts";
import type { ConnectionState } from "../connection/connection-state.ts";
import type { DrainNotice } from "../connection/extension.ts";
import { type RuntimeContext, runtimeContextOf } from "../context/runtime-context.ts";
import type { MessageAttempts, RepeatingSender } from "../endpoint/acknowledged-send.ts";
import {
  type CallOptions,
  resultValidator,
  type StreamOptions,
  type TypedCallOptions,
  type TypedStreamOptions,
} from "../endpoint/call-options.ts";
import {
  agreedResults,
  type ContractOption,
  parseContract,
  type ResultValidators,
  topicValidator,
} from "../endpoint/contract-option.ts";
import type { ErrorContext } from "../endpoint/endpoint-core.ts";
import { CALL_ALL_OPTIONS } from "../endpoint/known-call-options.ts";
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
import { withParent } from "../endpoint/nested-call.ts";
import { type Outgoing, RemoteCaller } from "../endpoint/remote-caller.ts";
import { asConduitError, asError, type Called, ConduitError, cannot, ErrorCode, withCallerStack } from "../errors.ts";
import type { RemoteFiles } from "../extensions/files/remote-files.ts";
import type {
  CallArguments,
  CallResult,
  Contract,
  DataArguments,
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
  StatedResult,
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
import type { ItemStream } from "../rpc/request-streams.ts";
import type { InferOutput, Schema } from "../rpc/schema.ts";
import type { Validator } from "../rpc/validation.ts";
import type { Runtime } from "../runtime.ts";
import { KnownOptions } from "../util/known-options.ts";
import type { EncodedValue } from "../wire/encoded-value.ts";
import type { FrameWriter } from "../wire/frame-writer.ts";
import { type Attempt, failuresOf, notConnected } from "./connect-failures.ts";
import { OnceAttempts } from "./once-attempts.ts";
import { isUsable, type PoolConnection } from "./pool-connection.ts";
import { PoolMembers } from "./pool-members.ts";
import { type PoolConfig, type PoolOptions, parsePoolOptions } from "./pool-options.ts";
import { PoolSender } from "./pool-sender.ts";
import { type PoolStats, serverStats, sumOf } from "./pool-stats.ts";
import { PoolSubscriptions } from "./pool-subscriptions.ts";
import { type PoolServer, ServerLookup } from "./server-lookup.ts";
import { type Choose, chooserOf } from "./strategy.ts";

/** Options of a pool, and its contract. */
export type PoolInit<C extends Contract = Contract> = PoolOptions & ContractOption<C>;

/** Options of `pool.connect`. */
export interface PoolConnectOptions {
  /** Wait for every server, not just for the first. Default false. */
  readonly all?: boolean | undefined;
}

const CONNECT = new KnownOptions<PoolConnectOptions>("pool.connect", { all: true });

/** One server's answer, or its error. `server` is its address: `10.0.0.1:8080`, `unix:/run/app.sock`. */
export type PoolResult<T> =
  | { readonly server: string; readonly ok: true; readonly result: T }
  | { readonly server: string; readonly ok: false; readonly error: ConduitError };

/**
 * Clients of several equivalent servers. The runtime packages export it bound to their runtime; here it takes the
 * runtime as its second argument. `C` is the contract's type, as in `Client`.
 */
export class ClientPool<C extends Contract = Contract> extends RemoteCaller<C, "server"> {
  /** All options, with defaults filled in. */
  readonly config: PoolConfig;
  readonly #contract: C | null;
  readonly #results: ResultValidators | null;
  readonly #runtime: Runtime;
  readonly #context: RuntimeContext;
  readonly #members: PoolMembers<C>;
  readonly #queue: OfflineQueue<Outgoing>;
  readonly #offline: OfflineSender;
  readonly #sender: PoolSender;
  readonly #lookup: ServerLookup;
  readonly #choose: Choose;
  readonly #subscriptions: PoolSubscriptions;
  /** Connections that accept calls. */
  #usable: readonly PoolConnection<C>[] = [];
  #phase: "new" | "connecting" | "open" | "closed" = "new";
  #connecting: Promise<readonly Attempt[]> | null = null;
  /** Number of `close` calls, to detect a `connect` that was overtaken by one. */
  #closings = 0;

  /** @throws ConduitError INVALID_CONFIG, naming each invalid option with its rule and value */
  constructor(options: PoolInit<C>, runtime: Runtime) {
    const { contract, ...rest } = options ?? {};
    super();
    this.config = parsePoolOptions(options === undefined ? options : rest);
    this.#contract = parseContract(contract, this.config.complete, "the pool");
    this.#results = agreedResults(contract?.server);
    this.#runtime = runtime;
    this.#context = runtimeContextOf(runtime);
    const { strategy, rpcTimeoutMs, queueWhileDisconnected, maxMessageBytes } = this.config;
    const queues = queueWhileDisconnected === "send";
    this.#members = new PoolMembers({
      config: this.config,
      contract,
      runtime,
      stateChanged: (from, to) => this.#stateChanged(from, to),
      gaveUp: (error) => this.#gaveUp(error),
    });
    this.#queue = new OfflineQueue(this.#context.wheel, this.config);
    this.#offline = new OfflineSender(this.#queue, {
      rpcTimeoutMs,
      writer: this.#context.writer(maxMessageBytes, false),
      mustQueue: (called, isAttempt) => this.#mustQueue(called, isAttempt),
      clock: runtime,
      streamConnection: () => null,
      whyNoStream: () => this.#whyNotSent,
      isTemporary: () => !this.#isUnused && this.#mayConnect,
      sendFailed: (error, stage, name) => this.#members.connections[0]?.report(error, stage, name),
    });
    const measures = strategy === "least-latency";
    const choose = chooserOf(strategy);
    this.#choose = choose;
    this.#subscriptions = new PoolSubscriptions({
      receiveQueueBytes: this.config.receiveQueueBytes,
      choose: () => (this.#usable.length === 0 ? null : choose(this.#usable)),
      isUsable: (home) => this.#usable.some((connection) => connection === home),
      mayConnect: () => this.#mayConnect,
      hookFailed: (name, error) => this.#members.connections[0]?.hookFailed(name, error),
    });
    this.#sender = new PoolSender({ choose, measures, rpcTimeoutMs, clock: runtime, offline: this.#offline, queues });
    this.#lookup = new ServerLookup(runtime, this.config, (servers) => this.#found(servers));
  }

  /** The connections of the pool, whether connected or not. */
  get clients(): readonly Client<C>[] {
    return this.#members.connections.map(({ client }) => client);
  }

  /** Whether at least one server accepts calls. */
  get isConnected(): boolean {
    return this.#sender.usable.length > 0;
  }

  get stats(): PoolStats {
    const servers = [...this.#members.byServer()].map(([server, connections]) => serverStats(server, connections));
    return {
      servers,
      connectedServers: servers.filter(({ connected }) => connected > 0).length,
      pendingCalls: sumOf(servers.map(({ pendingCalls }) => pendingCalls)),
      queued: this.#queue.size,
      movedCalls: this.#sender.movedCalls,
    };
  }

  /** @internal */
  protected get _runtimeContext(): RuntimeContext {
    return runtimeContextOf(this.#runtime);
  }

  /** @internal */
  protected get _outgoing(): Outgoing {
    return this.#sender;
  }

  /** @internal */
  protected override get _repeating(): RepeatingSender {
    return { ...super._repeating, attempts: () => new OnceAttempts(this.#sender) };
  }

  /** @internal */
  protected override _messageAttempts(): MessageAttempts {
    const attempts = new OnceAttempts(this.#sender);
    const way = (): OnceAttempts | null => (attempts.canGoOn ? attempts : null);
    return new QueuedAttempts(this.#queue, this.#offline, { way, canLeave: () => attempts.canGoOn });
  }

  /** @internal */
  protected override get _hasEnded(): boolean {
    return this.#isClosed || (this.#phase === "open" && !this.#mayConnect);
  }

  /** @internal */
  protected override _agreedResult(method: string): Validator<unknown> | null {
    return this.#results?.get(method) ?? null;
  }

  // --- all servers --------------------------------------------------------------------------------------------------

  /**
   * Calls a method on every server, over one connection each. Resolves with one entry per server, in the order of
   * `stats.servers`: the result, or the error as a value, which is CONNECTION_CLOSED for a disconnected server. Takes
   * the same arguments as `call`. Rejects only with UNSERIALIZABLE and MESSAGE_TOO_LARGE, when nothing was sent.
   */
  callAll<
    T extends StatedResult<C, "server"> = StatedResult<C, "server">,
    M extends NameBound<MethodName<C, "server">> = NameBound<MethodName<C, "server">>,
    R extends Schema = never,
  >(
    method: M & string,
    ...paramsAndOptions: CallArguments<C, "server", M, CallOptions | TypedCallOptions<R>>
  ): Promise<PoolResult<CallResult<C, "server", NoInfer<T>, M, R>>[]>;
  async callAll(method: string, params?: unknown, given?: CallOptions): Promise<PoolResult<unknown>[]> {
    try {
      CALL_ALL_OPTIONS.check(given, method);
      const options = withParent(method, given);
      const value = this.#writer.encodeParams(method, params);
      const validator = resultValidator(options);
      const one = async (server: string, connections: readonly PoolConnection<C>[]): Promise<PoolResult<unknown>> => {
        try {
          const { outgoing } = connectionTo(server, connections, method);
          return { server, ok: true, result: await outgoing.call(method, value, options, validator) };
        } catch (error) {
          return { server, ok: false, error: asConduitError(error) };
        }
      };
      return await Promise.all([...this.#members.byServer()].map(([server, connections]) => one(server, connections)));
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  /**
   * Sends a message to every server, over one connection each. Returns one entry per server, in the order of
   * `stats.servers`: whether its send queue has room for more, or the error as a value (CONNECTION_CLOSED,
   * SEND_QUEUE_FULL).
   * @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE; nothing was sent
   */
  broadcast<T extends NameBound<MessageType<C, "server">>>(
    type: T & string,
    ...data: DataArguments<C, "server", T>
  ): PoolResult<boolean>[];
  broadcast(type: string, data?: unknown): PoolResult<boolean>[] {
    const value = this.#encodedData(type, data);
    return [...this.#members.byServer()].map(([server, connections]): PoolResult<boolean> => {
      try {
        const { outgoing } = connectionTo(server, connections, type);
        return { server, ok: true, result: outgoing.sendMessage(type, value) };
      } catch (error) {
        return { server, ok: false, error: asConduitError(error) };
      }
    });
  }

  // --- topics and files of one server -------------------------------------------------------------------------------

  /**
   * Like `Client.subscribe`, at one of the servers. The subscription waits while no server accepts calls. When its
   * server fails or stops, it moves to another one, and `onResume` gets `{recovered: false, missed: null}`, because
   * each server numbers its own messages.
   * @throws ConduitError INVALID_CONFIG
   */
  subscribe<T = unknown, N extends TopicName<C> = TopicName<C>>(
    name: N,
    options: SubscribeOptions = {},
  ): Subscription<TopicOutput<C, N, T>> {
    return this.#subscriptions.subscribe(name, options);
  }

  /** Runs when a server has subscribed one of the clients by `topic.add`. Returns a function that removes the hook. */
  onSubscribed(hook: (subscription: Subscription) => unknown): Disposer {
    return this.#members.register((client) => client.onSubscribed(hook));
  }

  /** Like `Client.publish`, at one of the servers, to its subscribers. Moves to another server as calls do. */
  async publish<N extends TopicName<C>>(
    name: N,
    ...[data, options]: PublishArguments<C, N, CallOptions>
  ): Promise<void> {
    await publishTopic(this._outgoing, topicValidator(this.#contract, name), name, data, options);
  }

  /**
   * Like `Client.files`, for a folder of one of the servers. The server is chosen by this call and stays the same,
   * because a transfer can only be resumed at the server that has its first part.
   * @throws ConduitError CONNECTION_CLOSED if no server accepts calls
   */
  files(name: FolderName<C, "server">): RemoteFiles {
    if (this.#usable.length > 0) return this.#choose(this.#usable).client.files(name);
    const message = `Cannot use the folder '${name}': no server takes calls now`;
    throw new ConduitError(ErrorCode.CONNECTION_CLOSED, message, { details: { started: false } });
  }

  // --- registration -------------------------------------------------------------------------------------------------

  /** Like `Client.rpc`, for calls from all servers. `context.client` is the connection that a call came from. */
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
  rpc(method: unknown, schemaOrHandler: unknown, maybeHandler?: unknown): Disposer {
    return this.#members.register((client) =>
      client.rpc(method as never, schemaOrHandler as never, maybeHandler as never),
    );
  }

  /**
   * With a handler, like `Client.stream`: registers a method that returns a stream of items, for calls from all
   * servers. Without a handler: calls such a method of one of the servers.
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
  /** Calls a method that a server registered with `stream`, and returns its items; see `RemoteCaller.stream`. */
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
  override stream(stream: unknown, second?: unknown, third?: unknown): Disposer | ItemStream<unknown> {
    if (typeof second === "function" || typeof third === "function") {
      return this.#members.register((client) => client.stream(stream as never, second as never, third as never));
    }
    return this._stream(stream as string, second, third as StreamOptions | undefined);
  }

  /** Like `Client.implement`, for calls from all servers. */
  implement(handlers: MethodHandlers<C, "client", Client<C>>): Disposer {
    return this.#members.register((client) => client.implement(handlers));
  }

  /** Like `Client.on`, for messages from all servers. `context.client` is the connection that a message came from. */
  on<T extends NameBound<MessageType<C, "client">>>(
    type: (T & string) | readonly (T & string)[],
    handler: ServerMessageHandler<MessageOutput<C, "client", T>, Client<C>>,
  ): Disposer;
  on<T extends NameBound<MessageType<C, "client">>, M extends MessageSchema<C, "client", T>>(
    type: (T & string) | readonly (T & string)[],
    schema: M,
    handler: ServerMessageHandler<InferOutput<M>, Client<C>>,
  ): Disposer;
  on(type: unknown, schemaOrHandler: unknown, maybeHandler?: unknown): Disposer {
    return this.#members.register((client) =>
      client.on(type as never, schemaOrHandler as never, maybeHandler as never),
    );
  }

  /** Runs after every login of a connection, including reconnects. Returns a function that removes the hook. */
  onConnect(hook: (client: Client<C>) => unknown): Disposer {
    return this.#members.register((client) => client.onConnect(hook));
  }

  /** Runs once each time a logged-in connection ends, with the reason. Returns a function that removes the hook. */
  onDisconnect(hook: (client: Client<C>, reason: CloseReason) => unknown): Disposer {
    return this.#members.register((client) => client.onDisconnect(hook));
  }

  /** Runs after `onConnect` if the connection was a reconnect. Returns a function that removes the hook. */
  onReconnect(hook: (client: Client<C>) => unknown): Disposer {
    return this.#members.register((client) => client.onReconnect(hook));
  }

  /** Like `Client.onReconnectAttemptFailed`, for all connections. Returns a function that removes the hook. */
  onReconnectAttemptFailed(hook: (client: Client<C>, attempt: FailedAttempt) => unknown): Disposer {
    return this.#members.register((client) => client.onReconnectAttemptFailed(hook));
  }

  /** Runs when a server is about to stop. It gets no new calls. Returns a function that removes the hook. */
  onDrain(hook: (client: Client<C>, notice: DrainNotice) => unknown): Disposer {
    return this.#members.register((client) => client.onDrain(hook));
  }

  /** Runs on every error that no caller receives. Returns a function that removes the hook. */
  onError(hook: (error: Error, context: ErrorContext<Client<C>>) => unknown): Disposer {
    return this.#members.register((client) => client.onError(hook));
  }

  /** Runs on messages whose type has no handler. Returns a function that removes the hook. */
  onUnknown(hook: (client: Client<C>, type: string, data: unknown) => unknown): Disposer {
    return this.#members.register((client) => client.onUnknown(hook));
  }

  // --- life ---------------------------------------------------------------------------------------------------------

  /**
   * Connects to all servers. Resolves when one is connected, or with `all` when all are. Attempts to connect to the
   * others are repeated, as after a lost connection, until `disconnect`.
   * @throws the error of the only connection; for several, a ConduitError with the code of the first failure, and all
   *   failures in `details.servers`: `{server, code, message}`. If no server could be connected, no attempt is
   *   repeated
   */
  async connect(options: PoolConnectOptions = {}): Promise<void> {
    try {
      CONNECT.check(options);
      const { all = false } = options;
      this.#connecting ??= this.#connect();
      const attempts = await this.#connecting;
      const failures = all ? await failuresOf(attempts) : [];
      if (failures.length > 0) throw notConnected(failures, attempts.length);
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  /** Alias of `close`. */
  disconnect(reason?: string): Promise<void> {
    return this.close(reason);
  }

  /**
   * Closes all connections like `Client.close`, and stops reconnecting. Resolves when they have closed. The pool can
   * be connected again.
   */
  async close(reason = "Closed by the client"): Promise<void> {
    this.#phase = "closed";
    this.#closings += 1;
    this.#connecting = null;
    if (this.#queue.size > 0) this.#queue.rejectAll(calledOff());
    this.#subscriptions.endAll(null);
    this.#offline.endPauses();
    this._endPauses();
    await this.#end(reason);
  }

  /** Lets the process exit while the pool is connected or waits to reconnect, like `Client.unref`. Undone by `ref`. */
  unref(): this {
    this.#members.keepsRunning = false;
    return this;
  }

  /** Makes the pool keep the process running, which is the default. */
  ref(): this {
    this.#members.keepsRunning = true;
    return this;
  }

  /** Disconnects at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #encodedData(type: string, data: unknown): EncodedValue {
    try {
      return this.#writer.encodeData(type, data);
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  get #writer(): FrameWriter {
    return this.#context.writer(this.config.maxMessageBytes, false);
  }

  get #isClosed(): boolean {
    return this.#phase === "closed";
  }

  /** Whether `connect` was never called, or the pool was closed. */
  get #isUnused(): boolean {
    return this.#phase === "new" || this.#isClosed;
  }

  /** Whether a server may become connected later. */
  get #mayConnect(): boolean {
    return !this.#isClosed && this.#members.connections.some(({ hasGivenUp }) => !hasGivenUp);
  }

  /** Resolves once a server is connected. If none could be connected, stops everything and rejects. */
  async #connect(): Promise<readonly Attempt[]> {
    const closings = this.#closings;
    const wasClosed = (): boolean => closings !== this.#closings;
    const wasOpen = this.#phase === "open";
    if (!wasOpen) this.#phase = "connecting";
    await this.#lookup.start();
    if (wasClosed()) throw calledOff();
    const attempts = this.#members.connections.map((connection) => {
      return { connection, server: connection.address, done: connection.connect() };
    });
    const first = Promise.any(attempts.map(({ done }) => done));
    if (!(await first.then(yes, no))) {
      const failures = await failuresOf(attempts);
      if (!wasClosed()) await this.#end("Not connected");
      if (!wasClosed()) {
        this.#phase = "new";
        this.#connecting = null;
      }
      const error = notConnected(failures, attempts.length);
      if (!wasClosed()) {
        this.#subscriptions.endAll(asConduitError(error));
        if (this.config.queueWhileDisconnected !== "send") this.#queue.rejectAll(asError(error));
      }
      throw error;
    }
    if (wasClosed()) throw calledOff();
    this.#phase = "open";
    this.#connecting = null;
    for (const { connection, done } of attempts) done.catch((error) => connection.tryAgain(error));
    if (!wasOpen) {
      // Found by a look-up after the attempts were started.
      const tried = new Set(attempts.map(({ connection }) => connection));
      this.#connectAll(this.#members.connections.filter((connection) => !tried.has(connection)));
    }
    return attempts;
  }

  /** Closes all connections and stops look-ups. */
  async #end(reason: string): Promise<void> {
    this.#phase = "closed";
    this.#lookup.stop();
    await this.#members.closeAll(reason);
    this.#context.releaseIdleState();
  }

  /** Sets the servers. */
  #found(servers: readonly PoolServer[]): void {
    const added = this.#members.found(servers);
    this.#usableChanged();
    // During `connect`, added servers wait until the first one is connected.
    if (this.#phase === "open") this.#connectAll(added);
  }

  /** Connects to servers, retrying on failure. */
  #connectAll(connections: readonly PoolConnection<C>[]): void {
    for (const connection of connections) connection.connect().catch((error) => connection.tryAgain(error));
  }

  #stateChanged(from: ConnectionState, to: ConnectionState): void {
    if (isUsable(from) !== isUsable(to)) this.#usableChanged();
    if (to === "draining" || to === "closed" || to === "failed") this.#lookup.lookUpSoon();
  }

  #usableChanged(): void {
    this.#usable = this.#members.usable;
    this.#sender.usable = this.#usable;
    this.#subscriptions.usableChanged();
    this._connectionLost();
    this.#sendQueued();
  }

  #sendQueued(): void {
    if (this.#sender.usable.length > 0 && this.#queue.size > 0) this.#queue.sendAll(this.#sender);
  }

  /** A client won't reconnect automatically. */
  #gaveUp(error: Error): void {
    if (this.#mayConnect) {
      // Queued calls may have been waiting for that server's keys.
      this.#sendQueued();
      return;
    }
    if (this.#queue.size > 0) this.#queue.rejectAll(error);
    this.#subscriptions.endAll(asConduitError(error));
    this._endPauses();
  }

  /** @throws ConduitError CONNECTION_CLOSED unless calls are queued and can still be sent later */
  #mustQueue(called: Called, isAttempt: boolean): void {
    const isQueued = this.config.queueWhileDisconnected === "send" || (isAttempt && !this.#isUnused);
    if (isQueued && this.#mayConnect) return;
    const message = `${cannot("send", called)}: ${this.#whyNotSent}`;
    throw new ConduitError(ErrorCode.CONNECTION_CLOSED, message, { details: { started: false } });
  }

  get #whyNotSent(): string {
    if (this.#isUnused) return "not connected; call connect() first";
    const states = [...this.#members.byServer()].map(
      ([server, [connection]]) => `${server} is ${connection?.client.state}`,
    );
    return `no server takes it now (${states.join(", ")})`;
  }
}

/** The connection to a server with the fewest pending calls. @throws ConduitError CONNECTION_CLOSED */
function connectionTo<C extends Contract>(
  server: string,
  connections: readonly PoolConnection<C>[],
  name: string,
): PoolConnection<C> {
  const [first, ...others] = connections.filter(({ isUsable: takesCalls }) => takesCalls);
  if (first === undefined) {
    const message = `Cannot send '${name}' to ${server}: not connected (${connections[0]?.client.state})`;
    throw new ConduitError(ErrorCode.CONNECTION_CLOSED, message, { details: { started: false } });
  }
  return others.reduce((best, one) => (one.pendingCalls < best.pendingCalls ? one : best), first);
}

const yes = (): boolean => true;
const no = (): boolean => false;
