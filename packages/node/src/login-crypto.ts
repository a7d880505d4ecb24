/** What a login needs of cryptography, without the objects that `node:crypto` makes for each of its calls. */

import { hash, randomFillSync } from "node:crypto";

const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
/** Random bytes are fetched this many at a time: the call costs more than the bytes do. */
const POOL_BYTES = 4096;

const pool = new Uint8Array(POOL_BYTES);
let taken = POOL_BYTES;

/** Bytes of the system's generator; each is given out once, and nothing of it is kept. */
export function takeRandomBytes(count: number): Uint8Array {
  if (count > POOL_BYTES) return randomFillSync(new Uint8Array(count));
  if (taken + count > POOL_BYTES) {
    randomFillSync(pool);
    taken = 0;
  }
  const bytes = pool.slice(taken, taken + count);
  pool.fill(0, taken, taken + count);
  taken += count;
  return bytes;
}

/** The digest of `data`, written to `target`. As text it takes Node half the time that it takes as a Buffer. */
function digest(data: Uint8Array, target: Uint8Array, at: number): void {
  const text = hash("sha256", data, "binary");
  for (let index = 0; index < DIGEST_BYTES; index += 1) target[at + index] = text.charCodeAt(index);
}

/** SHA-256 by one call, instead of the stream that `createHash` makes. */
export function sha256(data: Uint8Array): Uint8Array {
  const result = new Uint8Array(DIGEST_BYTES);
  digest(data, result, 0);
  return result;
}

/** Reused: what is hashed here is hashed before the next call. Logins sign some 200 bytes. */
const inner = new Uint8Array(BLOCK_BYTES + 1024);
const outer = new Uint8Array(BLOCK_BYTES + DIGEST_BYTES);

/**
 * HMAC-SHA-256 (RFC 2104) by two hashes. `createHmac` makes a key object for each call, which takes four times as long
 * and leaves the garbage collector native objects to free.
 */
export function hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
  const short = key.length > BLOCK_BYTES ? sha256(key) : key;
  const length = BLOCK_BYTES + data.length;
  const first = length <= inner.length ? inner.subarray(0, length) : new Uint8Array(length);
  for (let index = 0; index < BLOCK_BYTES; index += 1) {
    const byte = short[index] ?? 0;
    first[index] = 0x36 ^ byte;
    outer[index] = 0x5c ^ byte;
  }
  first.set(data, BLOCK_BYTES);
  digest(first, outer, BLOCK_BYTES);
  return sha256(outer);
}
