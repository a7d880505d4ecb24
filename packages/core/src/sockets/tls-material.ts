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

/** The part of `node:crypto`, which every runtime has, that reads certificates and keys. */
export interface PemCrypto {
  /** Throws if it can't decode the certificate. */
  readonly X509Certificate: new (
    pem: string,
  ) => { checkPrivateKey(key: never): boolean };
  /** Throws if it can't decode the key. */
  createPrivateKey(pem: string): unknown;
}

/** The tools that loading TLS material needs. */
export interface TlsTools {
  /** Reads a text file; its exception becomes the cause of the error. */
  readText(path: string): Promise<string>;
  readonly pemCrypto: PemCrypto;
}

type Certificate = InstanceType<PemCrypto["X509Certificate"]>;

/** An option's PEM text and its origin. */
interface Source {
  readonly option: string;
  readonly text: string;
  /** `file "…"`, or "the given text". */
  readonly name: string;
}

const CERTIFICATE = /-----BEGIN ((?:TRUSTED |X509 )?CERTIFICATE)-----/g;
/** A key or certificate in base64 without PEM lines. Few paths of this length contain neither dots nor hyphens. */
const BARE_DER = /^[A-Za-z0-9+/=\s]{60,}$/;
const PRIVATE_KEY = /-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----/g;

/** Creates the error for an invalid TLS option or unusable material. */
export function tlsConfigError(message: string, cause?: unknown): ConduitError {
  return new ConduitError(ErrorCode.INVALID_CONFIG, message, { cause });
}

/**
 * Loads and checks the TLS material of a client or server, so that errors are the same on all runtimes. Options are
 * PEM text or file paths.
 * @throws ConduitError INVALID_CONFIG, naming the option: a file is missing or has no PEM block of that kind, a
 *   certificate or key can't be decoded, the key is encrypted or isn't that of the certificate, or one of the two is
 *   missing
 */
export async function loadTlsMaterial(
  options: { readonly ca?: string | undefined; readonly cert?: string | undefined; readonly key?: string | undefined },
  { readText, pemCrypto }: TlsTools,
): Promise<TlsMaterial> {
  const { ca, cert, key } = options;
  if (cert !== undefined && key === undefined) throw tlsConfigError("tls.cert is given without tls.key");
  if (cert === undefined && key !== undefined) throw tlsConfigError("tls.key is given without tls.cert");
  const roots = ca === undefined ? null : certificatesIn(await read("tls.ca", ca, readText), pemCrypto);
  const chain = cert === undefined ? null : certificatesIn(await read("tls.cert", cert, readText), pemCrypto);
  const own = key === undefined ? null : privateKeyIn(await read("tls.key", key, readText), pemCrypto);
  if (chain !== null && own !== null) mustMatch(chain.certificates, own.key);
  return {
    ...(roots === null ? {} : { ca: roots.pem }),
    ...(chain === null ? {} : { cert: chain.pem }),
    ...(own === null ? {} : { key: own.pem }),
  };
}

async function read(option: string, value: string, readText: TlsTools["readText"]): Promise<Source> {
  if (value.includes("-----BEGIN")) return { option, text: value, name: "the given text" };
  const name = `file "${value}"`;
  try {
    return { option, text: await readText(value), name };
  } catch (cause) {
    // Checked first, because treated as a path, a private key would appear in the error and its cause.
    if (BARE_DER.test(value)) {
      throw tlsConfigError(`${option} is neither the path of a file nor PEM text: -----BEGIN is missing`);
    }
    throw tlsConfigError(`Cannot read ${option} from ${name}: ${messageOf(cause)}`, cause);
  }
}

/** All certificates, at least one. An empty `ca` could be treated as absent, which would trust the public CAs. */
function certificatesIn(
  source: Source,
  { X509Certificate }: PemCrypto,
): { readonly pem: string; readonly certificates: readonly Certificate[] } {
  const blocks = blocksOf(source, CERTIFICATE, "certificate (-----BEGIN CERTIFICATE-----)");
  const certificates = blocks.map((block, index) => {
    const which = blocks.length === 1 ? "the certificate" : `certificate ${index + 1} of ${blocks.length}`;
    return decoded(source, which, () => new X509Certificate(block));
  });
  return { pem: blocks.join("\n"), certificates };
}

function privateKeyIn(
  source: Source,
  { createPrivateKey }: PemCrypto,
): { readonly pem: string; readonly key: unknown } {
  const [pem = ""] = blocksOf(source, PRIVATE_KEY, "private key (-----BEGIN PRIVATE KEY-----)");
  if (/BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: *4,ENCRYPTED/.test(pem)) {
    const hint = "decrypt it first, with: openssl pkey -in encrypted.key -out server.key";
    throw tlsConfigError(`${source.option}: the private key in ${source.name} is encrypted with a passphrase; ${hint}`);
  }
  return { pem, key: decoded(source, "the private key", () => createPrivateKey(pem)) };
}

/** The PEM blocks of one kind, without the text around them. */
function blocksOf({ option, text, name }: Source, kind: RegExp, example: string): string[] {
  const blocks = Array.from(text.matchAll(kind), (begin) => {
    const end = `-----END ${begin[1]}-----`;
    const at = text.indexOf(end, begin.index);
    if (at === -1) throw tlsConfigError(`${option}: a block in ${name} has no end: ${end} is missing`);
    return `${text.slice(begin.index, at + end.length)}\n`;
  });
  if (blocks.length === 0) throw tlsConfigError(`${option}: there is no ${example} in ${name}`);
  return blocks;
}

function decoded<T>({ option, name }: Source, what: string, decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    throw tlsConfigError(`${option}: ${what} in ${name} cannot be decoded: ${messageOf(cause)}`, cause);
  }
}

function mustMatch(chain: readonly Certificate[], key: unknown): void {
  const index = chain.findIndex((certificate) => certificate.checkPrivateKey(key as never));
  if (index === 0) return;
  if (index === -1) throw tlsConfigError("tls.key doesn't belong to the certificate in tls.cert");
  const message = `tls.cert: the certificate of tls.key must be the first of the chain, and is number ${index + 1}`;
  throw tlsConfigError(message);
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
  tls: { readonly requestCert: boolean; readonly rejectUnauthorized: boolean },
  certificate: { readonly presented: boolean; readonly verified: boolean },
): boolean {
  if (!tls.requestCert || (certificate.presented && certificate.verified)) return false;
  return certificate.presented || tls.rejectUnauthorized;
}
