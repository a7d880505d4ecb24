import type { RuntimeCrypto } from "../runtime.ts";

/** The part of `node:crypto`, which every runtime has, that logins use. */
export interface NodeCrypto {
  hash(algorithm: "sha256", data: Uint8Array, encoding: "buffer"): Uint8Array;
  /** @param key from `createSecretKey` */
  createHmac(algorithm: "sha256", key: unknown): { update(data: Uint8Array): { digest(): Uint8Array } };
  createSecretKey(bytes: Uint8Array): unknown;
}

/** Random bytes to generate at a time, because each call takes 2.4 µs regardless of the number. */
const DRAWN_BYTES = 1024;

/**
 * Cryptography for logins. Digests use `node:crypto`, which is synchronous; Web Crypto would take an event loop turn
 * for each digest. Keys are derived by Web Crypto, which runs off the main thread on all runtimes, and on Deno is six
 * times as fast as `node:crypto`.
 */
export function loginCrypto({ hash, createHmac, createSecretKey }: NodeCrypto): RuntimeCrypto {
  // Node 24 takes 11.5 µs for an HMAC with a key as bytes, and 2.4 with a key object. Logins reuse few keys.
  const secretKeys = new WeakMap<Uint8Array, unknown>();
  const secretKey = (bytes: Uint8Array): unknown => {
    const key = secretKeys.get(bytes) ?? createSecretKey(bytes);
    secretKeys.set(bytes, key);
    return key;
  };
  let drawn = new Uint8Array(0);
  return {
    randomBytes(count) {
      if (count > DRAWN_BYTES) return crypto.getRandomValues(new Uint8Array(count));
      if (count > drawn.length) drawn = crypto.getRandomValues(new Uint8Array(DRAWN_BYTES));
      const bytes = drawn.slice(0, count);
      drawn = drawn.subarray(count);
      return bytes;
    },
    sha256: (data) => new Uint8Array(hash("sha256", data, "buffer")),
    hmacSha256: (key, data) => new Uint8Array(createHmac("sha256", secretKey(key)).update(data).digest()),
    async pbkdf2Sha256(password, salt, iterations) {
      // A copy, because the platform's types don't accept memory that might be shared.
      const key = await crypto.subtle.importKey("raw", new Uint8Array(password), "PBKDF2", false, ["deriveBits"]);
      const parameters = { name: "PBKDF2", hash: "SHA-256", salt, iterations };
      return new Uint8Array(await crypto.subtle.deriveBits(parameters, key, 256));
    },
  };
}
