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

const OCTET = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const IPV4_ADDRESS: RegExp = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);

/**
 * The far end of a connection to `host`, where that can be told without asking the socket: an IPv4 address has one
 * spelling, and unlike IPv6's none is said to be mapped or to have a zone. The system takes 0.0.0.0 for another.
 */
export function peerAddress(
  host: string,
  { path, port }: { readonly path?: string | undefined; readonly port: number },
): Address | null {
  if (path !== undefined || host === "0.0.0.0" || !IPV4_ADDRESS.test(host)) return null;
  return { kind: "tcp", host, port, family: "IPv4" };
}

/** What a socket says of its ends. */
export interface SocketNames {
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

/** Used again: whoever makes a stream of them takes what it needs. */
const ends: { -readonly [Key in keyof Ends]: Ends[Key] } = {
  local: { kind: "unix", path: "" },
  remote: { kind: "unix", path: "" },
};

/**
 * Both ends of a TCP (or TLS) socket, good until the next call, or null if the peer has gone already and the system no
 * longer knows.
 * @param local the near end, if it is known without asking the socket
 * @param remote the far end, likewise; that the peer has gone shows later then
 */
export function tcpEnds(socket: SocketNames, local: Address | null = null, remote: Address | null = null): Ends | null {
  const far = remote ?? endAt(socket.remoteAddress, socket.remotePort);
  if (far === null) return null;
  const near = local ?? endAt(socket.localAddress, socket.localPort);
  if (near === null) return null;
  ends.local = near;
  ends.remote = far;
  return ends;
}

function endAt(host: string | undefined, port = 0): Address | null {
  return host === undefined ? null : tcpAddress(host, port);
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
