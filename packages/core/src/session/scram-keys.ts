/** What SCRAM-SHA-256 derives from a password (RFC 5802, section 3). */
import { ConduitError, ErrorCode } from "../errors.ts";
import { SCRAM_ITERATIONS, SCRAM_MAX_ITERATIONS, SCRAM_MIN_ITERATIONS } from "../limits.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { encodeBase64 } from "./base64.ts";

const SALT_BYTES = 16;
/** Servers one client talks to, times the passwords it had; a 17th pushes out the one not used for longest. */
const CACHED_KEYS = 16;

const encoder = new TextEncoder();

/** UTF-8 bytes of `text`. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Whether two byte strings are equal, in a time that depends on their lengths alone. */
export function constantTimeEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let index = 0; index < a.length; index++) difference |= (a[index] ?? 0) ^ (b[index] ?? 0);
  return difference === 0;
}

/** Bytewise exclusive or of two byte strings of one length. */
export function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  const result = new Uint8Array(a.length);
  for (let index = 0; index < a.length; index++) result[index] = (a[index] ?? 0) ^ (b[index] ?? 0);
  return result;
}

/** What a client holds to prove that it knows the password, and to check that the server does. */
export interface ScramClientKeys {
  readonly clientKey: Uint8Array;
  readonly storedKey: Uint8Array;
  readonly serverKey: Uint8Array;
}

/**
 * The password as SCRAM hashes it: Unicode form NFKC, in UTF-8. That is the one step of SASLprep (RFC 4013) that
 * decides whether the same password typed on two systems is the same bytes. Its other steps, mapping some characters
 * to nothing and prohibiting others, are left out: they concern characters that nobody has in a password, and both
 * ends of this protocol run this function.
 * @throws ConduitError INVALID_CONFIG for the empty password.
 */
export function normalizePassword(password: string): Uint8Array {
  if (typeof password !== "string" || password === "") {
    throw new ConduitError(ErrorCode.INVALID_CONFIG, "password must be a string that is not empty");
  }
  return utf8(password.normalize("NFKC"));
}

/** Derives a client's keys. The one slow step is PBKDF2. */
export async function deriveClientKeys(
  password: Uint8Array,
  salt: Uint8Array,
  iterations: number,
  crypto: RuntimeCrypto,
): Promise<ScramClientKeys> {
  const salted = await crypto.pbkdf2Sha256(password, salt, iterations);
  const clientKey = await crypto.hmacSha256(salted, utf8("Client Key"));
  const storedKey = await crypto.sha256(clientKey);
  const serverKey = await crypto.hmacSha256(salted, utf8("Server Key"));
  return { clientKey, storedKey, serverKey };
}

interface CachedKeys {
  readonly digest: Uint8Array;
  readonly derived: Promise<ScramClientKeys>;
  /** Null while PBKDF2 runs. */
  keys: ScramClientKeys | null;
}

/**
 * Remembers a client's keys, so that a reconnect skips PBKDF2. Holds at most 16. They are filed under a SHA-256 of
 * password, salt and iterations: the password itself is not kept.
 */
export class ScramKeyCache {
  /** In the order of use, the one not used for longest first. */
  readonly #cached: CachedKeys[] = [];

  /** Number of keys held. */
  get size(): number {
    return this.#cached.length;
  }

