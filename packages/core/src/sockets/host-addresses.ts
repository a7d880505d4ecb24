import { ipFamily } from "../util/ip-address.ts";
import { codedError } from "./socket-errors.ts";

/** Resolves a name to its addresses of one family, best first. Rejects or returns an empty list if there are none. */
export type ResolveHost = (host: string, family: 4 | 6) => Promise<readonly string[]>;

/**
 * The addresses of `host` in one family, at least one. An address resolves to itself. Rejects with the runtime's error,
 * or with code ENOTFOUND.
 */
export async function hostAddresses(host: string, family: 4 | 6, resolve: ResolveHost): Promise<readonly string[]> {
  const own = ipFamily(host);
  if (own === family) return [host];
  const found = own === 0 ? await resolve(host, family) : [];
  if (found.length === 0) throw codedError("ENOTFOUND", `${host} has no IPv${family} address`);
  return found;
}
