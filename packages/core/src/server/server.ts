/** The server: accepts connections, logs clients in and owns their connections. */

import { identityOf } from "../auth/user.ts";
import type { UserEntry } from "../auth/users.ts";
import { ServerAddress } from "../bytes/address.ts";
import type { Cluster, ClusterAnswer, ConnectionCount, ConnectionPage, Revocation } from "../cluster/cluster.ts";
import type { ConnectionFilter } from "../cluster/connection-filter.ts";
import type { ClusterDriver } from "../cluster/driver.ts";
import type { NodePeer } from "../cluster/node-peer.ts";
import type { CloseReason } from "../connection/close-reason.ts";
import type { AnyExtension } from "../connection/extension.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { SendingOptions, Sent } from "../endpoint/call-options.ts";
import { agreedTopic, type ContractOption, parseContract } from "../endpoint/contract-option.ts";
import type { DeadLetter } from "../endpoint/dead-letter.ts";
import { EndpointCore, type ErrorContext } from "../endpoint/endpoint-core.ts";
import { HandlerGroup } from "../endpoint/handler-group.ts";
import type {
  ClientMessageHandler,
  Disposer,
  InputSchema,
  MessageOptions,
  MethodDefinition,
  MethodHandler,
  MethodHandlers,
  StreamDefinition,
  StreamHandler,
} from "../endpoint/method-types.ts";
import { ConduitError, ErrorCode, forCaller } from "../errors.ts";
import type { FolderOptions } from "../extensions/files/folder-options.ts";
import type { TransferredFile } from "../extensions/files/served-folder.ts";
import { builtInExtensions } from "../extensions/index.ts";
import type { Denial } from "../rpc/access.ts";
import { type AllKinds, anyClientSide, type ClientKind, ClientKinds, mustHaveKind } from "../rpc/client-kinds.ts";
import type {
  Contract,
  FolderName,
  MessageArguments,
  MessageOutput,
  MessageSchema,
  MessageType,
  MethodName,
  NameBound,
  ParamsSchema,
  PatternTopic,
  ResultSchema,
  SingleTopic,
  StreamItemSchema,
  StreamName,
  StreamParamsSchema,
  TopicSchema,
} from "../rpc/contract.ts";
import type { HandlerContext } from "../rpc/incoming-request.ts";
import type { AddedFields, Middleware } from "../rpc/middleware.ts";
import type { InferInput, InferOutput, Schema } from "../rpc/schema.ts";
import type { Listener, Runtime, TlsServerOptions } from "../runtime.ts";
import { describeValue } from "../text/describe-value.ts";
import { isThenable } from "../util/is-thenable.ts";
import type { BroadcastOptions, SlowConsumer } from "./broadcast.ts";
import { ClientsOfKind } from "./clients-of-kind.ts";
import type { AnyConnection, Connection } from "./connection.ts";
import type { DeadLetters } from "./dead-letters.ts";
import type { Rejection } from "./login-manager.ts";
import {
  newConnectionId,
  ServerConnections,
  type ServerConnectionsHost,
  type ServerStats,
} from "./server-connections.ts";
import { ServerHooks } from "./server-hooks.ts";
import { ServerLifecycle, type ServerLifecycleHost, type ServerState, type StopOptions } from "./server-lifecycle.ts";
import { ServerListener } from "./server-listener.ts";
import { type ListOptions, ServerNodes, type ServerNodesHost } from "./server-nodes.ts";
import { parseServerOptions, type ServerConfig, type ServerOptions } from "./server-options.ts";
import { ServerStore } from "./server-store.ts";
import { SlowConsumers } from "./slow-consumers.ts";
import type { Member } from "./topics/channel-host.ts";
import { makeTopicHub } from "./topics/make-topic-hub.ts";
import { Topic, TopicPattern } from "./topics/topic.ts";
import type { TopicHub } from "./topics/topic-hub.ts";
import type { TopicOptions, TopicPatternOptions } from "./topics/topic-options.ts";
import { parseUser } from "./user-options.ts";

const NOBODY: ReadonlySet<never> = new Set();

/** Options of a server, including its contract and `connectionData`. */
export interface ServerInit<C extends Contract = Contract, D extends object = Record<string, unknown>>
  extends ServerOptions,
    ContractOption<C> {
  /** Creates the initial `connection.data` and determines its type. Default: an empty object. */
  readonly connectionData?: (() => D) | undefined;
  /** Connects this server to others as nodes of a cluster. Each server needs its own driver. Default: no cluster. */
  readonly cluster?: ClusterDriver | undefined;
}

