/** The `code` of one of Deno's errors (`"ECONNRESET"`), or `""`: failed look-ups and TLS errors have none. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : "";
}

/** The class of one of Deno's errors (`"ConnectionReset"`, `"NotCapable"`), or `""`. */
export function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "";
}

/** What an error says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether Deno has not been permitted to do it: no `--allow-net`, `--allow-read` or `--allow-write` that covers it. */
export function isPermissionError(error: unknown): boolean {
  return error instanceof Deno.errors.NotCapable;
}

/** `host:port` with IPv6 hosts in brackets, or the path of a Unix socket. */
export function endpointName(end: { path?: string | undefined; host?: string; port?: number }): string {
  if (end.path !== undefined) return end.path;
  const host = end.host ?? "";
  return `${host.includes(":") ? `[${host}]` : host}:${end.port ?? 0}`;
}

/** Which side of a connection one is. */
export type Role = "client" | "server";
