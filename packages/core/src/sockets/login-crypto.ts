import type { RuntimeCrypto } from "../runtime.ts";

interface Digest {
  update(data: Uint8Array): { digest(): Uint8Array };
}

/** The part of `node:crypto`, which every runtime has, that logins use. */
export interface NodeCrypto {
  createHash(algorithm: "sha256"): Digest;
  createHmac(algorithm: "sha256", key: Uint8Array): Digest;
}

/**
 * Cryptography for logins. `node:crypto` digests at once; Web Crypto would take a turn of the event loop for each digest,
 * and the logins of one address are judged one after the other. Web Crypto derives keys off the main thread everywhere;
 * on Deno six times as fast as `node:crypto` does.
 */
export function loginCrypto({ createHash, createHmac }: NodeCrypto): RuntimeCrypto {
  return {
    randomBytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
    sha256: async (data) => new Uint8Array(createHash("sha256").update(data).digest()),
    hmacSha256: async (key, data) => new Uint8Array(createHmac("sha256", key).update(data).digest()),
    async pbkdf2Sha256(password, salt, iterations) {
      // A copy: the platform's types refuse memory that might be shared.
      const key = await crypto.subtle.importKey("raw", new Uint8Array(password), "PBKDF2", false, ["deriveBits"]);
      const parameters = { name: "PBKDF2", hash: "SHA-256", salt, iterations };
      return new Uint8Array(await crypto.subtle.deriveBits(parameters, key, 256));
    },
  };
}
