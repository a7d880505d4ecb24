import { ConduitError, ErrorCode } from "../errors.ts";
import type { TlsServerOptions } from "../runtime.ts";
import { messageOf } from "./socket-errors.ts";

/** A client that has not finished its TLS handshake by then is dropped. As long as a client has for the login. */
export const TLS_HANDSHAKE_TIMEOUT_MS = 10_000;

/** Certificates and key as PEM text. */
export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** What a PEM text must hold, and how it looks for people. */
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

/** An option of TLS is wrong, or what it stands for is not usable. */
export function tlsConfigError(message: string, cause?: unknown): ConduitError {
  return new ConduitError(ErrorCode.INVALID_CONFIG, message, { cause });
}

/**
 * The TLS material of a client or a server: PEM text as it is, anything else read as a file.
 * @param readText reads a text file; what it throws is the cause of the error
 * @throws ConduitError INVALID_CONFIG when there is no such file, no PEM of that kind in it, or a certificate without
 * its key.
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
  // A `ca` without a certificate might pass for none at all, which means the public roots: that must not be.
  if (!pattern.test(pem)) throw tlsConfigError(`${option}: there is no ${example} in ${source}`);
  return pem;
}

/**
 * Whether a server demands client certificates.
 * @throws ConduitError INVALID_CONFIG when it does and has no CA to check them against.
 */
export function demandsClientCertificate(options: TlsServerOptions): boolean {
  const demanded = options.requireClientCertificate === true;
  if (demanded && options.ca === undefined) {
    throw tlsConfigError("tls.requireClientCertificate is true but tls.ca is not given");
  }
  return demanded;
}

/** What the runtime threw over material it cannot use. */
export function unusableMaterialError(cause: unknown): ConduitError {
  return tlsConfigError(`tls.cert, tls.key or tls.ca is not usable: ${messageOf(cause)}`, cause);
}

/**
 * Whether a client is refused for its certificate after a handshake that succeeded. Fails closed: an optional
 * certificate that does not verify is refused like a required one that is missing.
 */
export function refusesClientCertificate(
  options: TlsServerOptions,
  certificate: { readonly presented: boolean; readonly verified: boolean },
): boolean {
  if (options.ca === undefined || (certificate.presented && certificate.verified)) return false;
  return certificate.presented || options.requireClientCertificate === true;
}
