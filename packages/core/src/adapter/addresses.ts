import type { Address } from "../bytes/byte-stream.ts";

/** Which side of a connection one is. */
export type Role = "client" | "server";

/** Both ends of a connection, as one side sees them. */
export interface Ends {
  readonly local: Address;
  readonly remote: Address;
}

/** `host:port` with IPv6 hosts in brackets, or the path of a Unix socket. */
export function endpointName(end: { path?: string | undefined; host?: string; port?: number }): string {
  if (end.path !== undefined) return end.path;
  const host = end.host ?? "";
  return `${host.includes(":") ? `[${host}]` : host}:${end.port ?? 0}`;
}

/** A stream's peer, in words. */
export function addressName(address: Address): string {
  switch (address.kind) {
    case "tcp":
      return endpointName(address);
    case "unix":
      return address.path === "" ? "a client of a Unix socket" : address.path;
    case "memory":
      return address.name;
  }
}

/** One end of a TCP connection. A dual-stack listener sees IPv4 clients as `::ffff:1.2.3.4`; they get the address they have. */
export function tcpAddress(host: string, port: number): Address {
  if (!host.includes(":")) return { kind: "tcp", host, port, family: "IPv4" };
  if (/^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(host)) return { kind: "tcp", host: host.slice(7), port, family: "IPv4" };
  return { kind: "tcp", host, port, family: "IPv6" };
}

/**
 * Both ends of a TCP (or TLS) socket, or null if the peer has gone already and the system no longer knows.
 * @param local the near end, if it is known without asking the socket
 */
export function tcpEnds(
  socket: {
    readonly localAddress?: string | undefined;
    readonly localPort?: number | undefined;
    readonly remoteAddress?: string | undefined;
    readonly remotePort?: number | undefined;
  },
  local: Address | null = null,
): Ends | null {
  const { remoteAddress, remotePort = 0 } = socket;
  if (remoteAddress === undefined) return null;
  if (local !== null) return { local, remote: tcpAddress(remoteAddress, remotePort) };
  const { localAddress, localPort = 0 } = socket;
  if (localAddress === undefined) return null;
  return { local: tcpAddress(localAddress, localPort), remote: tcpAddress(remoteAddress, remotePort) };
}

/** Both ends of a connection over the Unix socket at `path`. The client's own end has no path. */
export function unixEnds(role: Role, path: string): Ends {
  const server: Address = { kind: "unix", path };
  const client: Address = { kind: "unix", path: "" };
  return role === "server" ? { local: server, remote: client } : { local: client, remote: server };
}

/** 4 or 6 for an address of that family, 0 for a name. */
export function addressFamily(host: string): 0 | 4 | 6 {
  if (host.includes(":")) return 6;
  const octet = "(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)";
  return new RegExp(`^${octet}(?:\\.${octet}){3}$`).test(host) ? 4 : 0;
}
