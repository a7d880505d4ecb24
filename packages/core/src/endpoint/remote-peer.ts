import type { PeerInfo } from "../auth/peer-info.ts";
import { formatAddress } from "../bytes/address.ts";
import type { Address, TlsInfo } from "../bytes/byte-stream.ts";
import type { ConnectionState, StateChange } from "../connection/connection-state.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { withCallerStack } from "../errors.ts";
import { latencyOf } from "../extensions/heartbeat.ts";
import type { Latency } from "../extensions/liveness.ts";
import { type MethodInfo, parseDiscovery } from "../netconduit/discovery.ts";
import type {
  CallArguments,
  CallResult,
  Contract,
  DataArguments,
  MessageArguments,
  MessageType,
  MethodName,
  NameBound,
  ParamsArguments,
  Side,
  StatedRequest,
  StatedResult,
  UnstatedReply,
} from "../rpc/contract.ts";
import type { InferOutput, Schema } from "../rpc/schema.ts";
import { type Api, apiOf } from "./api.ts";
import { type CallOptions, resultValidator, type TypedCallOptions } from "./call-options.ts";
import type { Disposer } from "./method-types.ts";

/** Counters of a connection since login. */
export interface ConnectionStats {
  /** Time of the login, in Unix milliseconds. */
  readonly connectedAt: number;
  /** Messages, calls and uncorrelated replies added to the send queue. */
  readonly messagesSent: number;
  /** Messages and calls received. */
  readonly messagesReceived: number;
  /** Bytes of frames, headers included, as written and read. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Number of invalid frames. */
  readonly errors: number;
  /** Broadcasts dropped because the client read too slowly; 0 on a client. */
  readonly dropped: number;
  /** Messages and calls over the rate limit; 0 on a client. */
  readonly rateLimited: number;
  /** Frames of unknown optional types, which were skipped. */
  readonly skippedFrames: number;
}

/** Accepts messages and calls: a connection, or a client's queue while disconnected. */
export type Outgoing = Pick<
  ProtocolConnection<unknown>,
  "call" | "callNoWait" | "request" | "sendMessage" | "waitForRoom"
>;

/** The parts of a logged-in connection that a peer exposes. */
export type PeerConnection = Pick<
  ProtocolConnection<unknown>,
  | "bytesReceived"
  | "extension"
  | "errors"
  | "dropped"
  | "rateLimited"
  | "skippedFrames"
  | "info"
  | "isOpen"
  | "isOver"
  | "messagesReceived"
  | "messagesSent"
  | "sendQueue"
  | "stream"
>;

/**
 * The peer at the other end of a connection. On a server, a `Connection` is the peer; on a client, the `Client` itself.
 * A function that takes a `RemotePeer` accepts both.
 *
 * `C` is the contract, and `S` the peer's side of it; without them, a peer with any contract is accepted. Nullable
 * properties are null on a `Client` before its first login. After that they describe the current or last connection. A
 * `Connection` always has them, even after it has ended.
 *
 * Differences that follow from their roles: only a client dials, so it alone has `connect`, options and connect hooks, and
 * its `close` also ends reconnecting. A server has many peers, so a `Connection` has `id`, `session` and `data`, and its
 * `close` says whether the client may reconnect.
 */
// biome-ignore lint/suspicious/noExplicitAny: a peer with any contract fits
export interface RemotePeer<C extends Contract = any, S extends Side = any>
  extends Pick<RemotePeerBase<C, S, null>, keyof RemotePeerBase<C, S, null>> {}

/** The common base of `Connection` and `Client`. `Absent` is null if there may be no connection yet, else never. */
export abstract class RemotePeerBase<C extends Contract, S extends Side, Absent extends null> {
  // These aren't in the published declarations. The underscores keep them apart from fields of applications' subclasses.
  /** @internal The current or last connection. */
  protected abstract get _connection(): PeerConnection | Absent;
  /** @internal Time of its login, in Unix milliseconds. */
  protected abstract get _connectedAt(): number;
  /** @internal */
  protected abstract get _outgoing(): Outgoing;

  /** The state of the connection. */
  abstract get state(): ConnectionState;

  /** Calls `listener` on every change of `state`, with its reason. Returns a function that removes the listener. */
  abstract onStateChange(listener: (change: StateChange) => void): Disposer;

  /**
   * Flushes the send queue, sends the reason to the peer and closes the connection. Pending calls reject with
   * CONNECTION_CLOSED. Resolves when the connection has closed; it is aborted after `closeTimeoutMs`.
   */
  abstract close(reason?: string): Promise<void>;

  /** Whether it is logged in, and neither closing nor closed. */
  get isConnected(): boolean {
    return this._connection?.isOpen === true;
  }

  /** Whether it is logged in and hasn't ended. */
  get isAuthenticated(): boolean {
    return this._connection?.isOver === false;
  }

  /** The peer's name, version and description, as it sent them, and whether it is a netconduit peer. */
  get info(): PeerInfo | Absent {
    return this.#fact(({ info }) => info as PeerInfo);
  }

