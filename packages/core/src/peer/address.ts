import type { Address } from "../bytes/byte-stream.ts";

/** `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/app.sock`. */
export function formatAddress(address: Address): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  if (address.kind === "memory") return `memory:${address.name}`;
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
