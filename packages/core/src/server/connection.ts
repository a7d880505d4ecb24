import type { AuthMethod } from "../auth/peer-info.ts";
import type { User } from "../auth/user.ts";
import type { ConnectionState, StateChange } from "../connection/connection-state.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import type { Disposer } from "../endpoint/method-types.ts";
import type { Outgoing } from "../endpoint/remote-caller.ts";
import { type PeerConnection, RemotePeerBase } from "../endpoint/remote-peer.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { resume } from "../extensions/resume/resume.ts";
import type { ClientKind, ClientKinds, ForClient } from "../rpc/client-kinds.ts";
import type { Contract } from "../rpc/contract.ts";
import type { Validator } from "../rpc/validation.ts";
import { KnownOptions } from "../util/known-options.ts";
import { withKindCheck } from "./kind-check.ts";
import type { StoredSendOptions } from "./outbox.ts";
import type { StoredSessions } from "./stored-sessions.ts";

/** A login. It ends with its connection. */
export interface Session {
  /** 256 random bits in hex, sent to the client at login; changes each time the client resumes the session. */
  readonly token: string;
  /** Unix milliseconds. */
  readonly createdAt: number;
  /** How the client authenticated. */
  readonly method: AuthMethod;
}

const CLOSE = new KnownOptions<{ reconnect: boolean }>("connection.close", { reconnect: true });

/** A server's view of a connected client. */
export class Connection<
  C extends Contract = Contract,
  D extends object = Record<string, unknown>,
> extends RemotePeerBase<C, "client", never> {
  /** A UUID. */
  readonly id: string;
  readonly #protocol: ProtocolConnection<Connection<C, D>>;
  #session: Session;
  #user: User;
  #resumes = 0;
  #restored: { readonly unfinished: number } | null = null;
  #data: D | undefined;
  /** Null if the contract has no kinds of clients. */
  readonly #kinds: ClientKinds | null;
  /** Null without a store. */
  readonly #stored: StoredSessions | null;

  /** @internal */
  constructor(
    protocol: ProtocolConnection<Connection<C, D>>,
    id: string,
    session: Session,
    user: User,
    data: D | undefined,
    { kinds, stored }: { readonly kinds: ClientKinds | null; readonly stored: StoredSessions | null },
  ) {
    super();
    this.#protocol = protocol;
    this.id = id;
    this.#session = session;
    this.#user = user;
    this.#data = data;
    this.#kinds = kinds;
    this.#stored = stored;
  }

  /** The login. */
  get session(): Session {
    return this.#session;
  }

  /** How many times the client has resumed the connection over a new stream. */
  get resumes(): number {
    return this.#resumes;
  }

  /**
   * Set if the store has the client's session from an earlier server process, so that the client resends messages
   * that weren't handled; null otherwise. `unfinished` counts the messages whose handlers were interrupted and are
   * started again.
   */
  get restored(): { readonly unfinished: number } | null {
    return this.#restored;
  }

  /** @internal */
  _restored(restored: { readonly unfinished: number }, hasOutbox: boolean): void {
    this.#restored = restored;
    const session = this.#protocol.extension(resume);
    if (hasOutbox && session !== undefined) void this.#stored?.outboxOf(session, this._repeating)?.redeliver();
  }

  /** @internal */
  protected override async _sendStored(type: string, data: unknown, options: StoredSendOptions): Promise<void> {
    if (this.#stored === null) {
      const message = `Cannot send '${type}': ack.stored needs the server's option resume.store`;
      throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
    }
    const session = this.#protocol.extension(resume);
    if (session === undefined && !this._hasEnded) {
      const message = `Cannot send '${type}': ack.stored needs a client with the option resume, and this one has no session`;
      throw new ConduitError(ErrorCode.PEER_UNSUPPORTED, message);
    }
    const outbox = session === undefined ? null : this.#stored.outboxOf(session, this._repeating);
    if (outbox !== null) return outbox.send(type, data, options);
    throw new ConduitError(ErrorCode.CONNECTION_CLOSED, `Cannot send '${type}': the connection has ended`);
  }

  /** @internal */
  _resumed(token: string): void {
    this.#session = { ...this.#session, token };
    this.#resumes += 1;
  }

  /** The client's user. Its name is empty if it logged in with the shared password. */
  get user(): User {
    return this.#user;
  }

  /**
   * Whether the client is of this kind in the contract's `clients`, that is, whether its user has the kind as a role.
   * If so, the connection's type has the methods and messages of that kind. Sending those to other clients fails with
   * PEER_UNSUPPORTED.
   */
  is<K extends ClientKind<C>>(kind: K): this is Connection<ForClient<C, K>, D> {
    return this.#user.roles.includes(kind);
  }

  /** The application's data for this connection, initially created by the option `connectionData`. */
  get data(): D {
    // Created on first use, because most applications keep no data.
    if (this.#data === undefined) this.#data = {} as D;
    return this.#data;
  }

  set data(data: D) {
    this.#data = data;
  }

  /** @internal The client has renewed its identity, or authenticated again. */
  _renew(user: User): void {
    this.#user = user;
  }

  /** @internal */
  _hookStarted(running: Promise<unknown>, bytes: number): void {
    this.#protocol.scheduler.hookStarted(running, bytes);
  }

  /** @internal */
  protected override _countUnanswered(change: number): void {
    this.#protocol.unansweredBytes += change;
    this.#protocol.countHeldBytes();
  }

  /** @internal */
  protected get _connection(): PeerConnection {
    return this.#protocol;
  }

  /** @internal */
  protected get _connectedAt(): number {
    return this.#session.createdAt;
  }

  /** @internal Also used by the server's `send` and `peer`, here and from other nodes. */
  get _outgoing(): Outgoing {
    const { sender } = this.#protocol;
    return this.#kinds === null ? sender : withKindCheck(sender, this.#kinds, this.#user.roles);
  }

  /** @internal */
  protected override get _hasEnded(): boolean {
    return this.#protocol.isOver;
  }

  /** @internal */
  protected override _agreedResult(method: string): Validator<unknown> | null {
    return this.#protocol.endpoint.results?.get(method) ?? null;
  }

  /** @internal */
  protected get _runtimeContext(): RuntimeContext {
    return this.#protocol.context;
  }

  get state(): ConnectionState {
    return this.#protocol.state;
  }

  onStateChange(listener: (change: StateChange) => unknown): Disposer {
    return this.#protocol.machine.onChange(listener);
  }

  /**
   * Flushes the send queue, sends the reason to the client and closes the connection. Resolves when it has closed; it
   * is aborted after `closeTimeoutMs`.
   * @param reason for the client's `onDisconnect` and this server's. Default `"Closed by the server"`.
   * @param options.reconnect whether the client may reconnect automatically. Default false.
   */
  async close(reason = "Closed by the server", options: { readonly reconnect?: boolean } = {}): Promise<void> {
    CLOSE.check(options);
    const reconnect = options.reconnect ?? false;
    await this.#protocol.close({ code: ErrorCode.CONNECTION_CLOSED, message: reason, reconnect });
  }
}

/** Any connection of any server. `any`, because the class is invariant in both type parameters. */
// biome-ignore lint/suspicious/noExplicitAny: see above
export type AnyConnection = Connection<any, any>;