  /** The peer's address as text: `127.0.0.1:50312`, `[::1]:50312`, `unix:`. */
  get remoteAddress(): string | Absent {
    return this.#fact(({ stream }) => formatAddress(stream.remote));
  }

  /** The peer's address as an object. */
  get remote(): Address | Absent {
    return this.#fact(({ stream }) => stream.remote);
  }

  /** This side's address as an object. */
  get local(): Address | Absent {
    return this.#fact(({ stream }) => stream.local);
  }

  /** The TLS session; null for a plaintext connection. */
  get tls(): TlsInfo | null {
    return this._connection?.stream.tls ?? null;
  }

  /** Round trips of the connection's heartbeats. */
  get latency(): Latency | Absent {
    return this.#fact(latencyOf);
  }

  /** Round trip of the last heartbeat in milliseconds; null before the first. */
  get latencyMs(): number | null {
    const { latency } = this;
    return latency === null || latency.samples === 0 ? null : latency.lastMs;
  }

  /** Counters since login. */
  get stats(): ConnectionStats | Absent {
    return this.#fact((connection) => ({
      connectedAt: this._connectedAt,
      messagesSent: connection.messagesSent,
      messagesReceived: connection.messagesReceived,
      bytesSent: connection.sendQueue.bytesSent,
      bytesReceived: connection.bytesReceived,
      errors: connection.errors,
      dropped: connection.dropped,
      rateLimited: connection.rateLimited,
      skippedFrames: connection.skippedFrames,
    }));
  }

  /** Bytes accepted by `send` and the like that the operating system hasn't accepted yet. */
  get bufferedBytes(): number {
    return this._connection?.sendQueue.bufferedBytes ?? 0;
  }

  /**
   * The peer's methods as functions: `peer.api.users.list(params, options)` is `peer.call("users.list", params,
   * options)`. Without a contract, every name is a method.
   */
  get api(): Api<C, S> {
    return apiOf((method, params, options) => this.#call(method, params, options));
  }

  /**
   * Sends a message. If the peer refuses it, or its handler fails, the error goes to `onError`, stage `send`, unless the
   * peer is netconduit's.
   *
   * @returns false if the message was accepted but the caller should wait for `drained()` before the next one
   * @throws ConduitError CONNECTION_CLOSED (see a client's option `queueWhileDisconnected`), SEND_QUEUE_FULL (nothing
   *   was queued), UNSERIALIZABLE (names the path in the data), MESSAGE_TOO_LARGE
   */
  send<T extends NameBound<MessageType<C, S>>>(type: T & string, ...data: DataArguments<C, S, T>): boolean;
  send(type: string, data?: unknown): boolean {
    return this._outgoing.sendMessage(type, data);
  }

  /**
   * Resolves when the send queue has room. Rejects with CONNECTION_CLOSED if the connection has ended, or ends first.
   */
  drained(): Promise<void> {
    return this._outgoing.waitForRoom();
  }

  /**
   * Calls a method that the peer registered with `rpc`. Without a contract, `T` states the type of the result, which
   * isn't validated. Rejects with RpcError (from the peer, with code, message and details), TIMEOUT, CANCELLED,
   * CONNECTION_CLOSED, SEND_QUEUE_FULL, UNSERIALIZABLE, MESSAGE_TOO_LARGE, INVALID_RESULT, and PEER_UNSUPPORTED for a
   * netconduit client, which answers no calls.
   */
  call<
    T extends StatedResult<C, S> = StatedResult<C, S>,
    M extends NameBound<MethodName<C, S>> = NameBound<MethodName<C, S>>,
    R extends Schema = never,
  >(
    method: M & string,
    ...paramsAndOptions: CallArguments<C, S, M, CallOptions | TypedCallOptions<R>>
  ): Promise<CallResult<C, S, NoInfer<T>, M, R>>;
  call(method: string, params?: unknown, options?: CallOptions): Promise<unknown> {
    return this.#call(method, params, options);
  }

  /**
   * Calls a method without waiting. Its result is discarded; an error goes to `onError`, stage `send`, unless the peer is
   * netconduit's.
   *
   * @returns and throws like `send`; PEER_UNSUPPORTED like `call`
   */
  callNoWait<M extends NameBound<MethodName<C, S>>>(method: M & string, ...params: ParamsArguments<C, S, M>): boolean;
  callNoWait(method: string, params?: unknown): boolean {
    return this._outgoing.callNoWait(method, params);
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
    try {
      return await this._outgoing.request(type, data, options, resultValidator(options));
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  /** Lists the methods that the peer offers. Rejects like `call`. */
  async discover(options?: CallOptions): Promise<MethodInfo[]> {
    return parseDiscovery(await this.#call("listall", {}, options));
  }

  async #call(method: string, params: unknown, options: CallOptions | undefined): Promise<unknown> {
    try {
      return await this._outgoing.call(method, params, options, resultValidator(options));
    } catch (error) {
      throw withCallerStack(error);
    }
  }

  #fact<T>(read: (connection: PeerConnection) => T): T | Absent {
    const connection = this._connection;
    return connection === null ? connection : read(connection);
  }
}
