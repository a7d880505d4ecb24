import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { Runtime, RuntimeCrypto } from "../runtime.ts";

/**
 * The parts of a runtime that in-memory tests use: all except sockets, clock and turns. A `Runtime` such as
 * `nodeRuntime` has them. Without `warn`, warnings go to `console.warn`.
 */
export type RuntimeParts = Pick<
  Runtime,
  "crypto" | "deflate" | "inflate" | "inOwnContext" | "allocate" | "view" | "files"
> &
  Partial<Pick<Runtime, "warn">>;

const webCrypto: RuntimeCrypto = {
  randomBytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  // Web Crypto has digests only as promises.
  sha256: (data) => sha256(data),
  hmacSha256: (key, data) => hmac(sha256, key, data),
  async pbkdf2Sha256(password, salt, iterations) {
    const key = await crypto.subtle.importKey("raw", new Uint8Array(password), "PBKDF2", false, ["deriveBits"]);
    const parameters = { name: "PBKDF2", hash: "SHA-256", salt, iterations };
    return new Uint8Array(await crypto.subtle.deriveBits(parameters, key, 256));
  },
};

/** Parts available on any platform with Web Crypto, without compression, files and asynchronous context. */
export const webParts: RuntimeParts = {
  crypto: webCrypto,
  // Payloads that don't get smaller are sent as they are.
  deflate: (bytes) => bytes,
  inflate(bytes) {
    const message = `Cannot inflate ${bytes.length} bytes: pass the option runtime, for example nodeRuntime of @netconduit/node`;
    throw new ConduitError(ErrorCode.INFLATE_FAILED, message);
  },
  inOwnContext: (task, a, b) => task(a, b),
  allocate: (bytes) => new Uint8Array(bytes),
  view: (bytes, start, end) => (start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end)),
  files: undefined,
};
