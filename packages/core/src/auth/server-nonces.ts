/**
 * Nonces that a server hands out for logins to come (extension `advance`). Each is good once and for ten minutes.
 *
 * Nothing is remembered of a nonce that is out: it says itself when it was made, under the server's seal. What is
 * remembered are those that came back, as one bit each, among the last 65,536 made; an older one counts as used.
 *
 *   bytes 0-3    sequence number
 *   bytes 4-7    seconds from the server's start to its making
 *   bytes 8-17   SHA-256 of a random key that never leaves this object and the above, cut to 80 bits. (HMAC would hash
 *                twice, for the sake of texts of any length; this one has one length.)
 */
import { NEXT_LOGIN_MS, NEXT_LOGIN_WINDOW } from "../limits.ts";
import type { RuntimeCrypto } from "../runtime.ts";
import { decodeBase64, encodeBase64 } from "./base64.ts";

const KEY_BYTES = 32;
const HEAD_BYTES = 8;
const TAG_BYTES = 10;
const NONCE_BYTES: number = HEAD_BYTES + TAG_BYTES;
/** Letters of a nonce: base64 without padding. */
export const SERVER_NONCE_CHARS: number = (NONCE_BYTES / 3) * 4;
const LIFETIME_S: number = NEXT_LOGIN_MS / 1000;
const SEQUENCES: number = 2 ** 32;

/** The nonce that is being made or looked at. */
const nonceMemory = new Uint8Array(NONCE_BYTES);
const tagMemory = new Uint8Array(32);

export class ServerNonces {
  readonly #crypto: RuntimeCrypto;
  readonly #now: () => number;
  readonly #startedAt: number;
  /** The key, and behind it room for what is sealed. */
  #sealed: Uint8Array;
  /** Sequence number of the next nonce. */
  #next: number;
  /** One bit for each of the last nonces made, set if it came back. Null: none has yet. */
  #used: Uint8Array | null = null;

  /**
   * @param now monotonic milliseconds.
   * @param firstSequence give one in tests only.
   */
  constructor(crypto: RuntimeCrypto, now: () => number, firstSequence = 0) {
    this.#crypto = crypto;
    this.#now = now;
    this.#startedAt = now();
    this.#sealed = this.#newKey();
    this.#next = firstSequence;
  }

  /** Makes one: 24 characters of base64. */
  issue(): string | Promise<string> {
    if (this.#next === SEQUENCES) this.beginAnew();
    const sequence = this.#next++;
    if (this.#used !== null) {
      const at = sequence % NEXT_LOGIN_WINDOW;
      this.#used[at >> 3] = (this.#used[at >> 3] as number) & ~(1 << (at & 7));
    }
    const second = this.#seconds();
    writeHead(sequence, second);
    const tag = this.#tag();
    return tag instanceof Promise ? tag.then(sealed.bind(null, sequence, second)) : sealed(sequence, second, tag);
  }

  /**
   * Whether what stands in `text` from `start` to `end` is one of these, young enough, and here for the first time. True
   * uses it up.
   */
  redeem(text: string, start = 0, end: number = text.length): boolean | Promise<boolean> {
    if (end - start !== SERVER_NONCE_CHARS || decodeBase64(text, nonceMemory, start, end) !== nonceMemory) return false;
    const tag = this.#tag();
    if (!(tag instanceof Promise)) return this.#take(tag);
    return tag.then(this.#takeLate.bind(this, this.#sealed, text.slice(start, end)));
  }

  #takeLate(sealed: Uint8Array, nonce: string, tag: Uint8Array): boolean {
    // Others have been looked at meanwhile.
    decodeBase64(nonce, nonceMemory);
    return sealed === this.#sealed && this.#take(tag);
  }

  #newKey(): Uint8Array {
    const sealed = new Uint8Array(KEY_BYTES + HEAD_BYTES);
    sealed.set(this.#crypto.randomBytes(KEY_BYTES));
    return sealed;
  }

  /** What seals the head in {@link nonceMemory}. */
  #tag(): Uint8Array | Promise<Uint8Array> {
    for (let at = 0; at < HEAD_BYTES; at++) this.#sealed[KEY_BYTES + at] = nonceMemory[at] as number;
    return this.#crypto.sha256(this.#sealed, tagMemory);
  }

  /** @param tag that of the nonce in {@link nonceMemory} */
  #take(tag: Uint8Array): boolean {
    // All of it, whatever differs: how long this takes says nothing of the tag.
    let difference = 0;
    for (let at = 0; at < TAG_BYTES; at++) difference |= (nonceMemory[HEAD_BYTES + at] ?? 0) ^ (tag[at] ?? 0);
    if (difference !== 0) return false;
    if (this.#seconds() - readUint32(nonceMemory, 4) >= LIFETIME_S) return false;
    const sequence = readUint32(nonceMemory, 0);
    const age = this.#next - sequence;
    if (age < 1 || age > NEXT_LOGIN_WINDOW) return false;
    this.#used ??= new Uint8Array(NEXT_LOGIN_WINDOW >> 3);
    const at = sequence % NEXT_LOGIN_WINDOW;
    const bit = 1 << (at & 7);
    const bits = this.#used[at >> 3] as number;
    this.#used[at >> 3] = bits | bit;
    return (bits & bit) === 0;
  }

  /** None that is out is taken back any more: under a new key sequence numbers may come again. */
  beginAnew(): void {
    this.#sealed = this.#newKey();
    this.#next = 0;
    this.#used = null;
  }

  #seconds(): number {
    return Math.floor((this.#now() - this.#startedAt) / 1000);
  }
}

function writeHead(sequence: number, second: number): void {
  writeUint32(nonceMemory, 0, sequence);
  writeUint32(nonceMemory, 4, second);
}

function sealed(sequence: number, second: number, tag: Uint8Array): string {
  // Others may have been made meanwhile.
  writeHead(sequence, second);
  for (let at = 0; at < TAG_BYTES; at++) nonceMemory[HEAD_BYTES + at] = tag[at] ?? 0;
  return encodeBase64(nonceMemory);
}

function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

function readUint32(bytes: Uint8Array, at: number): number {
  const high = ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16);
  return (high | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0;
}
