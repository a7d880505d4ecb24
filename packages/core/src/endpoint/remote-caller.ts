import type { ConnectionSender, StreamConnection } from "../connection/connection-sender.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import { type Called, ConduitError, ErrorCode, forCaller, withCallerStack } from "../errors.ts";
import { type MethodInfo, parseDiscovery } from "../netconduit/discovery.ts";
import type {
  CallArguments,
  CallInput,
  CallProgress,
  CallResult,
  Contract,
  MessageArguments,
  MessageType,
  MethodName,
  NameBound,
  Side,
  StatedItem,
  StatedRequest,
  StatedResult,
  StreamArguments,
  StreamCallInput,
  StreamCallProgress,
  StreamItem,
  StreamName,
  UnstatedReply,
} from "../rpc/contract.ts";
import type { ItemStream } from "../rpc/request-streams.ts";
import type { InferOutput, Schema } from "../rpc/schema.ts";
import type { Validator } from "../rpc/validation.ts";
import { keptMetadata } from "../wire/metadata.ts";
import {
  type AckOptions,
  ackOptions,
  type Calls,
  callOnce,
  ImmediateAttempts,
  type MessageAttempts,
  noStreamOnce,
  Pauses,
  type RepeatingSender,
  sendAcknowledged,
} from "./acknowledged-send.ts";
import { type Api, apiOf } from "./api.ts";
import {
  type CallOptions,
  type CallStreamOptions,
  type OnceOptions,
  resultValidator,
  type SendingOptions,
  type SendOptions,
  type Sent,
  type StreamOptions,
  type TypedCallOptions,
  type TypedStreamOptions,
} from "./call-options.ts";
import {
  CALL_NO_WAIT_OPTIONS,
  CALL_OPTIONS,
  DISCOVER_OPTIONS,
  REQUEST_OPTIONS,
  SEND_OPTIONS,
  STREAM_OPTIONS,
} from "./known-call-options.ts";
import { withParent } from "./nested-call.ts";
import { callWithStreams, failedStream, openStream } from "./open-stream.ts";
import type { OutgoingMiddlewares } from "./outgoing-middleware.ts";

/** Accepts messages and calls: a connection, a client's queue while disconnected, or a pool. */
export type Outgoing = Pick<ConnectionSender, "call" | "callNoWait" | "request" | "sendMessage" | "waitForRoom"> & {
  /** The connection for a call with streams. @throws ConduitError CONNECTION_CLOSED */
  streamConnection(called: Called): StreamConnection;
};

/**
 * Sends messages and calls to the other end. A `Client`, a `Connection` and a `ClientPool` are all `RemoteCaller`s,
 * so a function that takes one accepts any of them.
 */
// biome-ignore lint/suspicious/noExplicitAny: a caller with any contract fits
export abstract class RemoteCaller<C extends Contract = any, S extends Side = any> {
  /** Null until a message or call is sent that may be repeated. */
  #pauses: Pauses | null = null;

  // It isn't in the published declarations. The underscore keeps it apart from fields of applications' subclasses.
  /** @internal */
  protected abstract get _outgoing(): Outgoing;
  /** @internal Middleware around outgoing messages and calls; null for none. */
  protected get _middlewares(): OutgoingMiddlewares | null {
    return null;
  }
  /** @internal */
  protected abstract get _runtimeContext(): RuntimeContext;
  /** @internal Whether sending is no longer possible. */
  protected get _hasEnded(): boolean {
    return false;
  }

  /** @internal The contract's validator of a method's result. */
  protected _agreedResult(_method: string): Validator<unknown> | null {
    return null;
  }

  /** @internal Sends a message that a server's store keeps until it is handled. */
  protected async _sendStored(type: string, _data: unknown, _options: AckOptions & SendOptions): Promise<void> {
    const message = `Cannot send '${type}': ack.stored is for a connection of this server, as server.connection(id) returns it`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }

  /** @internal Sends each attempt over the connection that is current at that time. */
  protected get _repeating(): RepeatingSender {
    const { _runtimeContext: context, _pauses: pauses } = this;
    const calls: Calls = { call: (...call) => this._outgoing.call(...call) };
    const attempts = (): Calls => calls;
    const isOver = (): boolean => this._hasEnded;
    const messageAttempts = (): MessageAttempts => this._messageAttempts({ attempts, isOver });
    const countUnanswered = (change: number): void => this._countUnanswered(change);
    return { context, attempts, messageAttempts, isOver, countUnanswered, pauses };
  }

  /** @internal Counts the bytes of messages and calls with a key that are kept until the peer answers. */
  protected _countUnanswered(_change: number): void {
    // Only a server bounds them.
  }

  /** @internal Where the attempts of a message with `ack` go. */
  protected _messageAttempts(sender: Pick<RepeatingSender, "attempts" | "isOver">): MessageAttempts {
    return new ImmediateAttempts(sender);
  }

