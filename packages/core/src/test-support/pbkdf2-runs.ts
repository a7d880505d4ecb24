import type { RuntimeCrypto } from "../runtime.ts";

/** Starts to count the runs of PBKDF2. */
export function countPbkdf2(crypto: RuntimeCrypto): { readonly runs: number } {
  const count = { runs: 0 };
  const { pbkdf2Sha256 } = crypto;
  const counting: typeof pbkdf2Sha256 = (password, salt, iterations) => {
    count.runs += 1;
    return pbkdf2Sha256(password, salt, iterations);
  };
  Object.assign(crypto, { pbkdf2Sha256: counting });
  return count;
}
