/** Keys that SCRAM-SHA-256 derives from a password (RFC 5802, section 3). */
import { ConduitError, ErrorCode } from "../errors.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { encodeBase64 } from "../util/base64.ts";
import { utf8 } from "../util/utf8.ts";

/** Length of a new salt. */
export const SALT_BYTES = 16;
/** Number of cached keys, one per server and password. A 17th key evicts the least recently used one. */
const CACHED_KEYS = 16;

/** The keys of a password, for one salt and one number of iterations. */
export interface ScramKeys {
  /** Proves that a client knows the password. */
  readonly clientKey: Uint8Array;
  /** SHA-256 of the client key; verifies that proof. */
  readonly storedKey: Uint8Array;
  /** Proves that a server knows the password. */
  readonly serverKey: Uint8Array;
}

/** Whether two byte strings are equal, in time that depends only on their lengths. */
export function constantTimeEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let index = 0; index < a.length; index++) difference |= (a[index] ?? 0) ^ (b[index] ?? 0);
  return difference === 0;
}

/**
 * Normalizes a password to Unicode form NFKC. This is the step of SASLprep (RFC 4013) that makes the same password
 * typed on two systems the same bytes. The other steps, which drop or prohibit some characters, are omitted.
 * @throws ConduitError INVALID_CONFIG for the empty password.
 */
export function normalizePassword(password: string): string {
  if (typeof password !== "string" || password === "") {
    throw new ConduitError(ErrorCode.INVALID_CONFIG, "The password must be a string that isn't empty");
  }
  return password.normalize("NFKC");
}

/** Derives the keys of a normalized password. PBKDF2 is slow by design. */
async function deriveKeys(
  password: string,
  salt: Uint8Array,
  iterations: number,
  crypto: RuntimeCrypto,
): Promise<ScramKeys> {
  const salted = await crypto.pbkdf2Sha256(utf8(password), salt, iterations);
  const clientKey = crypto.hmacSha256(salted, utf8("Client Key"));
  const storedKey = crypto.sha256(clientKey);
  const serverKey = crypto.hmacSha256(salted, utf8("Server Key"));
  return { clientKey, storedKey, serverKey };
}

/**
 * Cache of keys derived by clients, so that a reconnect skips PBKDF2. Holds at most 16 keys, by a SHA-256 of password,
 * salt and iterations, so it doesn't retain the password.
 */
export class ScramKeyCache {
  readonly #crypto: RuntimeCrypto;
  /** Least recently used first. A promise until the keys are derived. */
  readonly #derived = new Map<string, ScramKeys | Promise<ScramKeys>>();

  constructor(crypto: RuntimeCrypto) {
    this.#crypto = crypto;
  }

  /**
   * Returns the keys of a normalized password, synchronously if they are cached. Concurrent logins share one
   * derivation; a failed one isn't cached.
   */
  get(password: string, salt: Uint8Array, iterations: number): ScramKeys | Promise<ScramKeys> {
    const inputs = utf8(`${iterations},${encodeBase64(salt)},${password}`);
    const id = encodeBase64(this.#crypto.sha256(inputs));
    const keys = this.#derived.get(id) ?? this.#derive(id, password, salt, iterations);
    this.#derived.delete(id);
    this.#derived.set(id, keys);
    const [oldest] = this.#derived.keys();
    if (this.#derived.size > CACHED_KEYS && oldest !== undefined) this.#derived.delete(oldest);
    return keys;
  }

  async #derive(id: string, password: string, salt: Uint8Array, iterations: number): Promise<ScramKeys> {
    try {
      const keys = await deriveKeys(password, salt, iterations, this.#crypto);
      if (this.#derived.has(id)) this.#derived.set(id, keys);
      return keys;
    } catch (error) {
      this.#derived.delete(id);
      throw error;
    }
  }
}

const caches = new WeakMap<RuntimeCrypto, ScramKeyCache>();

/** The cache shared by all clients on a runtime, so that PBKDF2 runs once for a thousand clients of one server. */
export function keyCacheOf(crypto: RuntimeCrypto): ScramKeyCache {
  let cache = caches.get(crypto);
  if (cache === undefined) {
    cache = new ScramKeyCache(crypto);
    caches.set(crypto, cache);
  }
  return cache;
}

/** The form of a password that a server stores. It verifies logins, but can't be used to log in. */
export interface ScramServerKeys {
  readonly salt: Uint8Array;
  readonly iterations: number;
  readonly storedKey: Uint8Array;
  readonly serverKey: Uint8Array;
}

/**
 * Runs PBKDF2 once, when a server starts. Logins don't run it again.
 * @param salt default: 16 random bytes. Set it in tests only.
 * @throws ConduitError INVALID_CONFIG for an empty password.
 */
export async function deriveServerKeys(
  password: string,
  iterations: number,
  crypto: RuntimeCrypto,
  salt: Uint8Array = crypto.randomBytes(SALT_BYTES),
): Promise<ScramServerKeys> {
  const { storedKey, serverKey } = await deriveKeys(normalizePassword(password), salt, iterations, crypto);
  return { salt, iterations, storedKey, serverKey };
}
