import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { codedError, type SocketOwner, type TlsSession } from "@netconduit/core/adapter";
import type { Socket } from "bun";

/** All sockets share one set of callbacks, which forward events to the socket's owner, its `data`. */
export type EventSocket = Socket<SocketOwner>;

/** Older protocols are broken. Bun has no option for a minimum, so each session is checked. */
const PROTOCOLS = ["TLSv1.2", "TLSv1.3"];

/**
 * The reason why the server isn't trusted, or null if it is. Bun verifies the server too, and closes the socket. This
 * check is necessary because Bun before 1.4 accepted untrusted certificates and wrong names.
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

/** Returns an error if the session's protocol is too old or there is no session, else null. */
export function protocolError(socket: EventSocket): Error | null {
  const protocol = socket.getTLSVersion();
  if (PROTOCOLS.includes(protocol)) return null;
  return codedError("ERR_TLS_PROTOCOL_VERSION", `${protocol ?? "no TLS"} is not one of ${PROTOCOLS.join(", ")}`);
}

/** The TLS session of `socket` after its handshake. */
export function session(socket: EventSocket): TlsSession {
  // Parse the verified certificate itself, instead of using Bun's `getPeerCertificate`.
  const certificate = socket.getPeerX509Certificate()?.toLegacyObject();
  return { protocol: socket.getTLSVersion(), verified: socket.authorized && certificate !== undefined, certificate };
}
