/** What SCRAM-SHA-256 derives from a password (RFC 5802, section 3). */
import { Scratch } from "../bytes/scratch.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { SCRAM_ITERATIONS, SCRAM_MAX_ITERATIONS, SCRAM_MIN_ITERATIONS } from "../limits.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { encodeBase64 } from "./base64.ts";
import type { KeyDerivation } from "./next-logins.ts";

const SALT_BYTES = 16;
/** Servers one client talks to, times the passwords it had; a 17th pushes out the one not used for longest. */
const CACHED_KEYS = 16;

/** Bytes of a digest, and so of each key. */
const KEY_BYTES = 32;

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

/** Bytewise exclusive or of two keys or digests, written to `into`. */
export function xor(a: Uint8Array, b: Uint8Array, into: Uint8Array): Uint8Array {
  for (let index = 0; index < KEY_BYTES; index++) into[index] = (a[index] ?? 0) ^ (b[index] ?? 0);
  return into;
}

/** What a client holds to prove that it knows the password, and to check that the server does. */
export interface ScramClientKeys {
  readonly clientKey: Uint8Array;
  readonly storedKey: Uint8Array;
  readonly serverKey: Uint8Array;
}

/**
 * The password as SCRAM hashes it, in UTF-8: Unicode form NFKC. That is the one step of SASLprep (RFC 4013) that
 * decides whether the same password typed on two systems is the same bytes. Its other steps, mapping some characters
 * to nothing and prohibiting others, are left out: they concern characters that nobody has in a password, and both
 * ends of this protocol run this function.
 * @throws ConduitError INVALID_CONFIG for the empty password.
 */
export function normalizePassword(password: string): string {
  if (typeof password !== "string" || password === "") {
    throw new ConduitError(ErrorCode.INVALID_CONFIG, "password must be a string that is not empty");
  }
  return password.normalize("NFKC");
}

/** Derives a client's keys from a normalized password. The one slow step is PBKDF2. */
export async function deriveClientKeys(
  password: string,
  salt: Uint8Array,
  iterations: number,
  crypto: RuntimeCrypto,
): Promise<ScramClientKeys> {
  const salted = await crypto.pbkdf2Sha256(utf8(password), salt, iterations);
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

  /** The keys for a normalized password if they are known; null if they would have to be derived first. */
  known(
    password: string,
    derivation: KeyDerivation,
    crypto: RuntimeCrypto,
  ): ScramClientKeys | null | Promise<ScramClientKeys | null> {
    const digest = identify(password, derivation, crypto, digestMemory);
    if (digest instanceof Promise) return digest.then((late) => this.#find(late)?.keys ?? null);
    return this.#find(digest)?.keys ?? null;
  }

  /** The keys for a normalized password, derived unless they are known; logins at the same time share one derivation. */
  async derive(password: string, derivation: KeyDerivation, crypto: RuntimeCrypto): Promise<ScramClientKeys> {
    const { salt, iterations } = derivation;
    const hashed = identify(password, derivation, crypto);
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

/** For a digest that is compared at once. */
const digestMemory = new Uint8Array(KEY_BYTES);
const identityMemory = new Scratch(512);

/** SHA-256 of an unambiguous text for one set of inputs: no comma stands in the first two. */
function identify(
  password: string,
  { saltText, iterations }: KeyDerivation,
  crypto: RuntimeCrypto,
  into?: Uint8Array,
): Uint8Array | Promise<Uint8Array> {
  const bytes = identityMemory.clear().add(String(iterations)).add(",").add(saltText).add(",").add(password).bytes();
  const digest = crypto.sha256(bytes, into);
  bytes.fill(0);
  return digest;
}

/** Salt and iterations as they stand in a server-first-message, behind the nonce. */
export function parametersText(salt: string, iterations: number): string {
  return `,s=${salt},i=${iterations}`;
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
  /** What follows the nonce in the server-first-message. */
  readonly parameters: string;
  readonly storedKey: Uint8Array;
  readonly serverKey: Uint8Array;

  private constructor(salt: Uint8Array, iterations: number, keys: ScramClientKeys) {
    this.salt = salt;
    this.saltText = encodeBase64(salt);
    this.iterations = iterations;
    this.parameters = parametersText(this.saltText, iterations);
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
