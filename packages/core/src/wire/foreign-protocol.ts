import type { ConduitError } from "../errors.ts";

/** A protocol that gets to a port of ours by a mistake, and whose first bytes tell it. */
export type ForeignProtocol = "TLS" | "HTTP";

/** The first four characters of HTTP's requests and answers, and of HTTP/2. */
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

/** The protocol whose first bytes are the `count` (at most 4) bytes at `at`, or null. */
export function foreignProtocol(bytes: Uint8Array, at: number, count: number): ForeignProtocol | null {
  if (count >= 3 && isTlsRecord(bytes[at] as number, bytes[at + 1] as number, bytes[at + 2] as number)) return "TLS";
  return count === 4 && HTTP.has(String.fromCharCode(...bytes.subarray(at, at + 4))) ? "HTTP" : null;
}

/** Change of cipher, alert, handshake or data, of SSL 3 to TLS 1.3. */
function isTlsRecord(type: number, major: number, minor: number): boolean {
  return type >= 0x14 && type <= 0x17 && major === 3 && minor <= 4;
}

/** The protocol that a decoder's error names in its details. */
export function foreignProtocolOf({ details }: ConduitError): ForeignProtocol | undefined {
  return details?.["protocol"] as ForeignProtocol | undefined;
}
