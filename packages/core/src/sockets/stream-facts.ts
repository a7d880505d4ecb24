import { formatEndpoint } from "../bytes/address.ts";
import type { Address, TlsInfo } from "../bytes/byte-stream.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { ConnectTarget, ListenTarget } from "../runtime.ts";
import { type Ends, type Role, unixEnds } from "./addresses.ts";
import { goneError, refusedCertificateError, type SilentEnd } from "./socket-errors.ts";

/** Facts about a stream's socket. */
export interface StreamFacts {
  readonly local: Address;
  readonly remote: Address;
  readonly tls: TlsInfo | null;
  /** Our side of the connection. The meaning of a TLS alert depends on it. */
  readonly role: Role;
  /** Bytes queued in user space from which `write` returns false; also the size of reads. */
  readonly bufferSize: number;
  /** Creates the error for a peer that closes or resets the connection before sending any bytes. */
  readonly silentEnd: SilentEnd | null;
}

/**
 * Facts about a client's connected socket.
 * @param tcp both ends, or null if unknown; unused for a Unix socket
 * @throws ConduitError CONNECTION_RESET if the peer has disconnected, TLS_UNTRUSTED if the server isn't verified
 */
export function clientFacts(target: ConnectTarget, tcp: Ends | null, tls: TlsInfo | null): StreamFacts {
  const where = formatEndpoint(target);
  const ends = target.path === undefined ? tcp : unixEnds("client", target.path);
  if (ends === null) throw goneError(`Cannot connect to ${where}: the peer closed it at once`);
  if (target.tls !== null && tls?.peerVerified !== true) {
    throw new ConduitError(ErrorCode.TLS_UNTRUSTED, `TLS handshake with ${where} failed: the server is not verified`);
  }
  // In TLS 1.3 a client's handshake completes before the server checks its certificate, and some servers reject one by
  // closing the connection without an alert.
  const silentEnd: SilentEnd | null =
    target.tls?.cert === undefined ? null : (cause) => refusedCertificateError(where, cause);
  return { ...ends, tls, role: "client", bufferSize: target.bufferSize, silentEnd };
}

/**
 * Facts about an accepted socket, or null if the client has disconnected.
 * @param tcp both ends, or null if unknown; unused for a Unix socket
 */
export function serverFacts(target: ListenTarget, tcp: Ends | null, tls: TlsInfo | null): StreamFacts | null {
  const ends = target.path === undefined ? tcp : unixEnds("server", target.path);
  if (ends === null) return null;
  return { ...ends, tls, role: "server", bufferSize: target.bufferSize, silentEnd: null };
}
