import type { Address } from "./byte-stream.ts";

/** `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/app.sock`. The client's end of a Unix socket has no path: `unix:`. */
export function formatAddress(address: Address): string {
  return address.kind === "memory" ? `memory:${address.name}` : formatEndpoint(address);
}

/** An address to connect to or listen on: the path of a Unix socket, or a host (an address or a name) and a port. */
export interface Endpoint {
  readonly path?: string | undefined;
  readonly host?: string;
  readonly port?: number;
}

/** An endpoint as text, like {@link formatAddress}. */
export function formatEndpoint({ path, host = "", port = 0 }: Endpoint): string {
  if (path !== undefined) return `unix:${path}`;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The listening address of a server. As text: `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/app.sock`. */
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
    return formatEndpoint(this.path === null ? { host: this.host, port: this.port } : { path: this.path });
  }
}
