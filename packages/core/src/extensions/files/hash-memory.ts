import type { FileHash } from "../../util/file-access.ts";

const MAX_FILES = 64;
const MAX_HASHES_PER_FILE = 256;

/**
 * Keeps hash states of file prefixes, so that a continued transfer doesn't have to read them again. The native
 * SHA-256 can be copied but not serialized, and is seven times as fast as a WebAssembly one that can (figures in
 * CHANGELOG), so the states are lost with the process; the oldest are dropped.
 */
export class HashMemory {
  readonly #files = new Map<string, Map<number, FileHash>>();

  /** Stores the hash state of the first `bytes` bytes. */
  remember(file: string, bytes: number, hash: FileHash): void {
    const hashes = this.#files.get(file) ?? new Map<number, FileHash>();
    this.#files.delete(file);
    this.#files.set(file, hashes);
    hashes.set(bytes, hash);
    dropOldest(hashes, MAX_HASHES_PER_FILE);
    dropOldest(this.#files, MAX_FILES);
  }

  /** Returns a copy of the hash state of the first `bytes` bytes; null if unknown. */
  recall(file: string, bytes: number): FileHash | null {
    return this.#files.get(file)?.get(bytes)?.copy() ?? null;
  }

  forget(file: string): void {
    this.#files.delete(file);
  }
}

function dropOldest<K>(map: Map<K, unknown>, max: number): void {
  for (const key of map.keys()) {
    if (map.size <= max) return;
    map.delete(key);
  }
}
