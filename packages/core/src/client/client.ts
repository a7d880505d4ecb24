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
import { checkOptions, checkTimeout } from "../connection/outgoing-calls.ts";
import { type ConnectionDelegate, ProtocolConnection } from "../connection/protocol-connection.ts";
import { type CallOptions, resultValidator, type TypedCallOptions } from "../endpoint/call-options.ts";
import { agreedResults, type ContractOption, parseContract } from "../endpoint/contract-option.ts";
import { type Awaitable, type Disposer, Endpoint, splitHandler } from "../endpoint/endpoint.ts";
import { EndpointCore } from "../endpoint/endpoint-core.ts";
import { HookList } from "../endpoint/hook-list.ts";
import { ConduitError, cancelledError, ErrorCode } from "../errors.ts";
import { latencyOf } from "../extensions/heartbeat.ts";
import { builtInExtensions } from "../extensions/index.ts";
import type { Latency } from "../extensions/liveness.ts";
import { type MethodInfo, parseDiscovery } from "../netconduit/discovery.ts";
import type {
  CallArguments,
  CallResult,
  Contract,
  DataArguments,
  MessageArguments,
  MessageOutput,
  MessageSchema,
  MessageType,
  MethodName,
  NameBound,
  ParamsArguments,
  StatedRequest,
  StatedResult,
  UnstatedReply,
} from "../rpc/contract.ts";
import type { HandlerContext } from "../rpc/incoming-request.ts";
import type { InferOutput, Schema } from "../rpc/schema.ts";
import type { ConnectTarget, Runtime } from "../runtime.ts";
import { FrameType } from "../wire/constants.ts";
import { type ClientConfig, type ClientOptions, parseClientOptions } from "./client-options.ts";
import type { DialController } from "./dial-controller.ts";
import { closedDuringLogin, notNetconduit } from "./login-failure.ts";
import { type OfflineItem, OfflineQueue } from "./offline-queue.ts";
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

type OnHandler<D, Peer> = (data: D, context: HandlerContext<Peer>) => Awaitable<unknown>;

/**
 * A client. The adapter packages export it bound to their runtime; this one takes the runtime as its second argument.
 * `C` is the contract's type (default: open), which option `contract` gives. A type alone checks nothing that arrives.
 */
export class Client<C extends Contract = Contract> extends Endpoint<C, "client", Client<C>> {
  /** All options with their defaults filled in. */
  readonly config: ClientConfig;
  readonly #delegate: ConnectionDelegate<Client<C>>;
  readonly #runtime: Runtime;
  readonly #stateListeners: StateListeners;
  /** Of the present dial, and of its connection. */
  #machine: ConnectionStateMachine;
  readonly #connectHooks = new HookList<[client: this]>();
  readonly #disconnectHooks = new HookList<[client: this, reason: CloseReason]>();
  readonly #reconnectHooks = new HookList<[client: this]>();
  readonly #offline: OfflineQueue;
  readonly #reconnector: Reconnector<Client<C>>;
  #link: ProtocolConnection<Client<C>> | null = null;
  #login: Login | null = null;
  #serverInfo: PeerInfo | null = null;
  #sessionToken: string | null = null;

