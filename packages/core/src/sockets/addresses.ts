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

/**
 * Both ends of a TCP (or TLS) socket, or null if the peer has disconnected and the system no longer knows them.
 * @param local this end, if known; saves the 230 bytes that a socket needs to remember its own
 */
export function tcpEnds(socket: SocketNames, local: Address | null = null): Ends | null {
  const { remoteAddress, remotePort = 0 } = socket;
  if (remoteAddress === undefined) return null;
  const remote = tcpAddress(remoteAddress, remotePort);
  if (local !== null) return { local, remote };
  const { localAddress, localPort = 0 } = socket;
  return localAddress === undefined ? null : { local: tcpAddress(localAddress, localPort), remote };
}

/** The local end of all connections of a listener; null if it listens on every address of the machine. */
export function listenerEnd(host: string, port: number): Address | null {
  return host === "0.0.0.0" || host === "::" ? null : tcpAddress(host, port);
}

/** Both ends of a connection over the Unix socket at `path`. The client's end has no path. */
export function unixEnds(role: Role, path: string): Ends {
  const server: Address = { kind: "unix", path };
  const client: Address = { kind: "unix", path: "" };
  return role === "server" ? { local: server, remote: client } : { local: client, remote: server };
}
