import type { AuthMethod, PeerInfo } from "../auth/peer-info.ts";
import { formatAddress } from "../bytes/address.ts";
import type { Address, TlsInfo } from "../bytes/byte-stream.ts";
import type { ConnectionState, StateChange } from "../connection/connection-state.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { type CallOptions, resultValidator, type TypedCallOptions } from "../endpoint/call-options.ts";
import { ErrorCode } from "../errors.ts";
import { latencyOf } from "../extensions/heartbeat.ts";
import type { Latency } from "../extensions/liveness.ts";
import type {
  CallArguments,
  CallResult,
  Contract,
  DataArguments,
  MessageArguments,
  MessageType,
  MethodName,
  NameBound,
  StatedRequest,
  StatedResult,
  UnstatedReply,
} from "../rpc/contract.ts";
import type { InferOutput, Schema } from "../rpc/schema.ts";

/** One login. It ends with its connection. */
export interface Session {
  /** 256 random bits in hex, as given to the client at login. */
  readonly token: string;
  /** Unix milliseconds. */
  readonly createdAt: number;
  /** How the client proved that it knows the password. */
  readonly method: AuthMethod;
}

/** Counters of a connection since login. */
export interface ConnectionStats {
  /** Unix milliseconds. */
  readonly connectedAt: number;
  /** Messages, requests and uncorrelated replies handed to the send queue. */
  readonly messagesSent: number;
  /** Messages and requests received. */
  readonly messagesReceived: number;
  /** Bytes of frames, headers included, as written and read. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Frames that could not be used. */
  readonly errors: number;
  /** Broadcasts not delivered here because this peer read too slowly. */
  readonly dropped: number;
  /** Messages and calls refused by the rate limit. */
  readonly rateLimited: number;
}

/** A client, as its server sees it. */
export class Connection<C extends Contract = Contract, D extends object = Record<string, unknown>> {
  /** A UUID. */
  readonly id: string;
  readonly #link: ProtocolConnection<Connection<C, D>>;
  /** The login. */
  readonly session: Session;
  #data: D | undefined;

  /** @internal */
  constructor(link: ProtocolConnection<Connection<C, D>>, id: string, session: Session, data: D | undefined) {
    this.#link = link;
    this.id = id;
    this.session = session;
    this.#data = data;
  }