  /** @throws ConduitError INVALID_CONFIG, naming each wrong option, its rule and the value. */
  constructor(options: ClientInit<C>, runtime: Runtime, extensions: readonly AnyExtension[] = builtInExtensions) {
    const { contract, config } = parseInit(options);
    super(new EndpointCore(runtime, config, agreedResults(contract?.server), extensions), contract?.client);
    this.config = config;
    this.#runtime = runtime;
    this.#delegate = this.core.delegate({
      role: "client",
      handshakeFrame: (link, type, payload) => this.#handshakeFrame(link, type, payload),
      // A client's login is bounded by its dial's own timer, which covers the name lookup and TLS as well.
      phaseTimedOut: ignore,
      frameRefused: (link, error) => this.#frameRefused(link, error),
      connectionClosing: ignore,
      connectionClosed: (link, reason) => this.#connectionClosed(link, reason),
    });
    this.#stateListeners = new StateListeners(this.core);
    this.#machine = new ConnectionStateMachine(this.core, "disconnected", this.#stateListeners);
    this.#offline = new OfflineQueue(this.core.runtimeContext.wheel, config.sendQueueSize);
    this.#reconnector = new Reconnector(this.core, config, {
      open: (abort) => this.#dial(abort),
      failed: (error, isLast) => this.#dialFailed(error, isLast),
      opened: (again) => this.#opened(again),
    });
  }

  get state(): ConnectionState {
    return this.#machine.state;
  }

  get isConnected(): boolean {
    return this.#link?.isOpen ?? false;
  }

  get isAuthenticated(): boolean {
    return this.#link?.isAuthenticated ?? false;
  }

  /** What the server says of itself; null before the first login. */
  get serverInfo(): PeerInfo | null {
    return this.#serverInfo;
  }

  /** The session token of the present or last login; null before the first. */
  get sessionToken(): string | null {
    return this.#sessionToken;
  }

  /** Round trip of the last heartbeat in milliseconds; null before the first. */
  get latencyMs(): number | null {
    const latency = this.#latency;
    return latency === null || latency.samples === 0 ? null : latency.lastMs;
  }

  get #latency(): Latency | null {
    return this.#link?.isAuthenticated === true ? latencyOf(this.#link) : null;
  }

  /** Bytes accepted by `send` and the like that the operating system has not taken yet. */
  get bufferedBytes(): number {
    return this.#link?.bufferedBytes ?? 0;
  }

  health(): ClientHealth {
    return {
      connected: this.isConnected,
      state: this.state,
      authenticated: this.isAuthenticated,
      reconnectAttempts: this.isConnected ? 0 : this.#reconnector.attempts,
      serverInfo: this.#serverInfo,
      latency: this.#latency,
      pendingCalls: this.#link?.pendingCalls ?? 0,
      bufferedBytes: this.bufferedBytes,
    };
  }

  // --- registration -------------------------------------------------------------------------------------------------

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
    const { schema, handler } = splitHandler(String(type), schemaOrHandler, maybeHandler);
    return this.addHandler(type, schema, { takesPeer: false, handler });
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
    if (this.config.complete) this.mustBeComplete("connect");
    await this.#reconnector.connect();
  }

  /**
   * Ends the connection, and any reconnecting: what was sent is flushed first, calls that wait for a reply reject with
   * CONNECTION_CLOSED. Resolves when it is over; forced after `closeTimeoutMs`.
   */
  async disconnect(reason = "Closed by the client"): Promise<void> {
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
    await this.disconnect();
  }

  // --- sending ------------------------------------------------------------------------------------------------------

  /**
   * Sends a message to the server.
   * @returns true while there is room for more; false: accepted, but wait for `drained()` before the next.
   * @throws ConduitError CONNECTION_CLOSED (see option `queueWhileDisconnected`), SEND_QUEUE_FULL (nothing was queued),
   * UNSERIALIZABLE (names the path in the data), MESSAGE_TOO_LARGE.
   */
  send<T extends NameBound<MessageType<C, "server">>>(
    type: T & string,
    ...data: DataArguments<C, "server", T>
  ): boolean;
  send(type: string, data?: unknown): boolean {
    const link = this.#link;
    if (link?.isOpen === true) return link.sendMessage(type, data);
    this.#mustQueue(type);
    return this.#offline.add({
      name: type,
      timeoutMs: 0,
      send: (open) => void (open as ProtocolConnection<Client<C>>).sendMessage(type, data),
      reject: (error) => this.core.reportError(error, "message", undefined, type),
    });
  }

  /** Resolves when there is room to send; rejects with CONNECTION_CLOSED if there is no connection. */
  drained(): Promise<void> {
    const link = this.#link;
    if (link === null) return Promise.reject(new ConduitError(ErrorCode.CONNECTION_CLOSED, "Not connected"));
    return link.waitForRoom();
  }

  /**
   * Calls a method of the server. Without a contract, `T` is what the caller says of the result, unchecked.
   * Rejects with RpcError (the server's answer: code, message, details), TIMEOUT, CANCELLED, CONNECTION_CLOSED,
   * SEND_QUEUE_FULL, UNSERIALIZABLE, MESSAGE_TOO_LARGE.
   */
  call<
    T extends StatedResult<C, "server"> = StatedResult<C, "server">,
    M extends NameBound<MethodName<C, "server">> = NameBound<MethodName<C, "server">>,
    R extends Schema = never,
  >(
    method: M & string,
    ...paramsAndOptions: CallArguments<C, "server", M, CallOptions | TypedCallOptions<R>>
  ): Promise<CallResult<C, "server", NoInfer<T>, M, R>>;
  call(method: string, params?: unknown, options?: CallOptions | TypedCallOptions<Schema>): Promise<unknown> {
    const link = this.#link;
    const validator = resultValidator(options);
    if (link?.isOpen === true) return link.call(method, params, options, validator);
    return this.#later(method, options, (open, rest) => open.call(method, params, rest, validator));
  }

  /**
   * Calls a method and wants no answer. Not even errors come back.
   * @returns and throws as `send`.
   */
  callNoWait<M extends NameBound<MethodName<C, "server">>>(
    method: M & string,
    ...params: ParamsArguments<C, "server", M>
  ): boolean;
  callNoWait(method: string, params?: unknown): boolean {
    const link = this.#link;
    if (link?.isOpen === true) return link.callNoWait(method, params);
    this.#mustQueue(method);
    return this.#offline.add({
      name: method,
      timeoutMs: 0,
      send: (open) => void (open as ProtocolConnection<Client<C>>).callNoWait(method, params),
      reject: (error) => this.core.reportError(error, "rpc", undefined, method),
    });
  }

  /**
   * Sends a message and resolves with the reply of the server's handler (undefined replies arrive as null). `T` is what
   * the caller says of the reply, unchecked. Rejects as `call`. On a netconduit server, whose replies carry no id, the
   * next message of type `<type>_response` is taken.
   */
  request<T = UnstatedReply<C, "server">>(...args: StatedRequest<C, "server", T, CallOptions>): Promise<NoInfer<T>>;
  request<M extends NameBound<MessageType<C, "server">>, R extends Schema>(
    type: M & string,
    ...dataAndOptions: MessageArguments<C, "server", M, CallOptions | TypedCallOptions<R>>
  ): Promise<InferOutput<R>>;
  request(type: string, data?: unknown, options?: CallOptions | TypedCallOptions<Schema>): Promise<unknown> {
    const link = this.#link;
    const validator = resultValidator(options);
    if (link?.isOpen === true) return link.request(type, data, options, validator);
    return this.#later(type, options, (open, rest) => open.request(type, data, rest, validator));
  }

  /** Lists the methods that the server offers. Rejects like `call`. */
  async discover(options?: CallOptions): Promise<MethodInfo[]> {
    return parseDiscovery(await (this as AnyClient).call("listall", {}, options));
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
    this.#machine = new ConnectionStateMachine(this.core, this.#machine.state, this.#stateListeners);
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
    await this.#connectHooks.run((error) => this.core.hookFailed("onConnect", error), this);
    if (again) await this.#reconnectHooks.run((error) => this.core.hookFailed("onReconnect", error), this);
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
    const offer = this.core.extensions.offer();
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
      this.#serverInfo = step.server;
      this.#sessionToken = step.sessionToken;
      link.authenticated(step.server, this.core.extensions.accept(step.extensions));
      this.#reconnector.loggedIn();
      this.#offline.sendAll(link);
      link.activate();
      login.resolve();
    }
  }

  #frameRefused(link: ProtocolConnection<Client<C>>, error: ConduitError): void {
    const login = this.#login;
    if (login !== null) login.reject(notNetconduit(error, this.config));
    else this.core.reportError(error, error.code === ErrorCode.RATE_LIMITED ? "rate-limit" : "protocol", link.peer);
  }

  #connectionClosed(link: ProtocolConnection<Client<C>>, reason: CloseReason): void {
    if (this.#link === link) this.#link = null;
    if (this.#login !== null) {
      this.#login.reject(closedDuringLogin(reason, link.bytesReceived === 0, this.config));
      return;
    }
    if (!link.isAuthenticated) return;
    const onError = (error: unknown): void => this.core.hookFailed("onDisconnect", error);
    this.#reconnector.lost(reason, () => this.#disconnectHooks.run(onError, this, reason));
  }

  // --- while there is no connection ---------------------------------------------------------------------------------

  #mustQueue(name: string): void {
    const returning = this.#reconnector.isReturning(this.#link?.closeReason ?? null);
    if (this.config.queueWhileDisconnected === "send" && returning) return;
    throw new ConduitError(ErrorCode.CONNECTION_CLOSED, `Cannot send '${name}': not connected (${this.state})`);
  }

  #later(
    name: string,
    options: CallOptions | undefined,
    send: (link: ProtocolConnection<Client<C>>, options: CallOptions) => Promise<unknown>,
  ): Promise<unknown> {
    const { signal, timeoutMs = this.config.rpcTimeoutMs } = options ?? {};
    return new Promise((resolve, reject) => {
      checkOptions(name, options);
      checkTimeout(name, timeoutMs);
      if (signal?.aborted === true) throw cancelledError(name, signal.reason);
      this.#mustQueue(name);
      const queuedAt = this.#runtime.now();
      const unlisten = (): void => signal?.removeEventListener("abort", onAbort);
      const item: OfflineItem = {
        name,
        timeoutMs,
        send: (open) => {
          unlisten();
          const left = timeoutMs === 0 ? 0 : Math.max(1, timeoutMs - (this.#runtime.now() - queuedAt));
          resolve(send(open as ProtocolConnection<Client<C>>, { timeoutMs: left, signal }));
        },
        reject: (error) => {
          unlisten();
          reject(error);
        },
      };
      const onAbort = (): void => {
        this.#offline.remove(item);
        reject(cancelledError(name, signal?.reason));
      };
      this.#offline.add(item);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
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
