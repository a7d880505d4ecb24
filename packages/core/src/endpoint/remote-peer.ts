import type { PeerInfo } from "../auth/peer-info.ts";
import { formatAddress } from "../bytes/address.ts";
import type { Address, TlsInfo } from "../bytes/byte-stream.ts";
import type { ConnectionState, StateChange } from "../connection/connection-state.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import { fileTransfersOf } from "../extensions/files/file-transfers.ts";
import { RemoteFiles } from "../extensions/files/remote-files.ts";
import { latencyOf } from "../extensions/heartbeat.ts";
import type { Latency } from "../extensions/liveness.ts";
import type { Contract, FolderName, Side } from "../rpc/contract.ts";
import type { Disposer } from "./method-types.ts";
import { callWithStreams, openStream } from "./open-stream.ts";
import { type Outgoing, RemoteCaller } from "./remote-caller.ts";

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
  /** Skipped frames of unknown optional types. */
  readonly skippedFrames: number;
}

/** The parts of a logged-in connection that a peer exposes. */
export type PeerConnection = Pick<
  ProtocolConnection<unknown>,
  | "answersCalls"
  | "bytesReceived"
  | "callbackFailed"
  | "extension"
  | "errors"
  | "rateLimited"
  | "skippedFrames"
  | "info"
  | "isOpen"
  | "isSuspended"
  | "isOver"
  | "messagesReceived"
  | "pendingCalls"
  | "sender"
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
 * Their differences follow from their roles. Only a client dials, so it alone has `connect`, options and connect
 * hooks, and its `close` also stops reconnecting. A server has many peers, so a `Connection` has `id`, `session` and
 * `data`, and the option `reconnect` of its `close` says whether the client may reconnect.
 */
// biome-ignore lint/suspicious/noExplicitAny: a peer with any contract fits
export interface RemotePeer<C extends Contract = any, S extends Side = any>
  extends Pick<RemotePeerBase<C, S, null>, keyof RemotePeerBase<C, S, null>> {}

/** The common base of `Connection` and `Client`. `Absent` is null if there may be no connection yet, else never. */
export abstract class RemotePeerBase<C extends Contract, S extends Side, Absent extends null> extends RemoteCaller<
  C,
  S
> {
  // These aren't in the published declarations. The underscores keep them apart from fields of applications' subclasses.
  /** @internal The current or last connection. */
  protected abstract get _connection(): PeerConnection | Absent;
  /** @internal Time of its login, in Unix milliseconds. */
  protected abstract get _connectedAt(): number;
  /** @internal */
  protected abstract override get _runtimeContext(): RuntimeContext;

  /** The state of the connection. */
  abstract get state(): ConnectionState;

  /** Calls `listener` on every change of `state`, with its reason. Returns a function that removes the listener. */
  abstract onStateChange(listener: (change: StateChange) => unknown): Disposer;

  /**
   * Flushes the send queue, sends the reason to the peer and closes the connection. Pending calls reject with
   * CONNECTION_CLOSED. Resolves when the connection has closed; it is aborted after `closeTimeoutMs`.
   */
  abstract close(reason?: string): Promise<void>;

  /** Whether the connection is logged in, has a stream, and is neither closing nor closed. */
  get isConnected(): boolean {
    const connection = this._connection;
    return connection?.isOpen === true && !connection.isSuspended;
  }

  /** Whether the connection is logged in and hasn't ended. */
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
      messagesSent: connection.sender.messagesSent,
      messagesReceived: connection.messagesReceived,
      bytesSent: connection.sendQueue.bytesSent,
      bytesReceived: connection.bytesReceived,
      errors: connection.errors,
      dropped: connection.sender.dropped,
      rateLimited: connection.rateLimited,
      skippedFrames: connection.skippedFrames,
    }));
  }

  /** Bytes that were queued by `send` and similar methods and haven't been passed to the operating system yet. */
  get bufferedBytes(): number {
    return this._connection?.sendQueue.bufferedBytes ?? 0;
  }

  /** A folder that the peer serves with `files(name, options)`. No request is sent until one of its methods is called. */
  files(name: FolderName<C, S>): RemoteFiles {
    const outgoing = (): Outgoing => this._outgoing;
    const how = (): "calls" | "messages" | null => {
      const connection = this._connection;
      if (connection?.info?.netconduit !== true) return null;
      return connection.answersCalls ? "calls" : "messages";
    };
    return new RemoteFiles(
      {
        get netconduit() {
          return how();
        },
        request: (type, data, replyType, options) => outgoing().request(type, data, options, null, replyType),
        async send(type, data) {
          if (!outgoing().sendMessage(type, data)) await outgoing().waitForRoom();
        },
        async call(method, params, options) {
          if (options.input === undefined) return await outgoing().call(method, params, options, null);
          return await callWithStreams(outgoing(), method, params, options);
        },
        stream: (method, params, options) => openStream(outgoing(), method, params, options),
        callbackFailed: (name, error) => this._connection?.callbackFailed(name, error),
        hasEnded: () => this._hasEnded,
        connected: (signal) => this._connectedAgain(signal),
      },
      () => fileTransfersOf(this._runtimeContext),
      name,
    );
  }

  /** @internal Resolves when a connection to send over exists, which may be a new one. */
  protected _connectedAgain(_signal: AbortSignal | undefined): Promise<void> {
    return Promise.resolve();
  }

  #fact<T>(read: (connection: PeerConnection) => T): T | Absent {
    const connection = this._connection;
    return connection === null ? connection : read(connection);
  }
}
