import type { Address, ByteStream } from "./byte-stream.ts";

/** `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/app.sock`. */
export function formatAddress(address: Address): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  if (address.kind === "memory") return `memory:${address.name}`;
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** Whether nobody sits in between, or whoever does can neither read nor forge: TLS, or within one machine. */
export function isPrivate({ tls, remote }: ByteStream): boolean {
  return tls !== null || remote.kind !== "tcp" || remote.host === "::1" || remote.host.startsWith("127.");
}

/** Where a server listens. As text: `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/app.sock`. */
export class ServerAddress {
  /** Empty for a Unix socket. */
  readonly host: string;
  /** 0 for a Unix socket. */
  readonly port: number;
  /** Null for TCP. */
  readonly path: string | null;

  constructor(host: string, port: number, path: string | null) {
    this.host = host;
    this.port = port;
    this.path = path;
  }

  toString(): string {
    if (this.path !== null) return formatAddress({ kind: "unix", path: this.path });
    return formatAddress({ kind: "tcp", host: this.host, port: this.port, family: "IPv4" });
  }
}
