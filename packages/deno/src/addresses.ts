import type { Address } from "@netconduit/core/adapter";

/** One of Deno's addresses. A dual-stack listener sees IPv4 clients as `::ffff:1.2.3.4`; they get the address they have. */
export function addressOf(address: Deno.Addr): Address {
  // A client's own end of a Unix socket has no path.
  if (!("hostname" in address)) return { kind: "unix", path: ("path" in address ? address.path : null) ?? "" };
  const { hostname, port } = address;
  if (/^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(hostname)) {
    return { kind: "tcp", host: hostname.slice(7), port, family: "IPv4" };
  }
  return { kind: "tcp", host: hostname, port, family: hostname.includes(":") ? "IPv6" : "IPv4" };
}

/** 4 or 6 for an address of that family, 0 for a name. */
export function addressFamily(host: string): 0 | 4 | 6 {
  if (host.includes(":")) return 6;
  return /^\d{1,3}(?:\.\d{1,3}){3}$/.test(host) ? 4 : 0;
}

/**
 * An address of `host` of one family. Deno's sockets take the first address of any family and its resolver asks DNS
 * alone, so a name that only the hosts file knows is not found; `localhost` needs neither (RFC 6761).
 */
export async function resolve(host: string, family: 4 | 6): Promise<string> {
  if (addressFamily(host) === family) return host;
  if (host === "localhost" || host.endsWith(".localhost")) return family === 4 ? "127.0.0.1" : "::1";
  const [address] = addressFamily(host) === 0 ? await Deno.resolveDns(host, family === 4 ? "A" : "AAAA") : [];
  if (address === undefined) throw new Deno.errors.NotFound(`${host} has no IPv${family} address`);
  return address;
}
