import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { codedError, type TlsSession } from "@netconduit/core/adapter";
import type { EventSocket } from "./socket-events.ts";

/** Older protocols are broken; what cannot speak 1.2 does not get in. Bun has no option for it. */
const PROTOCOLS = ["TLSv1.2", "TLSv1.3"];

/**
 * What is wrong with the server at the other end of `socket`, or null. Bun has judged by then, and has closed what it
 * refuses; nothing is left to that: Bun before 1.4 let untrusted certificates and wrong names pass.
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

/** The session's protocol is too old, or the session is none. */
export function protocolError(socket: EventSocket): Error | null {
  const protocol = socket.getTLSVersion();
  if (PROTOCOLS.includes(protocol)) return null;
  return codedError("ERR_TLS_PROTOCOL_VERSION", `${protocol ?? "no TLS"} is not one of ${PROTOCOLS.join(", ")}`);
}

/** Facts about the session of `socket`, whose handshake is done. */
export function session(socket: EventSocket): TlsSession {
  // Not Bun's `getPeerCertificate`: taken apart once more from what was verified.
  const certificate = socket.getPeerX509Certificate()?.toLegacyObject();
  return { protocol: socket.getTLSVersion(), verified: socket.authorized && certificate !== undefined, certificate };
}
