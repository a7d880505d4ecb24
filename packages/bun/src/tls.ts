import { readFile } from "node:fs/promises";
import { checkServerIdentity } from "node:tls";
import {
  addressFamily,
  type ConduitError,
  demandsClientCertificate,
  loadTlsMaterial,
  type TlsClientOptions,
  type TlsInfo,
  type TlsMaterial,
  type TlsServerOptions,
  unusableMaterialError,
} from "@netconduit/core/adapter";
import type { TLSOptions } from "bun";
import { codedError } from "./bun-error.ts";
import type { EventSocket } from "./socket-events.ts";

/** Older protocols are broken; what cannot speak 1.2 does not get in. Bun has no option for it: see `protocolError`. */
const PROTOCOLS = ["TLSv1.2", "TLSv1.3"];

function loadMaterial(options: TlsClientOptions): Promise<TlsMaterial> {
  return loadTlsMaterial(options, (path) => readFile(path, "utf8"));
}

/** What `Bun.listen` or `Bun.connect` threw over unusable TLS material, or null if it threw over something else. */
export function materialError(cause: unknown): ConduitError | null {
  // The bare code: to `codeOf`, a failed handshake looks much the same.
  const code = (cause as { code?: unknown } | null)?.code;
  return typeof code === "string" && /^ERR_(OSSL|BORINGSSL|SSL|TLS)/.test(code) ? unusableMaterialError(cause) : null;
}

/**
 * Bun's options for a TLS server.
 * @throws ConduitError INVALID_CONFIG
 */
export async function tlsServerOptions(options: TlsServerOptions): Promise<TLSOptions> {
  const required = demandsClientCertificate(options);
  return {
    ...(await loadMaterial(options)),
    requestCert: options.ca !== undefined,
    // With a CA but no demand a client may come without a certificate; `listen` refuses one that does not verify.
    rejectUnauthorized: required,
  };
}

/**
 * Bun's options for a TLS client.
 * @throws ConduitError INVALID_CONFIG
 */
export async function tlsClientOptions(options: TlsClientOptions, host: string): Promise<TLSOptions> {
  const name = options.serverName ?? host;
  return {
    ...(await loadMaterial(options)),
    // Said aloud, because NODE_TLS_REJECT_UNAUTHORIZED=0 changes Bun's default; and never left empty, because Bun
    // takes empty options for no TLS at all.
    rejectUnauthorized: true,
    // SNI carries names only (RFC 6066); an IP address is verified all the same.
    ...(addressFamily(name) === 0 ? { serverName: name } : {}),
  };
}

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
  const certificate = socket.getPeerX509Certificate();
  if (!success || !socket.authorized || certificate === undefined) return new Error("the server is not verified");
  return checkServerIdentity(name, certificate.toLegacyObject()) ?? protocolError(socket);
}

/** The session's protocol is too old, or the session is none. */
export function protocolError(socket: EventSocket): Error | null {
  const protocol = socket.getTLSVersion();
  if (PROTOCOLS.includes(protocol)) return null;
  return codedError("ERR_TLS_PROTOCOL_VERSION", `${protocol ?? "no TLS"} is not one of ${PROTOCOLS.join(", ")}`);
}

/** Facts about `socket`, whose handshake is done. */
export function tlsInfo(socket: EventSocket): TlsInfo {
  // Not Bun's `getPeerCertificate`: taken apart once more from what was verified.
  const name: unknown = socket.getPeerX509Certificate()?.toLegacyObject().subject?.CN;
  const first: unknown = Array.isArray(name) ? name[0] : name;
  return {
    protocol: socket.getTLSVersion(),
    peerVerified: socket.authorized && hasPeerCertificate(socket),
    peerName: typeof first === "string" ? first : null,
  };
}

/** Whether the peer presented a certificate at all. */
export function hasPeerCertificate(socket: EventSocket): boolean {
  return socket.getPeerX509Certificate() !== undefined;
}
