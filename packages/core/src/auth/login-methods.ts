/** Login methods other than SCRAM: tokens and client certificates. */

import type { Address, TlsInfo } from "../bytes/byte-stream.ts";
import type { Awaitable } from "../util/awaitable.ts";
import { isLoopback } from "../util/ip-address.ts";
import type { Identity } from "./user.ts";

/** Returns a token's identity; null if the token is invalid. */
export type TokenCheck = (token: string) => Awaitable<Identity | null>;
/** Returns the identity of a verified client certificate; null if it has none. */
export type CertificateCheck = (tls: TlsInfo) => Awaitable<Identity | null>;

/** The stream of a login. */
export interface LoginTransport {
  readonly remote: Address;
  readonly tls: TlsInfo | null;
}

/** Whether data can't be read on the network: over TLS, a Unix socket or the loopback address. */
export function isPrivate({ remote, tls }: LoginTransport): boolean {
  return tls !== null || remote.kind !== "tcp" || isLoopback(remote.host);
}