/**
 * A server. The runtime packages export it bound to their runtime; here it takes the runtime as its second argument.
 *
 * `C` is the contract's type and `D` the type of `connection.data`, both inferred from the options `contract` and
 * `connectionData`. Without a contract, any name and data are allowed. A contract type alone, without the option,
 * validates nothing.
 */
export class Server<C extends Contract = Contract, D extends object = Record<string, unknown>> {
  /** All options, with defaults filled in. */
  readonly config: ServerConfig;
  readonly #core: EndpointCore<Connection<C, D>>;
  readonly #connections: ServerConnections<C, D>;
  readonly #hooks: ServerHooks<this, Connection<C, D>>;
  readonly #slow: SlowConsumers<Connection<C, D>>;
  readonly #topics: TopicHub;
  readonly #nodes: ServerNodes;
  readonly #contract: Contract | null;
  /** Null if the contract has no kinds of clients. */
  readonly #kinds: ClientKinds | null;
  readonly #lifecycle: ServerLifecycle;
  readonly #store: ServerStore<Connection<C, D>>;
  readonly #listener: ServerListener;

  /** @throws ConduitError INVALID_CONFIG, naming each invalid option with its rule and value */
  constructor(options: ServerInit<C, D>, runtime: Runtime);
  /** @internal */
  constructor(options: ServerInit<C, D>, runtime: Runtime, extensions: readonly AnyExtension[]);
  constructor(options: ServerInit<C, D>, runtime: Runtime, extensions: readonly AnyExtension[] = builtInExtensions) {
    const { connectionData, contract: given, cluster, ...rest } = options ?? {};
    const config = parseServerOptions(typeof options === "object" && options !== null ? rest : options);
    const contract = parseContract(given, config.complete, "the server");
    if (connectionData !== undefined && typeof connectionData !== "function") {
      const message = `Invalid option connectionData of the server: must be a function, got ${describeValue(connectionData)}`;
      throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
    }
    const sides = contract === null ? {} : { own: contract.server ?? {}, peer: anyClientSide(contract) };
    const settings = {
      ...config,
      renewsCredentials: config.authenticate?.token !== undefined,
      onceKeys: () => this.#store.nameOnceKeys(),
    };
    this.#core = new EndpointCore(runtime, settings, sides, extensions, (connection) => connection.user.roles);
    this.#hooks = new ServerHooks<this, Connection<C, D>>(this, (name, error, connection) =>
      this.#core.hookFailed(name, error, connection),
    );
    this.#core.access.denied = (connection, denial) =>
      this.#core.hold(connection, this.#hooks.notifyDenied(connection, denial));
    this.#core.hookStarted = (connection, running, bytes) => connection._hookStarted(running, bytes);
    this.config = config;
    this.#contract = contract;
    this.#kinds = contract?.clients === undefined ? null : new ClientKinds(contract.clients);
    this.#listener = new ServerListener(runtime, config);
    this.#slow = new SlowConsumers({
      now: () => this.#core.now(),
      hookFailed: (error, connection) => this.#core.hookFailed("onSlowConsumer", error, connection),
    });
    this.#store = new ServerStore(this.#core, runtime, config.resume, () => this.#nodes.place);
    this.#connections = new ServerConnections(this.#connectionsHost(runtime, connectionData));
    this.#core.onceOwner = ({ user }) => identityOf(user);
    this.#core.userName = ({ user }) => user.name;
    this.#lifecycle = new ServerLifecycle(this.#lifecycleHost(runtime));
    this.#nodes = new ServerNodes(cluster, this.#nodesHost());
    this.#topics = makeTopicHub({
      cluster: this.#nodes.topics,
      core: this.#core as unknown as EndpointCore<AnyConnection>,
      config,
      agreedTopic: (name) => agreedTopic(contract, name),
      memberOf: (connection) => this.#connections.clients.get(connection.id) as Member | undefined,
      slowMember: (member, topic, missed, disconnect) =>
        this.#slow.found(member as ProtocolConnection<Connection<C, D>>, { disconnect, missed, topic }),
    });
  }

  get state(): ServerState {
    return this.#lifecycle.state;
  }

  get isRunning(): boolean {
    return this.#lifecycle.state === "running";
  }

  /** The listening address, with the actual port. Before `start`, the configured one. */
  get address(): ServerAddress {
    const { host, port, path } = this.#lifecycle.address ?? this.config;
    return path === undefined ? new ServerAddress(host, port, null) : new ServerAddress("", 0, path);
  }

  /** The connections of all logged-in clients. */
  get connections(): Connection<C, D>[] {
    return Array.from(this.#connections.clients.values(), (protocol) => protocol.peer);
  }

  get connectionCount(): number {
    return this.#connections.clients.size;
  }

  /** The logged-in connection with this id. @throws ConduitError INVALID_CONFIG if it isn't text */
  connection(id: string): Connection<C, D> | undefined {
    mustBeName("server.connection() takes the id of a connection, as in connection.id", id);
    return this.#connections.clients.get(id)?.peer;
  }

  /** This server's view of its cluster: state, nodes and losses. Null without the option `cluster`. */
  get cluster(): Cluster | null {
    return this.#nodes.cluster;
  }

  /** Counts the logged-in clients on all nodes. `missing` names the nodes that didn't answer. */
  count(options: { readonly where?: ConnectionFilter | undefined } = {}): Promise<ConnectionCount> {
    return this.#nodes.count(options);
  }

  /**
   * Returns a page of connections, ordered by node and then by connection id. For each page, a node examines all its
   * connections, or only those of the users named by `where`. `missing` names the nodes that didn't answer.
   * @throws ConduitError INVALID_CONFIG
   */
  listConnections(options: ListOptions = {}): Promise<ConnectionPage> {
    return this.#nodes.list(options);
  }

  /** Undeliverable messages in the store (option `resume.store`). */
  get deadLetters(): DeadLetters {
    return this.#store.deadLetters;
  }

  get stats(): ServerStats {
    return this.#connections.stats;
  }

  // --- registration -------------------------------------------------------------------------------------------------

  /**
   * Adds a middleware around all handlers, and hooks that take a connection, that are registered after it.
   * Middlewares run in the order in which they were added, as in koa.
   * @returns the server as a group of handlers, whose context type includes the fields that the middleware adds
   * @throws ConduitError INVALID_CONFIG
   */
  use<R>(
    middleware: Middleware<Connection<C, D>, unknown, R>,
  ): HandlerGroup<C, "server", Connection<C, D>, AddedFields<R>> {
    const { registration } = this.#core;
    const all = new HandlerGroup<C, "server", Connection<C, D>>(registration, registration);
    return all.use(middleware) as HandlerGroup<C, "server", Connection<C, D>, AddedFields<R>>;
  }

  /** Creates a group of handlers with its own middleware, which runs inside the middleware added to the server so far. */
  group(): HandlerGroup<C, "server", Connection<C, D>> {
    const { registration } = this.#core;
    return new HandlerGroup<C, "server", Connection<C, D>>(registration, registration).group();
  }

  /**
   * The clients of one kind in the contract's `clients`, which are those whose user has the kind as a role: registers
   * their handlers, lists their connections and broadcasts to them, with that kind's types.
   * @throws ConduitError INVALID_CONFIG if the contract has no such kind
   */
  clients<K extends ClientKind<C>>(kind: K): ClientsOfKind<C, D, K> {
    if (this.#contract !== null) mustHaveKind(this.#contract, kind);
    const { registration } = this.#core;
    const broadcast = (type: string, data: unknown, options: BroadcastOptions<C, D>): number => {
      this.#kinds?.mustBeForKind(type, kind);
      return this.#nodes.broadcast(type, data, options);
    };
    return new ClientsOfKind<C, D, K>({ connections: () => this.connections, broadcast }, registration, kind);
  }

  /**
   * Registers an RPC method.
   *
   * The handler receives the validated parameters and a context (caller, method, `AbortSignal`, deadline). Its return
   * value, or the value that its promise resolves with, is the result. An `RpcError`, thrown or returned, reaches the
   * caller with its code, message and details. Any other error reaches the caller as INTERNAL and goes to this side's
   * `onError`.
   *
   * Parameters and result are validated with the given schemas, or with the contract's by default.
   *
   * @returns a function that removes the method.
   * @throws ConduitError INVALID_STATE if the name is taken; INVALID_CONFIG if a schema is invalid
   */
  rpc<
    M extends NameBound<MethodName<C, "server">>,
    P extends ParamsSchema<C, "server", M> | undefined = undefined,
    R extends ResultSchema<C, "server", M> | undefined = undefined,
    I extends InputSchema = undefined,
    G extends Schema | undefined = undefined,
  >(
    method: (M & string) | MethodDefinition<P, R, M & string, I, G>,
    handler: MethodHandler<C, "server", M, P, R, Connection<C, D>, I, unknown, G>,
  ): Disposer;
  rpc<M extends NameBound<MethodName<C, "server">>, P extends ParamsSchema<C, "server", M>>(
    name: M & string,
    params: P,
    handler: MethodHandler<C, "server", M, P, undefined, Connection<C, D>>,
  ): Disposer;
  rpc(
    method: string | MethodDefinition,
    schemaOrHandler: Schema | ((params: never, context: HandlerContext<Connection<C, D>>) => unknown),
    maybeHandler?: (params: never, context: HandlerContext<Connection<C, D>>) => unknown,
  ): Disposer {
    return this.#core.registration.addMethod(method, schemaOrHandler, maybeHandler);
  }

  /**
   * Registers a method that returns a stream of items: the handler is an `async function*`, or returns an async
   * iterable, an iterable or a web `ReadableStream`. The next item is requested when the caller has room for it. When
   * the caller leaves, the handler's `finally` runs and `context.signal` fires. Parameters, errors and names work as
   * in `rpc`.
   *
   * @returns a function that removes the method.
   * @throws ConduitError INVALID_STATE if the name is taken; INVALID_CONFIG if a schema is invalid
   */
  stream<
    M extends NameBound<StreamName<C, "server">>,
    P extends StreamParamsSchema<C, "server", M> | undefined = undefined,
    O extends StreamItemSchema<C, "server", M> | undefined = undefined,
    I extends InputSchema = undefined,
    G extends Schema | undefined = undefined,
  >(
    stream: (M & string) | StreamDefinition<P, O, M & string, I, G>,
    handler: StreamHandler<C, "server", M, P, O, Connection<C, D>, I, unknown, G>,
  ): Disposer;
  stream<M extends NameBound<StreamName<C, "server">>, P extends StreamParamsSchema<C, "server", M>>(
    name: M & string,
    params: P,
    handler: StreamHandler<C, "server", M, P, undefined, Connection<C, D>>,
  ): Disposer;
  stream(
    stream: string | StreamDefinition,
    schemaOrHandler: Schema | ((params: never, context: HandlerContext<Connection<C, D>, never>) => unknown),
    maybeHandler?: (params: never, context: HandlerContext<Connection<C, D>, never>) => unknown,
  ): Disposer {
    return this.#core.registration.addStream(stream, schemaOrHandler, maybeHandler);
  }

  /**
   * Registers a handler for every method that the contract lists for servers, by name. It doesn't compile if one is
   * missing. To register handlers one at a time, use `rpc` and the option `complete`, which checks later that none is
   * missing.
   *
   * @returns a function that removes these methods.
   * @throws ConduitError INVALID_STATE if a name is taken or, with the option `contract`, a handler is missing; nothing
   *   is registered
   */
  implement(handlers: MethodHandlers<C, "server", Connection<C, D>>): Disposer {
    return this.#core.registration.addMethods(handlers);
  }

  /**
   * Registers a handler for one or more types of messages. The handler's return value is the reply to
   * `client.request`; after `client.send` it is discarded, except that a netconduit client receives it as a message
   * of type `<type>_response`. Data is validated with the given schema, or with the contract's by default. With
   * roles, the message is accepted from users with one of them; others get PERMISSION_DENIED.
   * @returns a function that removes the handler.
   */
  on<T extends NameBound<MessageType<C, "server">>>(
    type: (T & string) | readonly (T & string)[],
    handler: ClientMessageHandler<MessageOutput<C, "server", T>, Connection<C, D>>,
    options?: MessageOptions,
  ): Disposer;
  on<T extends NameBound<MessageType<C, "server">>, M extends MessageSchema<C, "server", T>>(
    type: (T & string) | readonly (T & string)[],
    schema: M,
    handler: ClientMessageHandler<InferOutput<M>, Connection<C, D>>,
    options?: MessageOptions,
  ): Disposer;
  on(
    type: string | readonly string[],
    schemaOrHandler: Schema | ClientMessageHandler<never, Connection<C, D>>,
    handlerOrOptions?: ClientMessageHandler<never, Connection<C, D>> | MessageOptions,
    maybeOptions?: MessageOptions,
  ): Disposer {
    return this.#core.registration.addMessageHandler(type, schemaOrHandler, handlerOrOptions, maybeOptions);
  }

  /**
   * Serves a folder to clients, which access it by `client.files(name)`, within the limits of the options. If `dir`
   * doesn't exist, `start` rejects with INVALID_CONFIG, or, if the server is running, the error goes to `onError`.
   *
   * @returns a function that stops serving the folder; running transfers continue
   * @throws ConduitError INVALID_CONFIG; INVALID_STATE if the name is taken
   */
  files(name: FolderName<C, "server">, options: FolderOptions<Connection<C, D>>): Disposer {
    return this.#core.serveFiles(name, options);
  }

  /** Runs before the server listens; if it fails, `start` rejects. Returns a function that removes the hook. */
  onStartup(hook: (server: this) => unknown): Disposer {
    return this.#hooks.startup.add(hook);
  }

  /** Runs once the server is listening and `address` has the actual port. Returns a function that removes the hook. */
  onListening(hook: (server: this) => unknown): Disposer {
    return this.#hooks.listening.add(hook);
  }

  /** Runs when the server stops, while connections still work. Returns a function that removes the hook. */
  onShutdown(hook: (server: this) => unknown): Disposer {
    return this.#hooks.shutdown.add(hook);
  }

  /**
   * Runs after a client has logged in. The client's messages and calls wait until all these hooks have finished. A hook
   * that throws or returns an `RpcError` rejects the client with that code and message. Returns a function that removes the hook.
   */
  onClientConnect(hook: (connection: Connection<C, D>) => unknown): Disposer {
    return this.#hooks.connect.add(this.#core.registration.middlewares.around("onClientConnect", hook));
  }

  /**
   * Runs when a client has logged in again to resume its connection over a new stream, before the connection
   * continues (option `resume`). A hook that throws or returns an `RpcError` ends the connection with that code and
   * message. Returns a function that removes the hook.
   */
  onClientResume(hook: (connection: Connection<C, D>) => unknown): Disposer {
    return this.#hooks.resume.add(this.#core.registration.middlewares.around("onClientResume", hook));
  }

  /**
   * Runs once when the connection of a logged-in client has ended, with the reason. Returns a function that removes the
   * hook.
   */
  onClientDisconnect(hook: (connection: Connection<C, D>, reason: CloseReason) => unknown): Disposer {
    return this.#hooks.disconnect.add(this.#core.registration.middlewares.around("onClientDisconnect", hook));
  }

  /** Runs when a login was rejected, including by an `onClientConnect` hook. Returns a function that removes the hook. */
  onClientRejected(hook: (rejection: Rejection) => unknown): Disposer {
    return this.#hooks.rejected.add(hook);
  }

  /**
   * Runs when a client was denied something because its user lacks the role, for an audit log. Not called for denials
   * by `authorize` and by handlers. Returns a function that removes the hook.
   */
  onDenied(hook: (connection: Connection<C, D>, denial: Denial) => unknown): Disposer {
    return this.#hooks.denied.add(this.#core.registration.middlewares.around("onDenied", hook));
  }

  /**
   * Runs when the server stops delivering a message: its handlers have failed as many times as its sender allows
   * (`ack.deliveries`), or the process ended during each delivery. Returns a function that removes the hook.
   */
  onDeadLetter(hook: (letter: DeadLetter) => unknown): Disposer {
    return this.#core.deadLetterHooks.add(hook);
  }

  /**
   * Runs when a broadcast, or a message of a topic, found a client's send queue full: once per connection and second for
   * broadcasts, and for each topic, with the number of messages that were dropped. Returns a function that removes the hook.
   */
  onSlowConsumer(hook: (connection: Connection<C, D>, report: SlowConsumer) => unknown): Disposer {
    return this.#slow.hooks.add(this.#core.registration.middlewares.around("onSlowConsumer", hook));
  }

  /** Runs when a client has uploaded a file and it is in place under its final name. Returns a function that removes the hook. */
  onFileReceived(hook: (connection: Connection<C, D>, file: TransferredFile) => unknown): Disposer {
    return this.#core.fileReceivedHooks.add(this.#core.registration.middlewares.around("onFileReceived", hook));
  }

  /** Runs when a client has downloaded a file. Returns a function that removes the hook. */
  onFileSent(hook: (connection: Connection<C, D>, file: TransferredFile) => unknown): Disposer {
    return this.#core.fileSentHooks.add(this.#core.registration.middlewares.around("onFileSent", hook));
  }

  /** Runs on every error that no caller receives. Returns a function that removes the hook. */
  onError(hook: (error: Error, context: ErrorContext<Connection<C, D>>) => unknown): Disposer {
    return this.#core.errorHooks.add(hook);
  }

  /** Runs on messages whose type has no handler. Returns a function that removes the hook. */
  onUnknown(hook: (client: Connection<C, D>, type: string, data: unknown) => unknown): Disposer {
    return this.#core.unknownHooks.add(this.#core.registration.middlewares.around("onUnknown", hook));
  }

  // --- life ----------------------------------------------------------------------------------------------------

  /**
   * Runs the startup hooks and listens. Does nothing if the server is running, and waits for a start in progress.
   * @throws ConduitError ADDRESS_IN_USE, ADDRESS_UNAVAILABLE, TLS_ERROR, INVALID_STATE (stopping, or stopped while
   *   starting; option `complete`), INVALID_CONFIG (a folder of `files` doesn't exist; the files of `tls`), STORE_IN_USE
   *   (another running server has its store); any error thrown by a startup hook, or by the driver of the option `cluster`
   */
  start(): Promise<void> {
    return forCaller(() => this.#lifecycle.start());
  }

  /**
   * Starts, and resolves when the server has stopped. SIGINT and SIGTERM stop it (a second signal skips the drain)
   * unless the option `handleSignals` is false; so does `options.signal`.
   * @throws like `start`
   */
  run(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    return forCaller(() => this.#lifecycle.run(options));
  }

  /**
   * Stops accepting connections, runs the shutdown hooks, lets running handlers finish, then closes every connection
   * gracefully (send queues are flushed, and clients receive SERVER_STOPPING). Always settles: handlers are aborted
   * after `drainMs`, and connections after another `closeTimeoutMs`. A further call with a shorter `drainMs` shortens
   * the drain. When called by one of this server's handlers or hooks before its first `await`, it resolves
   * immediately, because the server can't stop until that handler has finished.
   */
  stop(options: StopOptions = {}): Promise<void> {
    const stopping = this.#lifecycle.stop(options);
    if (!this.#isCalling) return stopping;
    stopping.catch((error: unknown) => this.#core.report(error, { stage: "hook" }));
    return Promise.resolve();
  }

  /** Whether one of this server's handlers or hooks is on the call stack. */
  get #isCalling(): boolean {
    const { dispatcher, errorHooks, unknownHooks } = this.#core;
    return [this.#hooks, this.#slow.hooks, dispatcher, errorHooks, unknownHooks].some((calls) => calls.isCalling);
  }

  /**
   * Replaces the certificate, key and client CA for new connections, and for later starts; open connections continue.
   * Only on Node.js; on other runtimes, stop and start the server.
   * @throws ConduitError INVALID_CONFIG if the material is unusable (the previous one stays in use) or the runtime
   *   can't replace it; INVALID_STATE if the server has no TLS, or is starting or stopping
   */
  async setTls(tls: TlsServerOptions): Promise<void> {
    await this.#listener.setTls(tls, this.#lifecycle);
  }

  /**
   * Adds a user, or replaces its password and roles, on all nodes, for the lifetime of the server; `missing` names
   * the nodes that didn't answer. The user's open connections aren't affected: to close them, call `revoke` first.
   * Needs the option `users` or `authenticate.scram`.
   * @throws ConduitError INVALID_CONFIG; INVALID_STATE if the server has no users, or was never started;
   *   UNSERIALIZABLE, MESSAGE_TOO_LARGE if the user can't be sent to other nodes
   */
  async setUser(name: string, user: UserEntry): Promise<ClusterAnswer> {
    parseUser(name, user);
    const verified = await this.#connections.verifiedUser(name, user);
    return this.#nodes.setUser(name, verified);
  }

  /**
   * Removes a user of the option `users`, and closes all connections with this user name with IDENTITY_REVOKED, on
   * all nodes; they don't reconnect automatically. A user from a function or a file can log in again unless it is
   * removed there first. This node's connections are closed before the method returns; `missing` names the nodes that
   * didn't answer.
   * @throws ConduitError INVALID_CONFIG
   */
  async revoke(name: string): Promise<Revocation> {
    mustBeName("server.revoke() takes the name of a user, as in connection.user.name", name);
    return await this.#nodes.revoke(name);
  }

  /** Lets the process exit while the server is running. Undone by `ref`. */
  unref(): this {
    this.#connections.keepsRunning = false;
    this.#lifecycle.listener?.unref?.();
    return this;
  }

  /** Makes the server and its connections keep the process running, which is the default. */
  ref(): this {
    this.#connections.keepsRunning = true;
    this.#lifecycle.listener?.ref?.();
    return this;
  }

  /** Stops the server at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #prepare(): Promise<void> {
    await this.#connections.prepare();
    await this.#hooks.runStartup();
    if (this.config.complete) this.#core.registration.mustBeComplete("start");
    await this.#core.foldersMustExist();
    this.#core.begin();
  }

  async #listen(): Promise<Listener> {
    const listener = await this.#listener.listen({
      accepted: (stream) => this.#connections.accept(stream),
      failed: (error) => this.#connections.acceptFailed(error),
      exhausted: (error) => this.#connections.exhausted(error),
    });
    this.#connections.listening(listener.maxSockets);
    this.#core.listening(listener.maxSockets);
    if (!this.#connections.keepsRunning) listener.unref?.();
    return listener;
  }

  // --- topics --------------------------------------------------------------------------------------------------

  /**
   * Creates a topic, to which clients can subscribe.
   * @throws ConduitError INVALID_CONFIG, INVALID_STATE if it exists
   */
  topic<K extends SingleTopic<C>, S extends Schema = TopicSchema<C, K>>(
    name: K,
    options?: TopicOptions<S, Connection<C, D>>,
  ): Topic<InferInput<S>, Connection<C, D>> {
    return new Topic(this.#topics, name, this.#topics.define(name, false, options));
  }

  /**
   * Lets clients subscribe to all topics whose names match a pattern, in which `*` stands for one or more characters.
   * A topic is created by its first subscriber, and removed once it has neither subscribers nor history.
   * @throws ConduitError INVALID_CONFIG, INVALID_STATE if the pattern is in use
   */
  topics<K extends PatternTopic<C>, S extends Schema = TopicSchema<C, K>>(
    pattern: K,
    options: TopicPatternOptions<S, Connection<C, D>>,
  ): TopicPattern<K, InferInput<S>, Connection<C, D>> {
    return new TopicPattern(this.#topics, pattern, this.#topics.define(pattern, true, options));
  }

  // --- sending -------------------------------------------------------------------------------------------------

  /**
   * Sends a message to all logged-in clients on all nodes, or to those selected by `options`. The message is encoded
   * once. If a client's send queue is full, the option `slowConsumer` decides whether the client misses the message
   * or is disconnected, and `onSlowConsumer` runs. Other clients aren't affected. Unreachable nodes miss the message,
   * which `cluster.onLoss` reports.
   * @returns the number of this node's clients that the message was queued for
   * @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE; INVALID_CONFIG for a predicate in a cluster without
   *   `local: true`. In each case nothing was sent
   */
  broadcast<T extends NameBound<MessageType<C, "client">>>(
    type: T & string,
    ...dataAndOptions: MessageArguments<C, "client", T, BroadcastOptions<C, D>>
  ): number;
  broadcast(type: string, data?: unknown, options: BroadcastOptions<C, D> = {}): number {
    this.#kinds?.mustBeForAll(type);
    return this.#nodes.broadcast(type, data, options);
  }

  /**
   * Sends a message to the connection with this id, or to all connections of a user, on any node. Delivery to another
   * node isn't confirmed. A message that the contract defines for one kind of clients goes to the user's connections
   * of that kind.
   *
   * With the option `ack`, resolves when the connection's handler has returned; for a user, when the handlers of all
   * its current connections have, on all nodes. Rejects like `connection.send`; for a user with NOT_DELIVERED, whose
   * `details.failed` names the connections that didn't acknowledge the message, and `details.missing` the nodes that
   * didn't answer.
   * @returns the number of this node's connections that the message was queued for
   * @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE; for a connection also CONNECTION_CLOSED, SEND_QUEUE_FULL,
   *   CLUSTER_UNAVAILABLE, and PEER_UNSUPPORTED if the connection is on this node and of another kind
   */
  send<T extends NameBound<MessageType<AllKinds<C>, "client">>, O extends SendingOptions = Record<never, never>>(
    to: string | { readonly user: string },
    type: T & string,
    ...dataAndOptions: MessageArguments<AllKinds<C>, "client", T, O>
  ): Sent<O, number>;
  send(
    to: string | { readonly user: string },
    type: string,
    data?: unknown,
    options?: SendingOptions,
  ): number | Promise<void> {
    return this.#nodes.send(to, type, data, options);
  }

  /** Returns the client of the connection with this id, on any node, to call it. @throws ConduitError INVALID_CONFIG */
  peer(connectionId: string): NodePeer<C> {
    mustBeName("server.peer() takes the id of a connection, as in connection.id", connectionId);
    return this.#nodes.peer<C>(connectionId);
  }

  // --- interfaces for its parts --------------------------------------------------------------------------------

  #connectionsHost(runtime: Runtime, connectionData: (() => D) | undefined): ServerConnectionsHost<C, D> {
    return {
      runtime,
      core: this.#core,
      config: this.config,
      hooks: this.#hooks,
      connectionData: connectionData === undefined ? undefined : () => checkedData(connectionData()),
      clientKinds: this.#kinds,
      userChanged: (protocol, formerRoles) => this.#topics.userChanged(protocol, formerRoles),
      connectionId: () => this.#nodes.connectionId() ?? newConnectionId(),
      releaseFrom: (node, key, timeoutMs) => this.#nodes.releaseFrom(node, key, timeoutMs),
      clientAdmitted: (protocol) => this.#nodes.clientAdmitted(protocol),
      clientEnded: (protocol) => {
        this.#topics.connectionEnded(protocol);
        this.#slow.ended(protocol);
        this.#nodes.clientEnded(protocol);
      },
      storedSessions: this.#store.sessions,
      isOpen: () => this.#lifecycle.isOpen,
    };
  }

  #lifecycleHost(runtime: Runtime): ServerLifecycleHost {
    const { config } = this;
    return {
      runtime,
      config,
      claim: () => this.#store.claim(),
      prepare: () => this.#prepare(),
      listen: () =>
        this.#nodes.start(async () => {
          // Before the first login, whose answer says which keys the server knows. The store may be the cluster's.
          await this.#store.begin();
          return this.#listen();
        }),
      listening: () => this.#hooks.runListening(),
      beginStop: () => this.#connections.beginStop(),
      shutdown: () => this.#hooks.runShutdown(),
      drain: (notice) => Promise.all([this.#connections.drain(notice), this.#core.dispatcher.onceIdle()]),
      endAll: async () => {
        await this.#connections.endAll();
        this.#topics.stopTimers();
        await this.#core.uploadsKept(config.closeTimeoutMs);
        // The store may be the cluster's.
        await this.#store.end(config.closeTimeoutMs);
        await this.#nodes.stop();
        this.#core.end();
      },
      ended: () => this.#hooks.allDisconnected(),
      stop: (options) => this.stop(options),
      notStarted: () => this.#core.end(),
      stopFailed: (error) => this.#core.report(error, { stage: "hook" }),
    };
  }

  #nodesHost(): ServerNodesHost {
    const { config } = this;
    return {
      core: this.#core as unknown as EndpointCore<AnyConnection>,
      config,
      kinds: this.#kinds,
      clients: () => this.#connections.clients,
      subscribers: (topic) => this.#topics.channel(topic)?.members ?? NOBODY,
      setUser: (name, user) => {
        parseUser(name, user);
        this.#connections.setUser(name, user);
      },
      revoke: (user) => this.#connections.revoke(user),
      release: async (key) => (await this.#store.sessions?.release(key)) ?? false,
      slowConsumer: (protocol) =>
        this.#slow.found(protocol, { disconnect: config.slowConsumer === "disconnect", missed: 1 }),
    };
  }
}

/** @throws ConduitError INVALID_CONFIG */
function mustBeName(rule: string, name: unknown): void {
  if (typeof name === "string") return;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, `${rule}, got ${describeValue(name)}`);
}

/** @throws ConduitError INVALID_RESULT */
function checkedData<D extends object>(data: D): D {
  const given: unknown = data;
  if (typeof given === "object" && given !== null && !isThenable(given)) return data;
  const what = isThenable(given) ? "a promise" : describeValue(given);
  throw new ConduitError(ErrorCode.INVALID_RESULT, `connectionData must return an object at once, got ${what}`);
}
