import type { TlsInfo } from "../bytes/byte-stream.ts";
import type { TlsClientOptions, TlsServerOptions } from "../runtime.ts";
import { ipFamily } from "../util/ip-address.ts";
import {
  demandsClientCertificate,
  loadTlsMaterial,
  type TlsMaterial,
  type TlsTools,
  tlsConfigError,
} from "./tls-material.ts";

/** Older protocols are insecure. */
export const MIN_TLS_VERSION = "TLSv1.2";

/** Options of a server's TLS sockets, with the names that `node:tls` uses. */
export interface ServerTls extends TlsMaterial {
  /** Whether to ask clients for a certificate. */
  readonly requestCert: boolean;
  /**
   * Whether to abort the handshake of a client without a valid certificate. If certificates are optional, an invalid
   * one is rejected after the handshake.
   */
  readonly rejectUnauthorized: boolean;
}

/** Settings of a client's TLS socket. */
export interface ClientTls {
  readonly material: TlsMaterial;
  /** Name or IP address that the server's certificate must match. */
  readonly name: string;
  /** Name to send (SNI), or `""` for an IP address (RFC 6066). */
  readonly serverName: string;
}

/** A TLS session after its handshake. */
export interface TlsSession {
  /** Negotiated protocol, or null if the runtime doesn't report it. */
  readonly protocol: string | null;
  /** Whether the peer's certificate was verified. */
  readonly verified: boolean;
  /** The peer's certificate; undefined if it presented none or the runtime doesn't report it. */
  readonly certificate: { readonly subject?: { readonly CN?: unknown } | undefined } | undefined;
}

/** @throws ConduitError INVALID_CONFIG */
export async function serverTls(options: TlsServerOptions, tools: TlsTools): Promise<ServerTls> {
  const rejectUnauthorized = demandsClientCertificate(options);
  const material = await loadTlsMaterial(options, tools);
  return { ...material, requestCert: options.ca !== undefined, rejectUnauthorized };
}

/**
 * @param host the name to verify, unless the options have another
 * @throws ConduitError INVALID_CONFIG
 */
export async function clientTls(options: TlsClientOptions, host: string, tools: TlsTools): Promise<ClientTls> {
  const name = options.serverName ?? host;
  mustBeServerName(name, options.serverName === undefined ? "host" : "tls.serverName");
  const material = await loadTlsMaterial(options, tools);
  return { material, name, serverName: ipFamily(name) === 0 ? name : "" };
}

/** A DNS name as certificates have them: labels of up to 63 letters, digits, `-` and `_`; the last isn't a number. */
const DNS_NAME = /^(?=.{1,253}$)(?:(?!-)[\w-]{1,63}(?<!-)\.)*(?!-)(?!\d+\.?$)[\w-]{1,63}(?<!-)\.?$/;

function mustBeServerName(name: string, option: string): void {
  if (DNS_NAME.test(name) || ipFamily(name) !== 0) return;
  const message = `${option}: "${name}" is neither a DNS name (in ASCII, xn--… for others) nor an IP address, so no certificate can match it`;
  throw tlsConfigError(message);
}

/** Converts a session to the byte stream's {@link TlsInfo}. */
export function tlsInfo({ protocol, verified, certificate }: TlsSession): TlsInfo {
  const name = certificate?.subject?.CN;
  const first: unknown = Array.isArray(name) ? name[0] : name;
  return { protocol, peerVerified: verified, peerName: typeof first === "string" ? first : null };
}
