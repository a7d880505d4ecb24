/** `RuntimeCrypto` for tests, from Web Crypto: the same on every runtime, and all promises. */
import type { RuntimeCrypto } from "../runtime.ts";

interface WebCrypto {
  getRandomValues(bytes: Uint8Array): Uint8Array;
  readonly subtle: {
    digest(algorithm: string, data: Uint8Array): Promise<ArrayBuffer>;
    importKey(format: "raw", key: Uint8Array, algorithm: unknown, extractable: false, uses: string[]): Promise<unknown>;
    sign(algorithm: string, key: unknown, data: Uint8Array): Promise<ArrayBuffer>;
    deriveBits(algorithm: unknown, key: unknown, bits: number): Promise<ArrayBuffer>;
  };
}

const { crypto } = globalThis as unknown as { crypto: WebCrypto };

export class WebRuntimeCrypto implements RuntimeCrypto {
  /** PBKDF2 runs so far: the slow step that caches are there to save. */
  pbkdf2Runs = 0;
  #last: Promise<unknown> = Promise.resolve();

  randomBytes(count: number): Uint8Array {
    return crypto.getRandomValues(new Uint8Array(count));
  }

  async sha256(data: Uint8Array): Promise<Uint8Array> {
    return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  }

  /** Answers come in the order of the calls; the threads that Web Crypto works on keep none. */
  hmacSha256(key: Uint8Array, data: Uint8Array): Promise<Uint8Array> {
    const before = this.#last;
    // What was passed is overwritten by the next call, and the key is imported first.
    const signature = this.#sign(key.slice(), data.slice());
    this.#last = signature;
    return before.then(() => signature);
  }

  async #sign(key: Uint8Array, data: Uint8Array): Promise<Uint8Array> {
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    const imported = await crypto.subtle.importKey("raw", key, algorithm, false, ["sign"]);
    return new Uint8Array(await crypto.subtle.sign("HMAC", imported, data));
  }

  async pbkdf2Sha256(password: Uint8Array, salt: Uint8Array, iterations: number): Promise<Uint8Array> {
    this.pbkdf2Runs++;
    const imported = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
    return new Uint8Array(
      await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt, iterations }, imported, 256),
    );
  }
}
