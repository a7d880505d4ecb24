import type { PeerInfo } from "../auth/peer-info.ts";
import { formatAddress } from "../bytes/address.ts";
import type { Address, TlsInfo } from "../bytes/byte-stream.ts";
import type { ConnectionState, StateChange } from "../connection/connection-state.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
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
  /** When the login was, in Unix milliseconds. */
  readonly connectedAt: number;
  /** Messages, calls and uncorrelated replies handed to the send queue. */
  readonly messagesSent: number;
  /** Messages and calls received. */
  readonly messagesReceived: number;
  /** Bytes of frames, headers included, as written and read. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Frames that could not be used. */
  readonly errors: number;
  /** Broadcasts not delivered here because the client read too slowly; 0 on a client. */
  readonly dropped: number;
  /** Messages and calls refused by the rate limit; 0 on a client. */
  readonly rateLimited: number;
}

/** Where messages and calls go: into a connection, or a client's queue while there is none. */
export type Outgoing = Pick<
  ProtocolConnection<unknown>,
  "call" | "callNoWait" | "request" | "sendMessage" | "waitForRoom"
>;

/** A connection after login, as far as the peer shows it. */
export type PeerConnection = Pick<
  ProtocolConnection<unknown>,
  | "bufferedBytes"
  | "bytesReceived"
  | "bytesSent"
  | "extension"
  | "faults"
  | "info"
  | "isOpen"
  | "isOver"
  | "messagesReceived"
  | "messagesSent"
  | "stream"
>;

/**
 * The peer at the other end of a connection. A `Connection` is a client as its server sees it; a `Client` is its server
 * as the client sees it. A function that takes a `RemotePeer` takes either.
 *
 * `C` is the contract, `S` the side of it that the peer answers; without them, a peer with any contract fits. Facts that may be null are null on a `Client` before its
 * first login, when there is no connection to tell of; from then on they are those of the present connection, or of the
 * last. A `Connection` always has them, also after its end.
 */
// biome-ignore lint/suspicious/noExplicitAny: every contract is to fit
export interface RemotePeer<C extends Contract = any, S extends Side = any>
  extends Pick<RemotePeerBase<C, S, null>, keyof RemotePeerBase<C, S, null>> {}

/** What `Connection` and `Client` share. `Absent` is null where there may be no connection yet, and never elsewhere. */
export abstract class RemotePeerBase<C extends Contract, S extends Side, Absent extends null> {
  /** @internal The present connection, or the last. */
  protected abstract get connection(): PeerConnection | Absent;
  /** @internal When its login was, in Unix milliseconds. */
  protected abstract get connectedAt(): number;
  /** @internal */
  protected abstract get outgoing(): Outgoing;

  /** Where the connection is in its life. */
  abstract get state(): ConnectionState;

  /** Hears of every change of `state`, with its reason. @returns a function that removes the listener */
  abstract onStateChange(listener: (change: StateChange) => void): Disposer;

  /**
   * Ends the connection in order: everything that was sent is flushed, the peer is told the reason, and calls that wait
   * reject with CONNECTION_CLOSED. Resolves when it is over; forced after `closeTimeoutMs`.
   */
  abstract close(reason?: string): Promise<void>;

  /** Logged in, and neither ended nor ending. */
  get isConnected(): boolean {
    return this.connection?.isOpen === true;
  }

  /** Logged in, and not ended. */
  get isAuthenticated(): boolean {
    return this.connection?.isOver === false;
  }

  /** What the peer says of itself: name, version, description; and whether it is a netconduit peer. */
  get info(): PeerInfo | Absent {
    return this.#fact(({ info }) => info as PeerInfo);
  }

  /** The peer's address as text: `127.0.0.1:50312`, `[::1]:50312`, `unix:`. */
  get remoteAddress(): string | Absent {
    return this.#fact(({ stream }) => formatAddress(stream.remote));
  }

  /** The peer's address in parts. */
  get remote(): Address | Absent {
    return this.#fact(({ stream }) => stream.remote);
  }

  /** This side's address in parts. */
  get local(): Address | Absent {
    return this.#fact(({ stream }) => stream.local);
  }

