import { SocketErrors } from "@netconduit/core/adapter";

/**
 * The `code` of one of Bun's errors (`"ECONNRESET"`, `"CERT_HAS_EXPIRED"`), or `""`. Removes the prefix of resolver
 * errors (`DNS_ENOTFOUND`), and gives TLS errors, which all have `EPROTO`, Node's codes
 * (`ERR_SSL_WRONG_VERSION_NUMBER`).
 */
function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  if (typeof code !== "string") return "";
  if (code === "EPROTO" && error instanceof Error) {
    const reason = /:OPENSSL_internal:([A-Z0-9_]+)/.exec(error.message)?.[1];
    if (reason !== undefined) return `ERR_SSL_${reason}`;
  }
  return code.startsWith("DNS_") ? code.slice(4) : code;
}

/** Converts Bun's errors. */
export const errors: SocketErrors = new SocketErrors(codeOf);
