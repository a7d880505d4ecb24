/** What SCRAM-SHA-256 derives from a password (RFC 5802, section 3). */
import { ConduitError, ErrorCode } from "../errors.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { utf8 } from "../util/utf8.ts";
import { encodeBase64 } from "./base64.ts";

const SALT_BYTES = 16;
/** Servers that a process talks to, times the passwords they have; a 17th key pushes out the one not used for longest. */
const CACHED_KEYS = 16;

/** The keys of a password, for one salt and one number of iterations. */
export interface ScramKeys {
  /** Proves a client's knowledge of the password. */
  readonly clientKey: Uint8Array;
  /** SHA-256 of the client key: checks such a proof. */
  readonly storedKey: Uint8Array;
  /** Proves a server's knowledge of the password. */
  readonly serverKey: Uint8Array;
}

/** Whether two byte strings are equal, in a time that depends on their lengths alone. */
export function constantTimeEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let index = 0; index < a.length; index++) difference |= (a[index] ?? 0) ^ (b[index] ?? 0);
  return difference === 0;
}

/**
 * The password as SCRAM hashes it: Unicode form NFKC. That is the one step of SASLprep (RFC 4013) that decides whether
 * the same password typed on two systems is the same bytes. The others, which drop or prohibit some characters, are
 * left out.
 * @throws ConduitError INVALID_CONFIG for the empty password.
 */
export function normalizePassword(password: string): string {
  if (typeof password !== "string" || password === "") {
    throw new ConduitError(ErrorCode.INVALID_CONFIG, "password must be a string that is not empty");
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
  const clientKey = await crypto.hmacSha256(salted, utf8("Client Key"));
  const storedKey = await crypto.sha256(clientKey);
  const serverKey = await crypto.hmacSha256(salted, utf8("Server Key"));
  return { clientKey, storedKey, serverKey };
}

/**
 * Keys that clients have derived, so that a reconnect skips PBKDF2. Holds at most 16, by a SHA-256 of password, salt
 * and iterations: the password itself is not kept.
 */
export class ScramKeyCache {
  readonly #crypto: RuntimeCrypto;
  /** In the order of use, the one not used for longest first. */
  readonly #derived = new Map<string, Promise<ScramKeys>>();

  constructor(crypto: RuntimeCrypto) {
    this.#crypto = crypto;
  }

  /** The keys of a normalized password. Logins at the same time share one derivation; one that fails is forgotten. */
  async get(password: string, salt: Uint8Array, iterations: number): Promise<ScramKeys> {
    const inputs = utf8(`${iterations},${encodeBase64(salt)},${password}`);
    const id = encodeBase64(await this.#crypto.sha256(inputs));
    const derived = this.#derived.get(id) ?? deriveKeys(password, salt, iterations, this.#crypto);
    this.#derived.delete(id);
    this.#derived.set(id, derived);
    const [oldest] = this.#derived.keys();
    if (this.#derived.size > CACHED_KEYS && oldest !== undefined) this.#derived.delete(oldest);
    try {
      return await derived;
    } catch (error) {
      if (this.#derived.get(id) === derived) this.#derived.delete(id);
      throw error;
    }
  }
}

const caches = new WeakMap<RuntimeCrypto, ScramKeyCache>();

/** The keys of all clients on one runtime: of a thousand clients of one server, one runs PBKDF2. */
export function keyCacheOf(crypto: RuntimeCrypto): ScramKeyCache {
  let cache = caches.get(crypto);
  if (cache === undefined) {
    cache = new ScramKeyCache(crypto);
    caches.set(crypto, cache);
  }
  return cache;
}

/** What a server keeps of its password. Logins are checked against it; it cannot be used to log in elsewhere. */
export interface ScramServerKeys {
  readonly salt: Uint8Array;
  readonly iterations: number;
  readonly storedKey: Uint8Array;
  readonly serverKey: Uint8Array;
}

/**
 * Runs PBKDF2 once, when a server starts; no login runs it again.
 * @param salt default 16 random bytes. Give one in tests only.
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
