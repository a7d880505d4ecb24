/** SHA-256 (FIPS 180-4) and its HMAC (RFC 2104) for platforms that have digests only as promises, as Web Crypto does. */

const BLOCK_BYTES = 64;

const PRIMES: readonly number[] = firstPrimes(64);
/** 32 bits behind the point, of the cube roots of the first 64 primes. */
const ROUND_CONSTANTS: readonly number[] = PRIMES.map((prime) => fractionBits(Math.cbrt(prime)));
/** The same of the square roots of the first eight. */
const INITIAL_HASH: readonly number[] = PRIMES.slice(0, 8).map((prime) => fractionBits(Math.sqrt(prime)));

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes;
}

function fractionBits(root: number): number {
  return Math.floor((root % 1) * 2 ** 32);
}

export function sha256(data: Uint8Array): Uint8Array {
  const words = padded(data);
  const hash = Uint32Array.from(INITIAL_HASH);
  for (let at = 0; at < words.byteLength; at += BLOCK_BYTES) addBlock(hash, words, at);
  const digest = new DataView(new ArrayBuffer(32));
  hash.forEach((word, index) => {
    digest.setUint32(index * 4, word);
  });
  return new Uint8Array(digest.buffer);
}

export function hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  block.set(key.length > BLOCK_BYTES ? sha256(key) : key);
  const innerKey = block.map((byte) => byte ^ 0x36);
  const outerKey = block.map((byte) => byte ^ 0x5c);
  return sha256(joined(outerKey, sha256(joined(innerKey, data))));
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}

/** The data, a bit, zeros, and the number of the data's bits in the last eight bytes. */
function padded(data: Uint8Array): DataView {
  const bytes = new Uint8Array(Math.ceil((data.length + 9) / BLOCK_BYTES) * BLOCK_BYTES);
  bytes.set(data);
  bytes[data.length] = 0x80;
  const view = new DataView(bytes.buffer);
  view.setBigUint64(bytes.length - 8, BigInt(data.length) * 8n);
  return view;
}

function addBlock(hash: Uint32Array, words: DataView, at: number): void {
  const schedule = new Uint32Array(64);
  const word = (index: number): number => schedule[index] as number;
  for (let i = 0; i < 16; i++) schedule[i] = words.getUint32(at + i * 4);
  for (let i = 16; i < 64; i++) {
    const [early, late] = [word(i - 15), word(i - 2)];
    const s0 = rotated(early, 7) ^ rotated(early, 18) ^ (early >>> 3);
    const s1 = rotated(late, 17) ^ rotated(late, 19) ^ (late >>> 10);
    schedule[i] = word(i - 16) + s0 + word(i - 7) + s1;
  }
  let [a, b, c, d, e, f, g, h] = [...hash] as [number, number, number, number, number, number, number, number];
  for (let i = 0; i < 64; i++) {
    const s1 = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25);
    const chosen = (e & f) ^ (~e & g);
    const first = (h + s1 + chosen + (ROUND_CONSTANTS[i] as number) + word(i)) | 0;
    const s0 = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + s0 + majority) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((sum, index) => {
    hash[index] = (hash[index] as number) + sum;
  });
}

function rotated(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}
