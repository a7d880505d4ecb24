import type { TlsInfo } from "../bytes/byte-stream.ts";
import type { TlsClientOptions, TlsServerOptions } from "../runtime.ts";
import { ipFamily } from "../util/ip-address.ts";
import { demandsClientCertificate, loadTlsMaterial, type TlsMaterial } from "./tls-material.ts";

/** Older protocols are broken; what cannot speak 1.2 does not get in. */
export const MIN_TLS_VERSION = "TLSv1.2";

/** The options of a server's TLS sockets, by the names that OpenSSL's users give them. */
export interface ServerTls extends TlsMaterial {
  /** Ask clients for a certificate. */
  readonly requestCert: boolean;
  /**
   * End the handshake of a client without one that verifies. With a CA but no demand a client may come without a
   * certificate; one that does not verify is refused afterwards.
   */
  readonly rejectUnauthorized: boolean;
}

/** What a client's TLS socket needs to know. */
export interface ClientTls {
  readonly material: TlsMaterial;
  /** Name, or IP address, that the server's certificate must be valid for. */
  readonly name: string;
  /** Name to send (SNI), which an IP address is not (RFC 6066); `""`: none. */
  readonly serverName: string;
}

/** What a runtime knows of a TLS session whose handshake is done. */
export interface TlsSession {
  /** Negotiated protocol, or null if the runtime does not tell. */
  readonly protocol: string | null;
  /** The peer's certificate was verified. */
  readonly verified: boolean;
  /** The peer's certificate; undefined when it presented none, or the runtime does not tell. */
  readonly certificate: { readonly subject?: { readonly CN?: unknown } | undefined } | undefined;
}

/** @throws ConduitError INVALID_CONFIG */
export async function serverTls(
  options: TlsServerOptions,
  readText: (path: string) => Promise<string>,
): Promise<ServerTls> {
  const rejectUnauthorized = demandsClientCertificate(options);
  const material = await loadTlsMaterial(options, readText);
  return { ...material, requestCert: options.ca !== undefined, rejectUnauthorized };
}

/**
 * @param host the name to verify unless the options give another
 * @throws ConduitError INVALID_CONFIG
 */
export async function clientTls(
  options: TlsClientOptions,
  host: string,
  readText: (path: string) => Promise<string>,
): Promise<ClientTls> {
  const name = options.serverName ?? host;
  const material = await loadTlsMaterial(options, readText);
  return { material, name, serverName: ipFamily(name) === 0 ? name : "" };
}

/** A session in the words of the byte stream's contract. */
export function tlsInfo({ protocol, verified, certificate }: TlsSession): TlsInfo {
  const name = certificate?.subject?.CN;
  const first: unknown = Array.isArray(name) ? name[0] : name;
  return { protocol, peerVerified: verified, peerName: typeof first === "string" ? first : null };
}
