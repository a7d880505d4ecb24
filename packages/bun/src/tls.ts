import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";
import {
  ConduitError,
  ErrorCode,
  type TlsClientOptions,
  type TlsInfo,
  type TlsServerOptions,
} from "@netconduit/core/adapter";
import type { TLSOptions } from "bun";
import type { EventSocket } from "./socket-events.ts";

/** Older protocols are broken; what cannot speak 1.2 does not get in. Bun has no option for it: see `protocolError`. */
const PROTOCOLS = ["TLSv1.2", "TLSv1.3"];
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
  // A `ca` without a certificate would trust nobody, or the public roots: that must not pass.
  if (!label.test(pem)) {
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `${option}: no ${label.source} found in ${source}`);
  }
  return pem;
}

const CERTIFICATE = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/;
const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/;

async function loadMaterial(options: {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}): Promise<TLSOptions> {
  if ((options.cert === undefined) !== (options.key === undefined)) {
    const [given, missing] = options.key === undefined ? ["cert", "key"] : ["key", "cert"];
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `tls.${given} is given without tls.${missing}`);
  }
  const material: TLSOptions = {};
  if (options.ca !== undefined) material.ca = await loadPem(options.ca, "tls.ca", CERTIFICATE);
  if (options.cert !== undefined) material.cert = await loadPem(options.cert, "tls.cert", CERTIFICATE);
  if (options.key !== undefined) material.key = await loadPem(options.key, "tls.key", PRIVATE_KEY);
  return material;
}

/** What `Bun.listen` or `Bun.connect` threw over unusable TLS material, or null if it threw over something else. */
export function materialError(cause: unknown): ConduitError | null {
  const code = (cause as { code?: unknown } | null)?.code;
  if (typeof code !== "string" || !/^ERR_(OSSL|BORINGSSL|SSL|TLS)/.test(code)) return null;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new ConduitError(ErrorCode.INVALID_CONFIG, `tls.cert, tls.key or tls.ca is not usable: ${reason}`, { cause });
}

/**
 * Bun's options for a TLS server.
 * @throws ConduitError INVALID_CONFIG
 */
export async function tlsServerOptions(options: TlsServerOptions): Promise<TLSOptions> {
  const required = options.requireClientCertificate === true;
  if (required && options.ca === undefined) {
    throw new ConduitError(ErrorCode.INVALID_CONFIG, "tls.requireClientCertificate is true but tls.ca is not given");
  }
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
    ...(isIP(name) === 0 ? { serverName: name } : {}),
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
  return Object.assign(new Error(`${protocol ?? "no TLS"} is not one of ${PROTOCOLS.join(", ")}`), {
    code: "ERR_TLS_PROTOCOL_VERSION",
  });
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
