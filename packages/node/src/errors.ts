import { SocketErrors, TLS_CUT_OFF } from "@netconduit/core/adapter";

/** The `code` of a Node error (`"ECONNRESET"`, `"ERR_SSL_…"`), or `""`. */
function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  if (typeof code !== "string") return "";
  // A normal close during a TLS handshake is also ECONNRESET; a real reset has a `syscall`.
  return code === "ECONNRESET" && !("syscall" in (error as object)) ? TLS_CUT_OFF : code;
}

/** Converts Node's errors. */
export const errors: SocketErrors = new SocketErrors(codeOf);