  /** @internal */
  protected get _pauses(): Pauses {
    this.#pauses ??= new Pauses();
    return this.#pauses;
  }

  /** @internal The connection was lost: attempts that wait because the last one got no answer now wait for a connection. */
  protected _connectionLost(): void {
    this.#pauses?.connectionLost();
  }

  /** @internal Sending is no longer possible: fails everything that waits for another attempt. */
  _endPauses(): void {
    this.#pauses?.end();
  }

  /**
   * The peer's methods as functions: `peer.api.users.list(params, options)` is `peer.call("users.list", params,
   * options)`. Without a contract, every name is a method.
   */
  get api(): Api<C, S> {
    return apiOf((method, params, options) => this.#call(method, params, options));
  }

  /**
   * Sends a message. If the peer rejects it or its handler fails, the error goes to `onError` with the stage `send`,
   * except for netconduit peers.
   *
   * With the option `ack`, resolves when the peer's handler has returned, and rejects with its error. Until the peer
   * answers, the message is resent, over later connections as well; a client's messages wait for these. The peer
   * handles the message once. Rejects with NOT_DELIVERED when all attempts have failed, or when there will be no
   * further connection.
   *
   * @returns false if the message was queued, but the caller should wait for `drained()` before sending the next one
   * @throws ConduitError CONNECTION_CLOSED (see a client's option `queueWhileDisconnected`), SEND_QUEUE_FULL (nothing
   *   was queued), UNSERIALIZABLE (names the path in the data), MESSAGE_TOO_LARGE, INVALID_CONFIG
   */
  send<T extends NameBound<MessageType<C, S>>, O extends SendingOptions = Record<never, never>>(
    type: T & string,
    ...dataAndOptions: MessageArguments<C, S, T, O>
  ): Sent<O>;
  send(type: string, data?: unknown, options?: SendingOptions): boolean | Promise<void> {
    if (options?.ack !== undefined) return forCaller(() => this.#sendAcknowledged(type, data, options));
    const { _middlewares } = this;
    try {
      SEND_OPTIONS.check(options, type);
      if (_middlewares === null) return this._outgoing.sendMessage(type, data, options);
      const send = (given: SendOptions): boolean => this._outgoing.sendMessage(type, data, given);
      return _middlewares.aroundSending("message", type, data, options, send);
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  /**
   * Resolves when the send queue has room. Rejects with CONNECTION_CLOSED if the connection has ended or ends first.
   */
  drained(): Promise<void> {
    return forCaller(() => this._outgoing.waitForRoom());
  }

  /**
   * Calls a method that the peer registered with `rpc`. Without a contract, `T` states the type of the result, which
   * isn't validated. Rejects with RpcError (from the peer, with code, message and details), TIMEOUT, CANCELLED,
   * CONNECTION_CLOSED, SEND_QUEUE_FULL, UNSERIALIZABLE, MESSAGE_TOO_LARGE, INVALID_RESULT, INVALID_CONFIG (an
   * option is unknown or invalid), and PEER_UNSUPPORTED for a netconduit client, which answers no calls.
   */
  call<
    T extends StatedResult<C, S> = StatedResult<C, S>,
    M extends NameBound<MethodName<C, S>> = NameBound<MethodName<C, S>>,
    R extends Schema = never,
  >(
    method: M & string,
    ...paramsAndOptions: CallArguments<
      C,
      S,
      M,
      (CallOptions | TypedCallOptions<R>) & CallStreamOptions<CallInput<C, S, M>, CallProgress<C, S, M>> & OnceOptions
    >
  ): Promise<CallResult<C, S, NoInfer<T>, M, R>>;
  call(method: string, params?: unknown, options?: CallOptions): Promise<unknown> {
    return this.#call(method, params, options);
  }

  /**
   * Calls a method that the peer registered with `stream`, and returns its items, which can be read once, as an async
   * iterable or as a web stream (`readable`). `break`, `return()` or an aborted signal ends the stream, and runs the
   * handler's `finally`. The stream is opened by this call: read it, or call `return()`. Reading rejects like `call`,
   * after the items that arrived before the error. There is no timeout unless `timeoutMs` is given.
   */
  stream<
    T extends StatedItem<C, S> = StatedItem<C, S>,
    M extends NameBound<StreamName<C, S>> = NameBound<StreamName<C, S>>,
    R extends Schema = never,
  >(
    name: M & string,
    ...paramsAndOptions: StreamArguments<
      C,
      S,
      M,
      | StreamOptions<StreamCallInput<C, S, M>, StreamCallProgress<C, S, M>>
      | TypedStreamOptions<R, StreamCallInput<C, S, M>, StreamCallProgress<C, S, M>>
    >
  ): ItemStream<StreamItem<C, S, NoInfer<T>, M, R>>;
  stream(name: string, params?: unknown, options?: StreamOptions): ItemStream<unknown> {
    return this._stream(name, params, options);
  }

  /**
   * Calls a method without waiting for its result, which is discarded. An error goes to `onError` with the stage
   * `send`, except for netconduit peers.
   *
   * @returns like `send`; throws like `send`, and PEER_UNSUPPORTED like `call`
   */
  callNoWait<M extends NameBound<MethodName<C, S>>>(
    method: M & string,
    ...paramsAndOptions: CallArguments<C, S, M, SendOptions>
  ): boolean;
  callNoWait(method: string, params?: unknown, options?: SendOptions): boolean {
    const { _middlewares } = this;
    try {
      CALL_NO_WAIT_OPTIONS.check(options, method);
      if (_middlewares === null) return this._outgoing.callNoWait(method, params, options);
      const send = (given: SendOptions): boolean => this._outgoing.callNoWait(method, params, given);
      return _middlewares.aroundSending("call", method, params, options, send);
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  /**
   * Sends a message and resolves with the return value of the peer's handler (null for undefined). `T` states the type
   * of the reply, which isn't validated. Rejects like `call`. Replies from a netconduit server have no id, so the next
   * message of type `<type>_response` is the reply.
   */
  request<T = UnstatedReply<C, S>>(...args: StatedRequest<C, S, T, CallOptions>): Promise<NoInfer<T>>;
  request<M extends NameBound<MessageType<C, S>>, R extends Schema>(
    type: M & string,
    ...dataAndOptions: MessageArguments<C, S, M, CallOptions | TypedCallOptions<R>>
  ): Promise<InferOutput<R>>;
  async request(type: string, data?: unknown, options?: CallOptions): Promise<unknown> {
    const send = (given: CallOptions | undefined): Promise<unknown> =>
      this._outgoing.request(type, data, withParent(type, given), resultValidator(given));
    const { _middlewares } = this;
    try {
      REQUEST_OPTIONS.check(options, type);
      return await (_middlewares === null ? send(options) : _middlewares.around("request", type, data, options, send));
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  /** Lists the methods that the peer offers. Rejects like `call`. */
  async discover(options?: CallOptions): Promise<MethodInfo[]> {
    DISCOVER_OPTIONS.check(options);
    return parseDiscovery(await this.#call("listall", {}, options));
  }

  async #call(method: string, params: unknown, given: CallOptions | undefined): Promise<unknown> {
    const { _middlewares } = this;
    try {
      CALL_OPTIONS.check(given, method);
      if (_middlewares === null) return await this.#callNow(method, params, given);
      const send = (options: CallOptions): Promise<unknown> => this.#callNow(method, params, options);
      return await _middlewares.around("call", method, params, given, send);
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  /** @internal */
  protected _stream(name: string, params: unknown, options: StreamOptions | undefined): ItemStream<unknown> {
    const { _middlewares } = this;
    const open = (given: StreamOptions | undefined): ItemStream<unknown> => this._openStream(name, params, given);
    try {
      STREAM_OPTIONS.check(options, name);
      if (_middlewares === null) return open(options);
      return _middlewares.aroundSending("stream", name, params, options, open);
    } catch (error) {
      return failedStream(error);
    }
  }

  /** @internal */
  protected _openStream(name: string, params: unknown, options: StreamOptions | undefined): ItemStream<unknown> {
    return openStream(this._outgoing, name, params, options);
  }

  /** @internal */
  protected _callWithStreams(
    method: string,
    params: unknown,
    options: (CallOptions & CallStreamOptions<unknown>) | undefined,
  ): Promise<unknown> {
    return callWithStreams(this._outgoing, method, params, options);
  }

  /** Middleware treats it as a request, because it waits for an answer. */
  async #sendAcknowledged(type: string, data: unknown, given: SendingOptions): Promise<void> {
    SEND_OPTIONS.check(given, type);
    const { _middlewares } = this;
    const { ack, meta } = given;
    const options = ackOptions(type, ack);
    const send = async (sent: SendOptions): Promise<void> => {
      const kept = { ...options, meta: keptMetadata(type, sent.meta) };
      await (options.stored === true
        ? this._sendStored(type, data, kept)
        : sendAcknowledged(this._repeating, type, data, kept));
    };
    if (_middlewares === null) await send({ meta });
    else await _middlewares.around("request", type, data, { meta }, send);
  }

  #callNow(method: string, params: unknown, given: CallOptions | undefined): Promise<unknown> {
    const options = given?.parent === undefined ? given : withParent(method, given);
    const { input, onProgress, once } = (options ?? {}) as CallStreamOptions<unknown> & OnceOptions;
    if (once !== undefined) {
      if (input !== undefined || onProgress !== undefined) throw noStreamOnce(method);
      const validator = resultValidator(options) ?? this._agreedResult(method);
      const kept = { ...options, meta: keptMetadata(method, options?.meta) };
      return callOnce(this._repeating, once, method, params, kept, validator);
    }
    return input === undefined && onProgress === undefined
      ? this._outgoing.call(method, params, options, resultValidator(options))
      : this._callWithStreams(method, params, options);
  }
}
