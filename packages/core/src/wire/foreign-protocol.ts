import type { ConduitError } from "../errors.ts";

/** A protocol that reaches our port by mistake, recognized by its first bytes. */
export type ForeignProtocol = "TLS" | "HTTP";

/** First four characters of HTTP requests and responses, and of HTTP/2. */
const HTTP: ReadonlySet<string> = new Set([
  "GET ",
  "HEAD",
  "POST",
  "PUT ",
  "PATC",
  "DELE",
  "OPTI",
  "CONN",
  "TRAC",
  "PRI ",
  "HTTP",
]);

/** Recognizes a protocol by the `count` (at most 4) bytes at `at`, or returns null. */
export function foreignProtocol(bytes: Uint8Array, at: number, count: number): ForeignProtocol | null {
  if (count >= 3 && isTlsRecord(bytes[at] as number, bytes[at + 1] as number, bytes[at + 2] as number)) return "TLS";
  return count === 4 && HTTP.has(String.fromCharCode(...bytes.subarray(at, at + 4))) ? "HTTP" : null;
}

/** Cipher change, alert, handshake or data of SSL 3 to TLS 1.3. */
function isTlsRecord(type: number, major: number, minor: number): boolean {
  return type >= 0x14 && type <= 0x17 && major === 3 && minor <= 4;
}

/** The protocol in the details of a decoder's error. */
export function foreignProtocolOf({ details }: ConduitError): ForeignProtocol | undefined {
  return details?.["protocol"] as ForeignProtocol | undefined;
}