  /** The application's own data of this connection; option `connectionData` makes its first value. */
  get data(): D {
    // Most applications keep none, and of ten thousand empty objects none is missed.
    if (this.#data === undefined) this.#data = {} as D;
    return this.#data;
  }

  set data(data: D) {
    this.#data = data;
  }

  /** `127.0.0.1:50312`, `[::1]:50312`, `unix:`. Valid after close. */
  get remoteAddress(): string {
    return formatAddress(this.#link.stream.remote);
  }

  /** The peer's address in parts. Valid after close. */
  get remote(): Address {
    return this.#link.stream.remote;
  }

  /** This side's address in parts. Valid after close. */
  get local(): Address {
    return this.#link.stream.local;
  }

  /** Facts about TLS; null on a plaintext connection. */
  get tls(): TlsInfo | null {
    return this.#link.stream.tls;
  }

  /** True from login on. */
  get isAuthenticated(): boolean {
    return this.#link.isAuthenticated;
  }

  /** True until the connection ends or is being ended. */
  get isConnected(): boolean {
    return this.#link.isOpen;
  }

  get state(): ConnectionState {
    return this.#link.state;
  }

  /** Hears of every change of `state`, with its reason. @returns a function that removes the listener. */
  onStateChange(listener: (change: StateChange) => void): () => void {
    return this.#link.onStateChange(listener);
  }

  /** What the client says of itself: name, version, description; and whether it is a netconduit peer. */
  get info(): PeerInfo {
    return this.#link.info as PeerInfo;
  }

  /** Round trip of the last heartbeat in milliseconds; null before the first. */
  get latencyMs(): number | null {
    const { lastMs, samples } = this.latency;
    return samples === 0 ? null : lastMs;
  }

  /** Round trips of the heartbeats so far. */
  get latency(): Latency {
    return latencyOf(this.#link);
  }

  get stats(): ConnectionStats {
    const { messagesSent, messagesReceived, bytesReceived, faults } = this.#link;
    const bytesSent = this.#link.bytesSent;
    return {
      connectedAt: this.session.createdAt,
      messagesSent,
      messagesReceived,
      bytesSent,
      bytesReceived,
      ...faults,
    };
  }

  /** Bytes accepted by `send` and the like that the operating system has not taken yet. */
  get bufferedBytes(): number {
    return this.#link.bufferedBytes;
  }

  /**
   * Sends a message to this client.
   * @returns true while there is room for more; false: accepted, but wait for `drained()` before the next.
   * @throws ConduitError CONNECTION_CLOSED, SEND_QUEUE_FULL (nothing was queued), UNSERIALIZABLE (names the path in the
   * data), MESSAGE_TOO_LARGE.
   */
  send<T extends NameBound<MessageType<C, "client">>>(
    type: T & string,
    ...data: DataArguments<C, "client", T>
  ): boolean;
  send(type: string, data?: unknown): boolean {
    return this.#link.sendMessage(type, data);
  }

  /** Resolves when there is room to send; rejects with CONNECTION_CLOSED if the connection ends first. */
  drained(): Promise<void> {
    return this.#link.waitForRoom();
  }

  /**
   * Calls a method that the client registered with `client.rpc`. Without a contract, `T` is what the caller says of the
   * result, unchecked.
   * Rejects with RpcError (the client's answer), TIMEOUT, CANCELLED, CONNECTION_CLOSED, SEND_QUEUE_FULL, UNSERIALIZABLE,
   * PEER_UNSUPPORTED (a netconduit client never answers).
   */
  call<
    T extends StatedResult<C, "client"> = StatedResult<C, "client">,
    M extends NameBound<MethodName<C, "client">> = NameBound<MethodName<C, "client">>,
    R extends Schema = never,
  >(
    method: M & string,
    ...paramsAndOptions: CallArguments<C, "client", M, CallOptions | TypedCallOptions<R>>
  ): Promise<CallResult<C, "client", NoInfer<T>, M, R>>;
  call(method: string, params?: unknown, options?: CallOptions | TypedCallOptions<Schema>): Promise<unknown> {
    return this.#link.call(method, params, options, resultValidator(options));
  }

  /**
   * Sends a message and resolves with the reply of the client's handler. `T` is what the caller says of the reply,
   * unchecked. Rejects as `call`.
   */
  request<T = UnstatedReply<C, "client">>(...args: StatedRequest<C, "client", T, CallOptions>): Promise<NoInfer<T>>;
  request<M extends NameBound<MessageType<C, "client">>, R extends Schema>(
    type: M & string,
    ...dataAndOptions: MessageArguments<C, "client", M, CallOptions | TypedCallOptions<R>>
  ): Promise<InferOutput<R>>;
  request(type: string, data?: unknown, options?: CallOptions | TypedCallOptions<Schema>): Promise<unknown> {
    return this.#link.request(type, data, options, resultValidator(options));
  }

  /**
   * Ends the connection: what was sent is flushed, the client is told the reason, then FIN. Resolves when it is over;
   * forced after `closeTimeoutMs`.
   * @param reason for the client's `onDisconnect` and this server's. Default `"Closed by the server"`.
   * @param options.reconnect whether the client may dial again by itself. Default false.
   */
  close(reason = "Closed by the server", options: { readonly reconnect?: boolean } = {}): Promise<void> {
    const reconnect = options.reconnect ?? false;
    return this.#link.close({ code: ErrorCode.CONNECTION_CLOSED, message: reason, reconnect });
  }
}