  /** The keys for these inputs if they are known; null if they would have to be derived first. */
  known(
    password: Uint8Array,
    salt: Uint8Array,
    iterations: number,
    crypto: RuntimeCrypto,
  ): ScramClientKeys | null | Promise<ScramClientKeys | null> {
    const digest = crypto.sha256(identity(password, salt, iterations));
    if (digest instanceof Promise) return digest.then((late) => this.#find(late)?.keys ?? null);
    return this.#find(digest)?.keys ?? null;
  }

  /** The keys for these inputs, derived unless they are known; logins at the same time share one derivation. */
  async derive(
    password: Uint8Array,
    salt: Uint8Array,
    iterations: number,
    crypto: RuntimeCrypto,
  ): Promise<ScramClientKeys> {
    const hashed = crypto.sha256(identity(password, salt, iterations));
    const digest = hashed instanceof Promise ? await hashed : hashed;
    let cached = this.#find(digest);
    if (cached === null) {
      cached = { digest, derived: deriveClientKeys(password, salt, iterations, crypto), keys: null };
      if (this.#cached.push(cached) > CACHED_KEYS) this.#cached.shift();
    }
    if (cached.keys !== null) return cached.keys;
    try {
      cached.keys = await cached.derived;
      return cached.keys;
    } catch (error) {
      // A derivation that failed is not remembered.
      const at = this.#cached.indexOf(cached);
      if (at >= 0) this.#cached.splice(at, 1);
      throw error;
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#cached.length = 0;
  }

  #find(digest: Uint8Array): CachedKeys | null {
    const last = this.#cached.length - 1;
    for (let at = last; at >= 0; at--) {
      const cached = this.#cached[at] as CachedKeys;
      if (!constantTimeEqual(cached.digest, digest)) continue;
      if (at !== last) {
        this.#cached.splice(at, 1);
        this.#cached.push(cached);
      }
      return cached;
    }
    return null;
  }
}

/** Unambiguous bytes for one set of inputs: iterations and the salt's length come first, in four bytes each. */
function identity(password: Uint8Array, salt: Uint8Array, iterations: number): Uint8Array {
  const bytes = new Uint8Array(8 + salt.length + password.length);
  for (let at = 0; at < 4; at++) {
    bytes[at] = iterations >>> (8 * at);
    bytes[4 + at] = salt.length >>> (8 * at);
  }
  bytes.set(salt, 8);
  bytes.set(password, 8 + salt.length);
  return bytes;
}

/** Inputs of {@link ScramServerKeys.derive}. */
export interface ScramServerKeysOptions {
  readonly password: string;
  readonly crypto: RuntimeCrypto;
  /** PBKDF2 rounds, 4096 to 1,000,000. Default 15,000. */
  readonly iterations?: number | undefined;
  /** Default: 16 random bytes. */
  readonly salt?: Uint8Array | undefined;
}

/** What a server keeps of a password. Logins are checked against it; it cannot be used to log in elsewhere. */
export class ScramServerKeys {
  readonly salt: Uint8Array;
  /** As it stands in the server-first-message. */
  readonly saltText: string;
  readonly iterations: number;
  readonly storedKey: Uint8Array;
  readonly serverKey: Uint8Array;

  private constructor(salt: Uint8Array, iterations: number, keys: ScramClientKeys) {
    this.salt = salt;
    this.saltText = encodeBase64(salt);
    this.iterations = iterations;
    this.storedKey = keys.storedKey;
    this.serverKey = keys.serverKey;
  }

  /**
   * Runs PBKDF2 once, when a server starts; no login runs it again.
   * @throws ConduitError INVALID_CONFIG for an empty password or salt, or iterations out of range.
   */
  static async derive(options: ScramServerKeysOptions): Promise<ScramServerKeys> {
    const { crypto, iterations = SCRAM_ITERATIONS, salt = crypto.randomBytes(SALT_BYTES) } = options;
    const password = normalizePassword(options.password);
    if (!Number.isInteger(iterations) || iterations < SCRAM_MIN_ITERATIONS || iterations > SCRAM_MAX_ITERATIONS) {
      throw new ConduitError(
        ErrorCode.INVALID_CONFIG,
        `SCRAM iterations must be an integer from ${SCRAM_MIN_ITERATIONS} to ${SCRAM_MAX_ITERATIONS}, got ${iterations}`,
      );
    }
    if (salt.length === 0) throw new ConduitError(ErrorCode.INVALID_CONFIG, "SCRAM salt must not be empty");
    return new ScramServerKeys(salt, iterations, await deriveClientKeys(password, salt, iterations, crypto));
  }
}
