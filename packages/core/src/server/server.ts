/**
 * The server: accepts streams, logs clients in, owns their connections.
 */

import { infoPayload } from "../auth/peer-info.ts";
import { formatAddress, ServerAddress } from "../bytes/address.ts";
import type { ByteStream } from "../bytes/byte-stream.ts";
import type { CloseReason } from "../connection/close-reason.ts";
import { ConnectionStateMachine } from "../connection/connection-state.ts";
import type { AnyExtension } from "../connection/extension.ts";
import { type ConnectionDelegate, ProtocolConnection } from "../connection/protocol-connection.ts";
import { type ContractOption, parseContract } from "../endpoint/contract-option.ts";
import { EndpointCore, type ErrorContext } from "../endpoint/endpoint-core.ts";
import { HookList } from "../endpoint/hook-list.ts";
import type { Awaitable, Disposer, MethodDefinition, MethodHandler, MethodHandlers } from "../endpoint/method-types.ts";
import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { builtInExtensions } from "../extensions/index.ts";
import { NETCONDUIT_WELCOME_HOLD_MS } from "../limits.ts";
import type {
  Contract,
  MessageArguments,
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
import type { Listener, Runtime } from "../runtime.ts";
import { toHex } from "../util/hex.ts";
import { sleep } from "../util/time.ts";
import { FrameType } from "../wire/constants.ts";
import { Connection } from "./connection.ts";
import { type AcceptedStep, LoginManager, type Rejection } from "./login-manager.ts";
import { ServerLifecycle, type ServerState, type StopOptions } from "./server-lifecycle.ts";
import { parseServerOptions, type ServerConfig, type ServerOptions } from "./server-options.ts";
import { strangerError } from "./stranger-error.ts";

const SESSION_TOKEN_BYTES = 32;

/** Who gets a broadcast. */
export interface BroadcastOptions<C extends Contract, D extends object> {
  /** Connection ids left out: one, or any collection of them. */
  readonly exclude?: string | Iterable<string> | undefined;
  /** If given, only these connection ids: one, or any collection of them. */
  readonly include?: string | Iterable<string> | undefined;
  /** If given, only connections it returns true for. */
  readonly where?: ((connection: Connection<C, D>) => boolean) | undefined;
}

/** A client that does not read as fast as it is sent to. */
export interface SlowConsumer {
  /** What was done: the message was dropped for this client, or the client was disconnected. */
  readonly action: "dropped" | "disconnected";
  /** The send queue's depth. */
  readonly queuedMessages: number;
  readonly bufferedBytes: number;
}

/** Counters of a server since it was made. */
export interface ServerStats {
  /** Streams accepted. */
  readonly accepted: number;
  /** Clients logged in. */
  readonly loggedIn: number;
  /** Logins refused for a wrong password. */
  readonly authFailures: number;
  /** Connections not let in for any reason, wrong passwords included. */
  readonly rejected: number;
}

/** Options of a server, its contract, and what makes the `data` of its connections. */
export interface ServerInit<C extends Contract = Contract, D extends object = Record<string, unknown>>
  extends ServerOptions,
    ContractOption<C> {
  /** Makes the first value of `connection.data`, and gives it its type. Default: an empty object. */
  readonly connectionData?: (() => D) | undefined;
}

type OnHandler<D, Peer> = (client: Peer, data: D, context: HandlerContext<Peer>) => Awaitable<unknown>;

/**
 * A server. The adapter packages export it bound to their runtime; this one takes the runtime as its second argument.
 *
 * `C` is the contract's type (default: open), `D` the type of `connection.data`; options `contract` and `connectionData`
 * give both. A type alone checks nothing that arrives.
 */
export class Server<C extends Contract = Contract, D extends object = Record<string, unknown>> {
  /** All options with their defaults filled in. */
  readonly config: ServerConfig;
  readonly #core: EndpointCore<Connection<C, D>>;
  readonly #delegate: ConnectionDelegate<Connection<C, D>>;
  readonly #runtime: Runtime;
  readonly #connectionData: (() => D) | undefined;
  readonly #serverInfo: Readonly<Record<string, string>>;
  /** By the connection's id: the clients that are logged in. */
  readonly #links = new Map<string, ProtocolConnection<Connection<C, D>>>();
  /** Those that are leaving. */
  readonly #leaving = new Set<ProtocolConnection<Connection<C, D>>>();
  readonly #logins: LoginManager<Connection<C, D>>;
  readonly #startupHooks = new HookList<[server: this]>();
  readonly #listeningHooks = new HookList<[server: this]>();
  readonly #shutdown = new HookList<[server: this]>();
  readonly #connect = new HookList<[connection: Connection<C, D>]>();
  readonly #disconnect = new HookList<[connection: Connection<C, D>, reason: CloseReason]>();
  readonly #rejected = new HookList<[rejection: Rejection]>();
  readonly #slow = new HookList<[connection: Connection<C, D>, report: SlowConsumer]>();
  readonly #hooksRunning = new Map<Connection<C, D>, Promise<void>>();
  readonly #ending = new Set<Promise<void>>();
  readonly #lifecycle: ServerLifecycle;
  #accepted = 0;
  #loggedIn = 0;

  /** @throws ConduitError INVALID_CONFIG, naming each wrong option, its rule and the value. */
  constructor(options: ServerInit<C, D>, runtime: Runtime);
  /** @internal */
  constructor(options: ServerInit<C, D>, runtime: Runtime, extensions: readonly AnyExtension[]);
  constructor(options: ServerInit<C, D>, runtime: Runtime, extensions: readonly AnyExtension[] = builtInExtensions) {
    const { connectionData, contract: given, ...rest } = options ?? {};
    const config = parseServerOptions(rest);
    const contract = parseContract(given, config.complete);
    if (connectionData !== undefined && typeof connectionData !== "function") {
      throw new ConduitError(ErrorCode.INVALID_CONFIG, "Invalid option connectionData: must be a function");
    }
    const sides = { own: contract?.server, peer: contract?.client };
    this.#core = new EndpointCore(runtime, config, sides, extensions);
    this.config = config;
    this.#runtime = runtime;
    this.#delegate = this.#core.delegate({
      role: "server",
      handshakeFrame: (link, type, payload) => this.#logins.handshakeFrame(link, type, payload),
      phaseTimedOut: (link) => this.#phaseTimedOut(link),
      frameRefused: (link, error) => this.#frameRefused(link, error),
      connectionClosing: (link) => this.#connectionClosing(link),
      connectionClosed: (link, reason) => this.#connectionClosed(link, reason),
    });
    this.#logins = new LoginManager({
      runtime,
      runtimeContext: this.#core.runtimeContext,
      config,
      refusal: () => this.#refusal(),
      admit: (link, step, acceptedAt) => this.#admit(link, step, acceptedAt),
      rejected: (rejection) =>
        this.#rejected.notify((error) => this.#core.hookFailed("onClientRejected", error), rejection),
    });
    this.#lifecycle = new ServerLifecycle({
      runtime,
      config,
      prepare: () => this.#prepare(),
      listen: () => this.#listen(),
      listening: () => this.#listeningHooks.run((error) => this.#core.hookFailed("onListening", error), this),
      refuseLogins: () => this.#refuseLogins(),
      shutdown: () => this.#shutdown.run((error) => this.#core.hookFailed("onShutdown", error), this),
      drain: () => this.#drain(),
      endAll: () => this.#endAll(),
      ended: () => Promise.all(this.#ending),
      stop: (options) => this.stop(options),
      stopFailed: (error) => this.#core.report(error, { stage: "hook" }),
    });
    this.#connectionData = connectionData;
    this.#serverInfo = infoPayload(config);
  }

  get state(): ServerState {
    return this.#lifecycle.state;
  }

  get isRunning(): boolean {
    return this.#lifecycle.state === "running";
  }

  /** Where the server listens; before `start`, where it will. `port` is the real one even if 0 was asked. */
  get address(): ServerAddress {
    const { host, port, path } = this.#lifecycle.address ?? this.config;
    return path === undefined ? new ServerAddress(host, port, null) : new ServerAddress("", 0, path);
  }

  /** The clients that are logged in. */
  get connections(): Connection<C, D>[] {
    return Array.from(this.#links.values(), (link) => link.peer);
  }

  get connectionCount(): number {
    return this.#links.size;
  }

  /** The connection with this id, if it is logged in. */
  connection(id: string): Connection<C, D> | undefined {
    return this.#links.get(id)?.peer;
  }

  get stats(): ServerStats {
    return {
      accepted: this.#accepted,
      loggedIn: this.#loggedIn,
      authFailures: this.#logins.authFailures,
      rejected: this.#logins.rejections,
    };
  }

  // --- registration -------------------------------------------------------------------------------------------------

  /**
   * Registers an RPC method.
   *
   * The handler gets the validated parameters and a context (caller, method, `AbortSignal`, deadline). What it
   * returns, or resolves with, is the result; an `RpcError`, thrown or returned, reaches the caller with its code,
   * message and details; any other error reaches it as INTERNAL and goes to `onError` here.
   *
   * Parameters and result are checked by the schemas given here, else by those of option `contract`.
   *
   * @returns a function that removes the method.
   * @throws ConduitError INVALID_STATE when the name is taken; INVALID_CONFIG for a schema that is none.
   */
  rpc<
    M extends NameBound<MethodName<C, "server">>,
    P extends ParamsSchema<C, "server", M> | undefined = undefined,
    R extends ResultSchema<C, "server", M> | undefined = undefined,
  >(
    method: (M & string) | MethodDefinition<P, R, M & string>,
    handler: MethodHandler<C, "server", M, P, R, Connection<C, D>>,
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
   * Registers a handler for every method that the contract lists for servers, by name. It does not compile if one is
   * missing. Where not all handlers are at hand, register them one at a time with `rpc`; option `complete` then checks
   * later that none is missing.
   *
   * @returns a function that removes these methods.
   * @throws ConduitError INVALID_STATE when a name is taken or, for a contract given as a value, a handler is missing.
   * Nothing is registered then.
   */
  implement(handlers: MethodHandlers<C, "server", Connection<C, D>>): Disposer {
    return this.#core.registration.addMethods(handlers);
  }

  /**
   * Handles messages of a type, or of several. What the handler returns goes back to the sender: as the reply to
   * `client.request`, or else as a message of type `<type>_response`. Data is checked by the schema given here, else by
   * that of option `contract`.
   * @returns a function that removes the handler.
   */
  on<T extends NameBound<MessageType<C, "server">>>(
    type: (T & string) | readonly (T & string)[],
    handler: OnHandler<MessageOutput<C, "server", T>, Connection<C, D>>,
  ): Disposer;
  on<T extends NameBound<MessageType<C, "server">>, M extends MessageSchema<C, "server", T>>(
    type: (T & string) | readonly (T & string)[],
    schema: M,
    handler: OnHandler<InferOutput<M>, Connection<C, D>>,
  ): Disposer;
  on(
    type: string | readonly string[],
    schemaOrHandler: Schema | OnHandler<never, Connection<C, D>>,
    maybeHandler?: OnHandler<never, Connection<C, D>>,
  ): Disposer {
    return this.#core.registration.addMessageHandler(type, schemaOrHandler, maybeHandler, true);
  }

  /** Runs before the server listens; one that fails makes `start` reject. @returns a function that removes it. */
  onStartup(hook: (server: this) => unknown): Disposer {
    return this.#startupHooks.add(hook);
  }

  /** Runs once the server listens, when `address` is the real one. @returns a function that removes it. */
  onListening(hook: (server: this) => unknown): Disposer {
    return this.#listeningHooks.add(hook);
  }

  /** Runs when the server stops, while its connections still work. @returns a function that removes it. */
  onShutdown(hook: (server: this) => unknown): Disposer {
    return this.#shutdown.add(hook);
  }

  /**
   * Runs when a client has logged in. Its messages and calls wait until all these hooks are done; other clients don't.
   * One that throws an `RpcError` turns the client away with its code and message.
   * @returns a function that removes it.
   */
  onClientConnect(hook: (connection: Connection<C, D>) => unknown): Disposer {
    return this.#connect.add(hook);
  }

  /** Runs once when a logged-in client is gone, with the reason. @returns a function that removes it. */
  onClientDisconnect(hook: (connection: Connection<C, D>, reason: CloseReason) => unknown): Disposer {
    return this.#disconnect.add(hook);
  }

  /** Runs when a connection was not let in. @returns a function that removes it. */
  onClientRejected(hook: (rejection: Rejection) => unknown): Disposer {
    return this.#rejected.add(hook);
  }

  /** Runs when a broadcast met a client whose send queue was full. @returns a function that removes it. */
  onSlowConsumer(hook: (connection: Connection<C, D>, report: SlowConsumer) => unknown): Disposer {
    return this.#slow.add(hook);
  }

  /** Hears of everything that went wrong and was not thrown to a caller. @returns a function that removes the hook. */
  onError(hook: (error: Error, context: ErrorContext<Connection<C, D>>) => unknown): Disposer {
    return this.#core.errorHooks.add(hook);
  }

  /** Hears of messages whose type no handler is registered for. @returns a function that removes the hook. */
  onUnknown(hook: (client: Connection<C, D>, type: string, data: unknown) => unknown): Disposer {
    return this.#core.unknownHooks.add(hook);
  }

  // --- life ---------------------------------------------------------------------------------------------------------

  /**
   * Runs the startup hooks and listens. Does nothing when running already; joins a start that is under way.
   * @throws ConduitError ADDRESS_IN_USE, ADDRESS_UNAVAILABLE, TLS_ERROR, INVALID_STATE (stopping, or stopped while it
   * started); whatever a startup hook throws.
   */
  start(): Promise<void> {
    return this.#lifecycle.start();
  }

  /**
   * Starts, and resolves when the server has stopped, be it while it starts. SIGINT and SIGTERM stop it (a second one
   * without waiting), unless option `handleSignals` is false; so does `options.signal`.
   * @throws as `start`.
   */
  run(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    return this.#lifecycle.run(options);
  }

  /**
   * Stops: no new connections, shutdown hooks, then every connection ends in order (running handlers finish, what was
   * sent is flushed, clients are told SERVER_STOPPING). Always settles: what isn't done after `drainMs` is aborted,
   * what isn't closed after `closeTimeoutMs` more is cut off. Calling it again shortens the drain if it asks for less.
   */
  stop(options: StopOptions = {}): Promise<void> {
    return this.#lifecycle.stop(options);
  }

  /** Stops the server at the end of an `await using` block. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #prepare(): Promise<void> {
    await this.#logins.prepare();
    await this.#startupHooks.runStrict(this);
    if (this.config.complete) this.#core.registration.mustBeComplete("start");
  }

  #listen(): Promise<Listener> {
    const { host, port, path, ipv6, tls, bufferSize } = this.config;
    return this.#runtime.listen(
      {
        host,
        port,
        ipv6,
        tls: tls ?? null,
        bufferSize,
        maxPendingHandshakes: this.config.maxPendingLogins,
        ...(path === undefined ? {} : { path }),
      },
      {
        accepted: (stream) => this.#accept(stream),
        failed: (error) => this.#core.report(error, { stage: "accept" }),
      },
    );
  }

  #drain(): Promise<unknown> {
    const links = this.#allLinks();
    for (const link of links) link.scheduler.drain();
    return Promise.all(links.map((link) => link.scheduler.idle()));
  }

  async #endAll(): Promise<void> {
    this.#refuseLogins();
    const reason = { code: ErrorCode.SERVER_STOPPING, message: "The server is stopping", reconnect: true };
    await Promise.all(this.#allLinks().map((link) => link.close(reason)));
  }

  #refuseLogins(): void {
    for (const link of this.#logins.links) {
      this.#logins.refuse(link, ErrorCode.SERVER_STOPPING, "The server is stopping");
    }
  }

  #allLinks(): ProtocolConnection<Connection<C, D>>[] {
    return [...this.#logins.links, ...this.#links.values(), ...this.#leaving];
  }

  // --- sending ------------------------------------------------------------------------------------------------------

  /**
   * Sends a message to all logged-in clients, or those `options` select. It is encoded once. A client whose send queue
   * is full costs the others nothing: option `slowConsumer` says whether it misses this message or is disconnected, and
   * `onSlowConsumer` hears of it.
   * @returns to how many clients the message is on its way.
   * @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE; nothing was sent then.
   */
  broadcast<T extends NameBound<MessageType<C, "client">>>(
    type: T & string,
    ...dataAndOptions: MessageArguments<C, "client", T, BroadcastOptions<C, D>>
  ): number;
  broadcast(type: string, data?: unknown, options: BroadcastOptions<C, D> = {}): number {
    const { writer } = this.#core;
    writer.message(0, 0, type, data);
    const exclude = idSet(options.exclude);
    const include = idSet(options.include);
    const { where } = options;
    // A hook or filter may send in between and reuse the writer, so the frame is noted here.
    writer.gather();
    const frame = { bytes: writer.bytes, start: writer.start, end: writer.end, large: null };
    let reached = 0;
    for (const [id, link] of this.#links) {
      if (!link.isOpen) continue;
      if (exclude?.has(id) || (include !== null && !include.has(id))) continue;
      if (where !== undefined && !where(link.peer)) continue;
      if (link.sendShared(frame)) reached += 1;
      else this.#slowConsumer(link, link.peer);
    }
    return reached;
  }

  #slowConsumer(link: ProtocolConnection<Connection<C, D>>, connection: Connection<C, D>): void {
    const disconnect = this.config.slowConsumer === "disconnect";
    const queuedMessages = link.queuedFrames;
    const bufferedBytes = link.bufferedBytes;
    link.faults.dropped += 1;
    if (disconnect) {
      const message = `The client reads too slowly: ${queuedMessages} messages, ${bufferedBytes} bytes are queued`;
      link.destroy(new ConduitError(ErrorCode.SLOW_CONSUMER, message));
    }
    const action = disconnect ? "disconnected" : "dropped";
    const onError = (error: unknown): void => this.#core.hookFailed("onSlowConsumer", error, connection);
    this.#slow.notify(onError, connection, { action, queuedMessages, bufferedBytes });
  }

  // --- ConnectionDelegate ----------------------------------------------------------------------------------------------------

  #accept(stream: ByteStream): void {
    this.#accepted += 1;
    if (!this.#lifecycle.isOpen) {
      this.#logins.turnAway(stream);
      return;
    }
    const machine = new ConnectionStateMachine(this.#core);
    machine.transition("accepted", { message: "Accepted" });
    this.#logins.begin(new ProtocolConnection<Connection<C, D>>(this.#delegate, stream, machine));
  }

  #refusal(): { code: number; message: string } | null {
    if (!this.#lifecycle.isOpen) return { code: ErrorCode.SERVER_STOPPING, message: "The server is stopping" };
    const { maxConnections } = this.config;
    if (this.#links.size < maxConnections) return null;
    return { code: ErrorCode.SERVER_FULL, message: `Server full: ${maxConnections} clients are connected` };
  }

  #admit(link: ProtocolConnection<Connection<C, D>>, step: AcceptedStep, acceptedAt: number): void {
    let data: D | undefined;
    try {
      data = this.#connectionData?.();
    } catch (error) {
      this.#core.hookFailed("connectionData", error);
      this.#logins.refuse(link, ErrorCode.INTERNAL, "Internal server error");
      return;
    }
    // It may have stopped this server.
    if (link.state !== "authenticating") return;
    const token = toHex(this.#runtime.crypto.randomBytes(SESSION_TOKEN_BYTES));
    const session = { token, createdAt: this.#runtime.wallClock(), method: step.method };
    const connection = new Connection<C, D>(link, crypto.randomUUID(), session, data);
    this.#logins.leave(link);
    this.#loggedIn += 1;
    this.#links.set(connection.id, link);
    link.peer = connection;
    const { extensions } = this.#core;
    const agreement = extensions.accept(step.offer);
    const success = { session_token: token, server_info: this.#serverInfo, ...step.payload };
    // A plain peer named no extensions, and is told of none.
    const isPlain = step.peer.netconduit;
    const answer = isPlain ? success : { ...success, extensions: extensions.answer(agreement) };
    link.sendPayload(FrameType.AUTH_SUCCESS, answer);
    if (isPlain) this.#holdWelcome(link);
    link.authenticated(step.peer, agreement);
    if (this.#connect.isEmpty) {
      link.setPhaseTimer(0);
      link.activate();
      return;
    }
    this.#runConnectHooks(link, connection, acceptedAt);
  }

  #holdWelcome(link: ProtocolConnection<Connection<C, D>>): void {
    link.hold();
    void sleep(this.#core.wheel, NETCONDUIT_WELCOME_HOLD_MS).then(() => link.release());
  }

  #runConnectHooks(link: ProtocolConnection<Connection<C, D>>, connection: Connection<C, D>, acceptedAt: number): void {
    const elapsedMs = this.#runtime.now() - acceptedAt;
    link.setPhaseTimer(Math.max(1, this.config.connectionTimeoutMs - elapsedMs));
    const hooks = this.#connect
      .run((error) => {
        if (!(error instanceof RpcError)) this.#core.hookFailed("onClientConnect", error, connection);
        else void link.close({ code: error.code, message: error.message, reconnect: false });
      }, connection)
      .then(() => {
        this.#hooksRunning.delete(connection);
        if (link.isOpen) link.setPhaseTimer(0);
        // Also if the client has left: what it sent before is still served.
        link.activate();
      });
    this.#hooksRunning.set(connection, hooks);
  }

  #phaseTimedOut(link: ProtocolConnection<Connection<C, D>>): void {
    if (link.isAuthenticated) {
      const message = `The connection was not usable within connectionTimeoutMs ${this.config.connectionTimeoutMs}`;
      void link.close({ code: ErrorCode.CONNECT_TIMEOUT, message, reconnect: true });
    } else {
      const message = `Login took longer than ${this.config.authTimeoutMs} ms`;
      this.#logins.refuse(link, ErrorCode.AUTH_TIMEOUT, message);
    }
  }

  #frameRefused(link: ProtocolConnection<Connection<C, D>>, refusal: ConduitError): void {
    const error = link.isAuthenticated ? refusal : strangerError(refusal);
    const client = peerOf(link);
    const stage = error.code === ErrorCode.RATE_LIMITED ? "rate-limit" : link.isAuthenticated ? "protocol" : "login";
    const remoteAddress = formatAddress(link.stream.remote);
    if (!link.isAuthenticated) this.#logins.rejected(link.stream, error.code, error.message);
    this.#core.report(error, { stage, remoteAddress, ...(client === undefined ? {} : { client }) });
  }

  /** A client that is leaving takes no slot, and nobody should send to it any more. */
  #connectionClosing(link: ProtocolConnection<Connection<C, D>>): void {
    const connection = peerOf(link);
    if (connection === undefined) return;
    this.#links.delete(connection.id);
    this.#leaving.add(link);
  }

  #connectionClosed(link: ProtocolConnection<Connection<C, D>>, reason: CloseReason): void {
    this.#logins.leave(link);
    const connection = peerOf(link);
    if (connection === undefined) return;
    this.#links.delete(connection.id);
    this.#leaving.delete(link);
    if (this.#disconnect.isEmpty) return;
    const onError = (error: unknown): void => this.#core.hookFailed("onClientDisconnect", error, connection);
    const run = (): Promise<void> => this.#disconnect.run(onError, connection, reason);
    const before = this.#hooksRunning.get(connection);
    const done = before === undefined ? run() : before.then(run);
    this.#ending.add(done);
    void done.then(() => this.#ending.delete(done));
  }
}

/** The connection of a client that has logged in. */
function peerOf<Peer>(link: ProtocolConnection<Peer>): Peer | undefined {
  return link.peer;
}

function idSet(ids: string | Iterable<string> | undefined): ReadonlySet<string> | null {
  if (ids === undefined) return null;
  if (typeof ids === "string") return new Set([ids]);
  return ids instanceof Set ? ids : new Set(ids);
}