  /** Facts about TLS; null for a plaintext connection. */
  get tls(): TlsInfo | null {
    return this.connection?.stream.tls ?? null;
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

  get stats(): ConnectionStats | Absent {
    return this.#fact(({ messagesSent, messagesReceived, bytesSent, bytesReceived, faults }) => ({
      connectedAt: this.connectedAt,
      messagesSent,
      messagesReceived,
      bytesSent,
      bytesReceived,
      ...faults,
    }));
  }

  /** Bytes accepted by `send` and the like that the operating system hasn't taken yet. */
  get bufferedBytes(): number {
    return this.connection?.bufferedBytes ?? 0;
  }

  /**
   * The peer's methods as functions: `peer.api.users.list(params, options)` is `peer.call("users.list", params, options)`.
   * Without a contract, every name is that of a method.
   */
  get api(): Api<C, S> {
    return apiOf((method, params, options) => this.#call(method, params, options));
  }

  /**
   * Sends a message.
   *
   * @returns true while there is room for more; false: accepted, but wait for `drained()` before the next
   * @throws ConduitError CONNECTION_CLOSED (see a client's option `queueWhileDisconnected`), SEND_QUEUE_FULL (nothing was
   * queued), UNSERIALIZABLE (names the path in the data), MESSAGE_TOO_LARGE
   */
  send<T extends NameBound<MessageType<C, S>>>(type: T & string, ...data: DataArguments<C, S, T>): boolean;
  send(type: string, data?: unknown): boolean {
    return this.outgoing.sendMessage(type, data);
  }

  /** Resolves when there is room to send. Rejects with CONNECTION_CLOSED if the connection has ended, or ends first. */
  drained(): Promise<void> {
    return this.outgoing.waitForRoom();
  }

  /**
   * Calls a method that the peer registered with `rpc`. Without a contract, `T` states the type of the result, which
   * isn't validated. Rejects with RpcError (the peer's answer: code, message, details), TIMEOUT, CANCELLED,
   * CONNECTION_CLOSED, SEND_QUEUE_FULL, UNSERIALIZABLE, MESSAGE_TOO_LARGE, INVALID_RESULT, and PEER_UNSUPPORTED for a
   * client of Python's netconduit, which answers no calls.
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
   * Calls a method and wants no answer. Not even errors come back.
   *
   * @returns and throws as `send`; PEER_UNSUPPORTED as `call`
   */
  callNoWait<M extends NameBound<MethodName<C, S>>>(method: M & string, ...params: ParamsArguments<C, S, M>): boolean;
  callNoWait(method: string, params?: unknown): boolean {
    return this.outgoing.callNoWait(method, params);
  }

  /**
   * Sends a message and resolves with the reply of the peer's handler, null if that returns undefined. `T` states the
   * type of the reply, which isn't validated. Rejects as `call`. A server of Python's netconduit gives its replies no id,
   * so the next message of type `<type>_response` is taken for one.
   */
  request<T = UnstatedReply<C, S>>(...args: StatedRequest<C, S, T, CallOptions>): Promise<NoInfer<T>>;
  request<M extends NameBound<MessageType<C, S>>, R extends Schema>(
    type: M & string,
    ...dataAndOptions: MessageArguments<C, S, M, CallOptions | TypedCallOptions<R>>
  ): Promise<InferOutput<R>>;
  request(type: string, data?: unknown, options?: CallOptions): Promise<unknown> {
    return this.outgoing.request(type, data, options, resultValidator(options));
  }

  /** Lists the methods that the peer offers. Rejects as `call`. */
  async discover(options?: CallOptions): Promise<MethodInfo[]> {
    return parseDiscovery(await this.#call("listall", {}, options));
  }

  #call(method: string, params: unknown, options: CallOptions | undefined): Promise<unknown> {
    return this.outgoing.call(method, params, options, resultValidator(options));
  }

  #fact<T>(read: (connection: PeerConnection) => T): T | Absent {
    const { connection } = this;
    return connection === null ? connection : read(connection);
  }
}
