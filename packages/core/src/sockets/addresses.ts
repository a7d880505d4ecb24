import type { Address } from "../bytes/byte-stream.ts";
import { unmapIpv4 } from "../util/ip-address.ts";

/** A side of a connection. */
export type Role = "client" | "server";

/** Both ends of a connection, as seen by one side. */
export interface Ends {
  readonly local: Address;
  readonly remote: Address;
}

/**
 * One end of a TCP connection. Converts `::ffff:1.2.3.4`, as a dual-stack listener sees IPv4 clients, to the IPv4
 * address.
 */
export function tcpAddress(host: string, port: number): Address {
  const unmapped = unmapIpv4(host);
  return { kind: "tcp", host: unmapped, port, family: unmapped.includes(":") ? "IPv6" : "IPv4" };
}

/** Addresses reported by a TCP (or TLS) socket of `node:net` or Bun. */
export interface SocketNames {
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

/** Both ends of a TCP (or TLS) socket, or null if the peer has disconnected and the system no longer knows them. */
export function tcpEnds(socket: SocketNames): Ends | null {
  const { localAddress, localPort = 0, remoteAddress, remotePort = 0 } = socket;
  if (localAddress === undefined || remoteAddress === undefined) return null;
  return { local: tcpAddress(localAddress, localPort), remote: tcpAddress(remoteAddress, remotePort) };
}

/** Both ends of a connection over the Unix socket at `path`. The client's end has no path. */
export function unixEnds(role: Role, path: string): Ends {
  const server: Address = { kind: "unix", path };
  const client: Address = { kind: "unix", path: "" };
  return role === "server" ? { local: server, remote: client } : { local: client, remote: server };
}
