import type { Address } from "../bytes/byte-stream.ts";
import { unmapIpv4 } from "../util/ip-address.ts";

/** Which side of a connection one is. */
export type Role = "client" | "server";

/** Both ends of a connection, as one side sees them. */
export interface Ends {
  readonly local: Address;
  readonly remote: Address;
}

/** One end of a TCP connection. A dual-stack listener sees IPv4 clients as `::ffff:1.2.3.4`; they get the address they have. */
export function tcpAddress(host: string, port: number): Address {
  const unmapped = unmapIpv4(host);
  return { kind: "tcp", host: unmapped, port, family: unmapped.includes(":") ? "IPv6" : "IPv4" };
}

/** What a TCP (or TLS) socket of `node:net` or Bun says of its ends. */
export interface SocketNames {
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

/** Both ends of a TCP (or TLS) socket, or null if the peer has gone already and the system no longer knows. */
export function tcpEnds(socket: SocketNames): Ends | null {
  const { localAddress, localPort = 0, remoteAddress, remotePort = 0 } = socket;
  if (localAddress === undefined || remoteAddress === undefined) return null;
  return { local: tcpAddress(localAddress, localPort), remote: tcpAddress(remoteAddress, remotePort) };
}

/** Both ends of a connection over the Unix socket at `path`. The client's own end has no path. */
export function unixEnds(role: Role, path: string): Ends {
  const server: Address = { kind: "unix", path };
  const client: Address = { kind: "unix", path: "" };
  return role === "server" ? { local: server, remote: client } : { local: client, remote: server };
}
