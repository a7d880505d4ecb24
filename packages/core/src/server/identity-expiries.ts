import type { User } from "../auth/user.ts";
import type { ByteStream } from "../bytes/byte-stream.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { renewal } from "../extensions/renewal.ts";
import { IdentityExpiry } from "./identity-expiry.ts";

/** The server of the connections. */
export interface IdentityExpiriesHost<Peer> {
  /** Unix milliseconds. */
  wallClock(): number;
  /** Returns the identity of a token; null if it is invalid or has expired. */
  userOf(token: string, stream: ByteStream): Promise<User | null>;
  /** A client has sent a valid new token. */
  renewed(protocol: ProtocolConnection<Peer>, user: User): void;
  /** A client's new token was invalid, or couldn't be checked. */
  failed(connection: Peer, error: Error): void;
}

/** Tracks the expiry of clients' identities. */
export class IdentityExpiries<Peer extends { readonly user: User }> {
  readonly #host: IdentityExpiriesHost<Peer>;
  readonly #expiries = new Map<ProtocolConnection<Peer>, IdentityExpiry>();

  constructor(host: IdentityExpiriesHost<Peer>) {
    this.#host = host;
  }

  /** A client has logged in over `stream`, for the first time or to resume. */
  watch(protocol: ProtocolConnection<Peer>, stream: ByteStream): void {
    this.end(protocol);
    const { peer } = protocol;
    if (peer.user.expiresAt === undefined) return;
    const expiry = new IdentityExpiry(protocol, stream, protocol.extension(renewal) ?? null, peer.user, {
      wallClock: () => this.#host.wallClock(),
      userOf: (token) => this.#host.userOf(token, stream),
      renewed: (user) => this.#host.renewed(protocol, user),
      failed: (error) => this.#host.failed(peer, error),
    });
    this.#expiries.set(protocol, expiry);
  }

  end(protocol: ProtocolConnection<Peer>): void {
    this.#expiries.get(protocol)?.end();
    this.#expiries.delete(protocol);
  }
}
