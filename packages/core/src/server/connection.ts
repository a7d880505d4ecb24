import type { AuthMethod } from "../auth/peer-info.ts";
import type { ConnectionState, StateChange } from "../connection/connection-state.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { Disposer } from "../endpoint/method-types.ts";
import { type Outgoing, type PeerConnection, RemotePeerBase } from "../endpoint/remote-peer.ts";
import { ErrorCode } from "../errors.ts";
import type { Contract } from "../rpc/contract.ts";

/** One login. It ends with its connection. */
export interface Session {
  /** 256 random bits in hex, as given to the client at login. */
  readonly token: string;
  /** Unix milliseconds. */
  readonly createdAt: number;
  /** How the client proved that it knows the password. */
  readonly method: AuthMethod;
}

/** A client, as its server sees it. */
export class Connection<
  C extends Contract = Contract,
  D extends object = Record<string, unknown>,
> extends RemotePeerBase<C, "client", never> {
  /** A UUID. */
  readonly id: string;
  readonly #link: ProtocolConnection<Connection<C, D>>;
  /** The login. */
  readonly session: Session;
  #data: D | undefined;

  /** @internal */
  constructor(link: ProtocolConnection<Connection<C, D>>, id: string, session: Session, data: D | undefined) {
    super();
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

  /** @internal */
  protected get connection(): PeerConnection {
    return this.#link;
  }

  /** @internal */
  protected get connectedAt(): number {
    return this.session.createdAt;
  }

  /** @internal */
  protected get outgoing(): Outgoing {
    return this.#link;
  }

  get state(): ConnectionState {
    return this.#link.state;
  }

  onStateChange(listener: (change: StateChange) => void): Disposer {
    return this.#link.onStateChange(listener);
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
