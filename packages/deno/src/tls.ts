import {
  ConduitError,
  ErrorCode,
  type TlsClientOptions,
  type TlsInfo,
  type TlsServerOptions,
} from "@netconduit/core/adapter";
import { isPermissionError, messageOf } from "./deno-error.ts";

/** A client that has not finished its TLS handshake by then is dropped. As long as a client has for the login. */
export const TLS_HANDSHAKE_TIMEOUT_MS = 10_000;

const CERTIFICATE = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/;
const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/;

function invalid(message: string, cause?: unknown): ConduitError {
  return new ConduitError(ErrorCode.INVALID_CONFIG, message, { cause });
}

/**
 * PEM text as it is, anything else read as a file.
 * @throws ConduitError INVALID_CONFIG when there is no such file, it may not be read, or no PEM of that kind is in it.
 */
async function loadPem(value: string, option: string, label: RegExp): Promise<string> {
  let pem = value;
  let source = "the given text";
  if (!value.includes("-----BEGIN")) {
    source = `file "${value}"`;
    try {
      pem = await Deno.readTextFile(value);
    } catch (cause) {
      const hint = isPermissionError(cause) ? " (or give the PEM text itself)" : "";
      throw invalid(`Cannot read ${option} from ${source}: ${messageOf(cause)}${hint}`, cause);
    }
  }
  if (!label.test(pem)) throw invalid(`${option}: no ${label.source} found in ${source}`);
  return pem;
}

async function loadKeyPair(options: {
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}): Promise<KeyPair | null> {
  if (options.cert === undefined && options.key === undefined) return null;
  if (options.cert === undefined) throw invalid("tls.key is given without tls.cert");
  if (options.key === undefined) throw invalid("tls.cert is given without tls.key");
  return {
    cert: await loadPem(options.cert, "tls.cert", CERTIFICATE),
    key: await loadPem(options.key, "tls.key", PRIVATE_KEY),
  };
}

/** Certificate chain and private key, as PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/**
 * Certificate and key of a TLS server.
 * @throws ConduitError INVALID_CONFIG; also for `ca` and `requireClientCertificate`, because `Deno.listenTls` cannot
 * ask for client certificates (https://github.com/denoland/deno/issues/26825).
 */
export async function tlsServerOptions(options: TlsServerOptions): Promise<KeyPair> {
  const refused =
    options.requireClientCertificate === true ? "requireClientCertificate" : options.ca !== undefined ? "ca" : null;
  if (refused !== null) {
    throw invalid(`tls.${refused}: Deno's TLS server cannot ask for client certificates, so they would go unchecked`);
  }
  const pair = await loadKeyPair(options);
  if (pair === null) throw invalid("tls.cert and tls.key are missing");
  return pair;
}

/** What a TLS client hands to `Deno.startTls` or `Deno.connectTls`. */
export interface TlsClientMaterial {
  /** Name the server's certificate must be valid for. */
  readonly hostname: string;
  /** Trusted in addition to Deno's own roots; Deno cannot trust these alone. */
  readonly caCerts: string[];
  readonly pair: KeyPair | null;
}

/**
 * What a TLS client needs; `host` is the name to verify unless the options give another.
 * @throws ConduitError INVALID_CONFIG; also for a client certificate together with another `serverName`, because only
 * `Deno.connectTls` presents certificates, and it verifies the host it connects to
 * (https://github.com/denoland/deno/issues/21496).
 */
export async function tlsClientOptions(options: TlsClientOptions, host: string): Promise<TlsClientMaterial> {
  const hostname = options.serverName ?? host;
  const pair = await loadKeyPair(options);
  if (pair !== null && hostname !== host) {
    throw invalid(
      `tls.serverName is "${hostname}" and the host "${host}": with a client certificate (tls.cert) Deno can only verify the host it connects to`,
    );
  }
  const caCerts = options.ca === undefined ? [] : [await loadPem(options.ca, "tls.ca", CERTIFICATE)];
  return { hostname, caCerts, pair };
}

/** Deno tells nothing of a session but that its handshake succeeded: for a client, that the server is verified. */
export function tlsInfo(role: "client" | "server"): TlsInfo {
  return { protocol: null, peerVerified: role === "client", peerName: null };
}
