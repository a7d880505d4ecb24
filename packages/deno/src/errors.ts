import { ACCESS_DENIED, CA_AS_SERVER, messageOf, SocketErrors, TLS_CUT_OFF } from "@netconduit/core/adapter";

/**
 * Names for errors without a code, by class and message. TLS errors are rustls's, whose variants Deno prints. The first
 * match counts.
 */
const names: readonly (readonly [name: string | null, words: RegExp, code: string])[] = [
  ["NotCapable", /^/, ACCESS_DENIED],
  ["UnexpectedEof", /^/, TLS_CUT_OFF],
  ["ConnectionReset", /^/, "ECONNRESET"],
  ["ConnectionAborted", /^/, "ECONNABORTED"],
  ["BrokenPipe", /^/, "EPIPE"],
  // Closed by this side.
  ["BadResource", /^/, "EBADF"],
  // Verification of the server's certificate failed.
  [
    null,
    /^invalid peer certificate: .*(?:not valid for (?:any )?name|NotValidForName)/,
    "ERR_TLS_CERT_ALTNAME_INVALID",
  ],
  [null, /^invalid peer certificate: .*(?:expired|not valid yet|NotValidYet|not yet valid)/i, "CERT_HAS_EXPIRED"],
  [null, /^invalid peer certificate: .*CaUsedAsEndEntity/, CA_AS_SERVER],
  [null, /^invalid peer certificate/, "CERT_UNTRUSTED"],
  // The first bytes aren't a TLS record.
  [
    null,
    /^received corrupt message of type (?:InvalidContentType|UnknownProtocolVersion)|^InvalidContentType/,
    "ERR_SSL_WRONG_VERSION_NUMBER",
  ],
  ["InvalidData", /^/, "ERR_TLS_INVALID_DATA"],
  // The system's resolver fails without a code, Deno's DNS client with the class NotFound.
  [null, /lookup address|No such host|no records? found|has no IPv[46] address|resolve/i, "ENOTFOUND"],
];

/** The core's name for one of Deno's errors (`"ECONNRESET"`, `"CERT_HAS_EXPIRED"`), or `""`. */
function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  if (typeof code === "string") return code;
  if (!(error instanceof Error)) return "";
  const alert = /^received fatal alert: (\w+)/.exec(error.message)?.[1];
  // `UnknownCA` is OpenSSL's `UNKNOWN_CA`.
  if (alert !== undefined) return `ERR_SSL_ALERT_${alert.replace(/([a-z])(?=[A-Z])/g, "$1_").toUpperCase()}`;
  for (const [name, words, known] of names) {
    if ((name === null || name === error.name) && words.test(messageOf(error))) return known;
  }
  return "";
}

/** Converts Deno's errors. */
export const errors: SocketErrors = new SocketErrors(codeOf);
