import { formatEndpoint } from "../bytes/address.ts";
import type { Address, TlsInfo } from "../bytes/byte-stream.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { ConnectTarget, ListenTarget } from "../runtime.ts";
import { type Ends, type Role, unixEnds } from "./addresses.ts";
import { goneError, refusedCertificateError, type SilentEnd } from "./socket-errors.ts";

/** What a stream is told of its socket. */
export interface StreamFacts {
  readonly local: Address;
  readonly remote: Address;
  readonly tls: TlsInfo | null;
  /** Which side of the connection this is: the same TLS alert means another thing on each. */
  readonly role: Role;
  /** Bytes waiting in user space from which on `write` returns false, and bytes read at a time. */
  readonly bufferSize: number;
  /** Names the error when the peer ends or resets the connection before it has sent a single byte. */
  readonly silentEnd: SilentEnd | null;
}

/**
 * Facts about a client's socket that is ready.
 * @param tcp both ends, or null if the system no longer knows; unused for a Unix socket
 * @throws ConduitError CONNECTION_RESET when the peer is gone, TLS_UNTRUSTED when the server is not verified.
 */
export function clientFacts(target: ConnectTarget, tcp: Ends | null, tls: TlsInfo | null): StreamFacts {
  const where = formatEndpoint(target);
  const ends = target.path === undefined ? tcp : unixEnds("client", target.path);
  if (ends === null) throw goneError(`Cannot connect to ${where}: the peer closed it at once`);
  if (target.tls !== null && tls?.peerVerified !== true) {
    throw new ConduitError(ErrorCode.TLS_UNTRUSTED, `TLS handshake with ${where} failed: the server is not verified`);
  }
  // In TLS 1.3 a client's handshake is done before the server has looked at its certificate, and servers refuse one by
  // hanging up, without an alert.
  const silentEnd: SilentEnd | null =
    target.tls?.cert === undefined ? null : (cause) => refusedCertificateError(where, cause);
  return { ...ends, tls, role: "client", bufferSize: target.bufferSize, silentEnd };
}

/**
 * Facts about a socket that a server accepted and that is ready, or null if the client is gone.
 * @param tcp both ends, or null if the system no longer knows; unused for a Unix socket
 */
export function serverFacts(target: ListenTarget, tcp: Ends | null, tls: TlsInfo | null): StreamFacts | null {
  const ends = target.path === undefined ? tcp : unixEnds("server", target.path);
  if (ends === null) return null;
  return { ...ends, tls, role: "server", bufferSize: target.bufferSize, silentEnd: null };
}
