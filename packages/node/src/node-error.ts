/** Which side of a connection one is. */
export type Role = "client" | "server";

/** The `code` of one of Node's errors (`"ECONNRESET"`, `"ERR_SSL_…"`), or `""`. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : "";
}

/** `host:port` with IPv6 hosts in brackets, or the path of a Unix socket. */
export function endpointName(end: { path?: string | undefined; host?: string; port?: number }): string {
  if (end.path !== undefined) return end.path;
  const host = end.host ?? "";
  return `${host.includes(":") ? `[${host}]` : host}:${end.port ?? 0}`;
}

/** Listener for the errors of a socket that is thrown away: what there is to report has been reported. */
export function ignore(): void {
  // Without a listener, an "error" event would end the process.
}
