import {
  loadTlsMaterial,
  messageOf,
  type TlsClientOptions,
  type TlsInfo,
  type TlsMaterial,
  type TlsServerOptions,
  tlsConfigError,
} from "@netconduit/core/adapter";
import { isPermissionError } from "./deno-error.ts";

async function readText(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    if (!isPermissionError(cause)) throw cause;
    throw new Error(`${messageOf(cause)} (or give the PEM text itself)`, { cause });
  }
}

function pairOf({ cert, key }: TlsMaterial): KeyPair | null {
  return cert === undefined || key === undefined ? null : { cert, key };
}

/** @throws ConduitError INVALID_CONFIG when there is a path: Deno has no TLS over Unix sockets. */
export function noUnixTls(path: string | undefined): void {
  if (path !== undefined) throw tlsConfigError(`tls: Deno has no TLS over Unix sockets (path ${path})`);
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
    throw tlsConfigError(
      `tls.${refused}: Deno's TLS server cannot ask for client certificates, so they would go unchecked`,
    );
  }
  const pair = pairOf(await loadTlsMaterial(options, readText));
  if (pair === null) throw tlsConfigError("tls.cert and tls.key are missing");
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
  const material = await loadTlsMaterial(options, readText);
  const pair = pairOf(material);
  if (pair !== null && hostname !== host) {
    throw tlsConfigError(
      `tls.serverName is "${hostname}" and the host "${host}": with a client certificate (tls.cert) Deno can only verify the host it connects to`,
    );
  }
  return { hostname, caCerts: material.ca === undefined ? [] : [material.ca], pair };
}

/** Deno tells nothing of a session but that its handshake succeeded: for a client, that the server is verified. */
export function tlsInfo(role: "client" | "server"): TlsInfo {
  return { protocol: null, peerVerified: role === "client", peerName: null };
}
