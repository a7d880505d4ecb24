import type { Address } from "@netconduit/core/adapter";
import type { EventSocket } from "./socket-events.ts";

/** Both ends of a TCP (or TLS) socket, or null if the peer has gone already and the system no longer knows. */
export function tcpAddresses(socket: EventSocket): { local: Address; remote: Address } | null {
  const { localAddress, localPort, remoteAddress, remotePort }: Partial<EventSocket> = socket;
  if (localAddress === undefined || remoteAddress === undefined) return null;
  return {
    local: tcpAddress(localAddress, localPort ?? 0),
    remote: tcpAddress(remoteAddress, remotePort ?? 0),
  };
}

/** A dual-stack listener may see IPv4 clients as `::ffff:1.2.3.4`; they are given the address they have. */
function tcpAddress(host: string, port: number): Address {
  if (/^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(host)) return { kind: "tcp", host: host.slice(7), port, family: "IPv4" };
  return { kind: "tcp", host, port, family: host.includes(":") ? "IPv6" : "IPv4" };
}
