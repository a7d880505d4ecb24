import { readFile } from "node:fs/promises";
import {
  type ConnectionOptions,
  checkServerIdentity,
  createSecureContext,
  type SecureContextOptions,
  type TLSSocket,
  type TlsOptions,
} from "node:tls";
import {
  addressFamily,
  demandsClientCertificate,
  loadTlsMaterial,
  type TlsClientOptions,
  type TlsInfo,
  type TlsServerOptions,
  unusableMaterialError,
} from "@netconduit/core/adapter";

/** Older protocols are broken; what cannot speak 1.2 does not get in. */
const MIN_VERSION = "TLSv1.2";

async function loadContext(options: TlsClientOptions): Promise<SecureContextOptions> {
  const material = await loadTlsMaterial(options, (path) => readFile(path, "utf8"));
  const context: SecureContextOptions = { minVersion: MIN_VERSION, ...material };
  try {
    createSecureContext(context);
  } catch (cause) {
    throw unusableMaterialError(cause);
  }
  return context;
}

/**
 * Node's options for a TLS server.
 * @throws ConduitError INVALID_CONFIG
 */
export async function tlsServerOptions(options: TlsServerOptions, handshakeTimeoutMs: number): Promise<TlsOptions> {
  const required = demandsClientCertificate(options);
  return {
    ...(await loadContext(options)),
    requestCert: options.ca !== undefined,
    // With a CA but no demand a client may come without a certificate; `listen` refuses one that does not verify.
    rejectUnauthorized: required,
    handshakeTimeout: handshakeTimeoutMs,
  };
}

/**
 * Node's options for a TLS client; `host` is the name to verify unless the options give another.
 * @throws ConduitError INVALID_CONFIG
 */
export async function tlsClientOptions(options: TlsClientOptions, host: string): Promise<ConnectionOptions> {
  const name = options.serverName ?? host;
  return {
    ...(await loadContext(options)),
    // Said aloud, because NODE_TLS_REJECT_UNAUTHORIZED=0 changes Node's default.
    rejectUnauthorized: true,
    // SNI carries names only (RFC 6066); an IP address is verified all the same.
    servername: addressFamily(name) === 0 ? name : "",
    checkServerIdentity: (_host, certificate) => checkServerIdentity(name, certificate),
  };
}

/** Facts about `socket`, whose handshake is done. */
export function tlsInfo(socket: TLSSocket): TlsInfo {
  const certificate = socket.getPeerCertificate();
  // Without a certificate Node returns an empty object, or null once the socket is gone.
  const name: unknown = certificate?.subject?.CN;
  const first: unknown = Array.isArray(name) ? name[0] : name;
  return {
    protocol: socket.getProtocol(),
    peerVerified: socket.authorized && hasPeerCertificate(socket),
    peerName: typeof first === "string" ? first : null,
  };
}

/** Whether the peer presented a certificate at all. `authorized` alone does not say so on every version. */
export function hasPeerCertificate(socket: TLSSocket): boolean {
  return socket.getPeerX509Certificate() !== undefined;
}
