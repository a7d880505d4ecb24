import { addressFamily } from "@netconduit/core/adapter";
import { codedError, errors } from "./bun-error.ts";

/**
 * The addresses of `host` in one family; an address stands for itself.
 * @throws what the resolver says, with a code like `ENOTFOUND`
 */
export async function resolveHost(host: string, family: 4 | 6): Promise<[string, ...string[]]> {
  const kind = addressFamily(host);
  if (kind === family) return [host];
  if (kind === 0) {
    const [first, ...others] = (await Bun.dns.lookup(host, { family })).map(({ address }) => address);
    if (first !== undefined) return [first, ...others];
  }
  throw codedError("ENOTFOUND", `getaddrinfo ENOTFOUND ${host}: no IPv${family} address`);
}

/** Whether connecting to another address of the same host may fare better. */
export function mayFareBetter(error: unknown): boolean {
  return /^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EADDRNOTAVAIL|EINVAL)$/.test(errors.codeOf(error));
}
