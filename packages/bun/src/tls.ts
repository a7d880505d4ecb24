import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { codedError, type SocketOwner, type TlsSession } from "@netconduit/core/adapter";
import type { Socket } from "bun";

/** Bun calls one set of functions for all sockets. They pass the event on to the socket's owner, its `data`. */
export type EventSocket = Socket<SocketOwner>;

/** Older protocols are broken. Bun has no option for a minimum, so each session is checked. */
const PROTOCOLS = ["TLSv1.2", "TLSv1.3"];

/**
 * Why the server at the other end of `socket` is not trusted, or null if it is. Bun has decided by then, and closes the
 * socket itself. It is checked again, because Bun before 1.4 let untrusted certificates and wrong names pass.
 */
export function serverIdentityError(
  socket: EventSocket,
  success: boolean,
  authorizationError: Error | null,
  name: string,
): Error | null {
  if (authorizationError !== null && authorizationError !== undefined) return authorizationError;
  const { verified, certificate } = session(socket);
  if (!success || !verified || certificate === undefined) return new Error("the server is not verified");
  return checkServerIdentity(name, certificate as PeerCertificate) ?? protocolError(socket);
}

/** An error if the session's protocol is too old, or there is no session; else null. */
export function protocolError(socket: EventSocket): Error | null {
  const protocol = socket.getTLSVersion();
  if (PROTOCOLS.includes(protocol)) return null;
  return codedError("ERR_TLS_PROTOCOL_VERSION", `${protocol ?? "no TLS"} is not one of ${PROTOCOLS.join(", ")}`);
}

/** The TLS session of `socket`, whose handshake is done. */
export function session(socket: EventSocket): TlsSession {
  // Parsed from the verified certificate itself, rather than by Bun's `getPeerCertificate`.
  const certificate = socket.getPeerX509Certificate()?.toLegacyObject();
  return { protocol: socket.getTLSVersion(), verified: socket.authorized && certificate !== undefined, certificate };
}
