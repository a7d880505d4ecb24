/** What a login needs of cryptography, without the objects that runtimes make for each of its calls. */

import { Scratch } from "../bytes/scratch.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { plainBytes } from "./bounded-inflate.ts";

const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
/** Random bytes are fetched this many at a time: the call costs more than the bytes do. */
const POOL_BYTES = 4096;

/** What {@link loginCrypto} needs of a runtime. */
export interface CryptoPrimitives {
  /**
   * The digest, or a text with a character for each of its bytes.
   * @param into 32 bytes, where the digest may be written to
   */
  sha256(data: Uint8Array, into: Uint8Array): Uint8Array | string;
  /** Fills `bytes`, at most 64 KiB, from the system's generator. */
  fillRandom(bytes: Uint8Array): void;
  /** PBKDF2-HMAC-SHA-256, 32 bytes, off the main thread. */
  pbkdf2Sha256(password: Uint8Array, salt: Uint8Array, iterations: number): Promise<Uint8Array>;
}

/** The cryptography of a {@link Runtime} made of its primitives; results are plain arrays. */
export function loginCrypto({ sha256, fillRandom, pbkdf2Sha256 }: CryptoPrimitives): RuntimeCrypto {
  const pool = new RandomPool(fillRandom);
  const digest = (data: Uint8Array, into: Uint8Array = new Uint8Array(DIGEST_BYTES)): Uint8Array => {
    const result = sha256(data, into);
    if (typeof result !== "string") return plainBytes(result);
    for (let index = 0; index < DIGEST_BYTES; index += 1) into[index] = result.charCodeAt(index);
    return into;
  };
  return {
    randomBytes: (count, into) => pool.take(count, into),
    sha256: digest,
    hmacSha256: (key, data, into) => hmacSha256(key, data, digest, into),
    pbkdf2Sha256: async (password, salt, iterations) => plainBytes(await pbkdf2Sha256(password, salt, iterations)),
  };
}

/** Bytes of the system's generator; each is given out once, and nothing of it is kept. */
export class RandomPool {
  readonly #fill: (bytes: Uint8Array) => void;
  readonly #pool: Uint8Array = new Uint8Array(POOL_BYTES);
  #taken: number = POOL_BYTES;

  constructor(fill: (bytes: Uint8Array) => void) {
    this.#fill = fill;
  }

  /** @param into `count` bytes for them. Default: new memory. */
  take(count: number, into: Uint8Array = new Uint8Array(count)): Uint8Array {
    const pool = this.#pool;
    if (count > POOL_BYTES) {
      for (let start = 0; start < count; start += POOL_BYTES) this.#fill(into.subarray(start, start + POOL_BYTES));
      return into;
    }
    if (this.#taken + count > POOL_BYTES) {
      this.#fill(pool);
      this.#taken = 0;
    }
    const start = this.#taken;
    for (let index = 0; index < count; index += 1) {
      into[index] = pool[start + index] as number;
      pool[start + index] = 0;
    }
    this.#taken = start + count;
    return into;
  }
}

/** What is hashed here is hashed before the next call. Logins sign some 200 bytes. */
const inner = new Scratch(1024);
const outer = new Uint8Array(BLOCK_BYTES + DIGEST_BYTES);
const innerDigest = outer.subarray(BLOCK_BYTES);

/**
 * HMAC-SHA-256 (RFC 2104) by two hashes. Node's `createHmac` makes a key object for each call, which takes four times
 * as long and leaves the garbage collector native objects to free; elsewhere the two take the same time.
 * @param sha256 may write the digest to the second argument
 * @param into the second argument of the last call
 */
export function hmacSha256(
  key: Uint8Array,
  data: Uint8Array,
  sha256: (data: Uint8Array, into?: Uint8Array) => Uint8Array,
  into?: Uint8Array,
): Uint8Array {
  const short = key.length > BLOCK_BYTES ? sha256(key) : key;
  const first = inner.take(BLOCK_BYTES + data.length);
  for (let index = 0; index < BLOCK_BYTES; index += 1) {
    const byte = index < short.length ? (short[index] as number) : 0;
    first[index] = 0x36 ^ byte;
    outer[index] = 0x5c ^ byte;
  }
  first.set(data, BLOCK_BYTES);
  const digest = sha256(first, innerDigest);
  if (digest !== innerDigest) innerDigest.set(digest);
  return sha256(outer, into);
}
