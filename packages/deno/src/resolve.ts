import { addressFamily } from "@netconduit/core/adapter";

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
