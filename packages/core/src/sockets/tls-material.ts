import { ConduitError, ErrorCode } from "../errors.ts";
import type { TlsServerOptions } from "../runtime.ts";
import { messageOf } from "./socket-errors.ts";

/** Time limit for a client's TLS handshake, the same as for the login. */
export const TLS_HANDSHAKE_TIMEOUT_MS = 10_000;

/** Certificates and key as PEM text. */
export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** A kind of PEM block, and its name in messages. */
interface PemLabel {
  readonly pattern: RegExp;
  readonly example: string;
}

const CERTIFICATE: PemLabel = {
  pattern: /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/,
  example: "certificate (-----BEGIN CERTIFICATE-----)",
};
const PRIVATE_KEY: PemLabel = {
  pattern: /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/,
  example: "private key (-----BEGIN PRIVATE KEY-----)",
};

/** Creates the error for an invalid TLS option or unusable material. */
export function tlsConfigError(message: string, cause?: unknown): ConduitError {
  return new ConduitError(ErrorCode.INVALID_CONFIG, message, { cause });
}

/**
 * Loads the TLS material of a client or server. Options are PEM text or file paths.
 * @param readText reads a text file; its exception becomes the cause of the error
 * @throws ConduitError INVALID_CONFIG if a file is missing or has no PEM block of that kind, or a certificate has no
 *   key
 */
export async function loadTlsMaterial(
  options: { readonly ca?: string | undefined; readonly cert?: string | undefined; readonly key?: string | undefined },
  readText: (path: string) => Promise<string>,
): Promise<TlsMaterial> {
  const { ca, cert, key } = options;
  if (cert !== undefined && key === undefined) throw tlsConfigError("tls.cert is given without tls.key");
  if (cert === undefined && key !== undefined) throw tlsConfigError("tls.key is given without tls.cert");
  return {
    ...(ca === undefined ? {} : { ca: await loadPem(ca, "tls.ca", CERTIFICATE, readText) }),
    ...(cert === undefined ? {} : { cert: await loadPem(cert, "tls.cert", CERTIFICATE, readText) }),
    ...(key === undefined ? {} : { key: await loadPem(key, "tls.key", PRIVATE_KEY, readText) }),
  };
}

async function loadPem(
  value: string,
  option: string,
  { pattern, example }: PemLabel,
  readText: (path: string) => Promise<string>,
): Promise<string> {
  let pem = value;
  let source = "the given text";
  if (!value.includes("-----BEGIN")) {
    source = `file "${value}"`;
    try {
      pem = await readText(value);
    } catch (cause) {
      throw tlsConfigError(`Cannot read ${option} from ${source}: ${messageOf(cause)}`, cause);
    }
  }
  // An empty `ca` could count as none, which would trust the public CAs.
  if (!pattern.test(pem)) throw tlsConfigError(`${option}: there is no ${example} in ${source}`);
  return pem;
}

/**
 * Whether a server requires client certificates.
 * @throws ConduitError INVALID_CONFIG if it does but has no CA to verify them
 */
export function demandsClientCertificate(options: TlsServerOptions): boolean {
  const demanded = options.requireClientCertificate === true;
  if (demanded && options.ca === undefined) {
    throw tlsConfigError("tls.requireClientCertificate is true but tls.ca is not given");
  }
  return demanded;
}

/** Creates the error for material that the runtime rejected. */
export function unusableMaterialError(cause: unknown): ConduitError {
  return tlsConfigError(`tls.cert, tls.key or tls.ca is not usable: ${messageOf(cause)}`, cause);
}

/**
 * Whether to reject a client because of its certificate after a successful handshake. Fails closed: an invalid optional
 * certificate is rejected like a missing required one.
 */
export function refusesClientCertificate(
  options: TlsServerOptions,
  certificate: { readonly presented: boolean; readonly verified: boolean },
): boolean {
  if (options.ca === undefined || (certificate.presented && certificate.verified)) return false;
  return certificate.presented || options.requireClientCertificate === true;
}
