import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import {
  type ConnectionOptions,
  checkServerIdentity,
  createSecureContext,
  type SecureContextOptions,
  type TLSSocket,
  type TlsOptions,
} from "node:tls";
import {
  ConduitError,
  ErrorCode,
  type TlsClientOptions,
  type TlsInfo,
  type TlsServerOptions,
} from "@netconduit/core/adapter";

/** Older protocols are broken; what cannot speak 1.2 does not get in. */
const MIN_VERSION = "TLSv1.2";
/** A client that has not finished its TLS handshake by then is dropped. As long as a client has for the login. */
export const TLS_HANDSHAKE_TIMEOUT_MS = 10_000;

/**
 * PEM text as it is, anything else read as a file.
 * @throws ConduitError INVALID_CONFIG when there is no such file, or no PEM of that kind in it.
 */
async function loadPem(value: string, option: string, label: RegExp): Promise<string> {
  let pem = value;
  let source = "the given text";
  if (!value.includes("-----BEGIN")) {
    source = `file "${value}"`;
    try {
      pem = await readFile(value, "utf8");
    } catch (cause) {
      throw new ConduitError(ErrorCode.INVALID_CONFIG, `Cannot read ${option} from ${source}: ${String(cause)}`, {
        cause,
      });
    }
  }
  // Node takes an empty `ca` for "none given" and falls back to the public roots: that must not pass.
  if (!label.test(pem)) {
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `${option}: no ${label.source} found in ${source}`);
  }
  return pem;
}

const CERTIFICATE = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/;
const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/;

async function loadContext(options: {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}): Promise<SecureContextOptions> {
  if ((options.cert === undefined) !== (options.key === undefined)) {
    const [given, missing] = options.key === undefined ? ["cert", "key"] : ["key", "cert"];
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `tls.${given} is given without tls.${missing}`);
  }
  const context: SecureContextOptions = { minVersion: MIN_VERSION };
  if (options.ca !== undefined) context.ca = await loadPem(options.ca, "tls.ca", CERTIFICATE);
  if (options.cert !== undefined) context.cert = await loadPem(options.cert, "tls.cert", CERTIFICATE);
  if (options.key !== undefined) context.key = await loadPem(options.key, "tls.key", PRIVATE_KEY);
  try {
    createSecureContext(context);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `tls.cert, tls.key or tls.ca is not usable: ${reason}`, { cause });
  }
  return context;
}

/**
 * Node's options for a TLS server.
 * @throws ConduitError INVALID_CONFIG
 */
export async function tlsServerOptions(options: TlsServerOptions, handshakeTimeoutMs: number): Promise<TlsOptions> {
  const required = options.requireClientCertificate === true;
  if (required && options.ca === undefined) {
    throw new ConduitError(ErrorCode.INVALID_CONFIG, "tls.requireClientCertificate is true but tls.ca is not given");
  }
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
    servername: isIP(name) === 0 ? name : "",
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
