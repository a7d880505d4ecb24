/** Logins by token and by client certificate, beside SCRAM. */

import type { Address, TlsInfo } from "../bytes/byte-stream.ts";
import { isLoopback } from "../util/ip-address.ts";
import type { Identity } from "./user.ts";

type Awaitable<T> = T | Promise<T>;

/** The identity of a token; null if it isn't valid. */
export type TokenCheck = (token: string) => Awaitable<Identity | null>;
/** The identity of a verified client certificate; null if it has none. */
export type CertificateCheck = (tls: TlsInfo) => Awaitable<Identity | null>;

/** The connection that a login comes over. */
export interface LoginTransport {
  readonly remote: Address;
  readonly tls: TlsInfo | null;
}

/** Whether what is sent can't be read on a network: over TLS, a Unix socket or the loopback address. */
export function isPrivate({ remote, tls }: LoginTransport): boolean {
  return tls !== null || remote.kind !== "tcp" || isLoopback(remote.host);
}
