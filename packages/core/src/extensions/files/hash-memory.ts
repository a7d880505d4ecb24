import type { FileHash } from "../../util/file-access.ts";

const MAX_FILES = 64;
const MAX_HASHES_PER_FILE = 256;

/**
 * Hashes of the beginnings of files, so that a transfer that continues needn't read what was hashed before. The native
 * SHA-256 can be copied but not saved, and is seven times as fast as one in WebAssembly that can (CHANGELOG has the
 * figures), so they live as long as the process; the oldest are dropped.
 */
export class HashMemory {
  readonly #files = new Map<string, Map<number, FileHash>>();

  /** Remembers the hash of the first `bytes` bytes. */
  remember(file: string, bytes: number, hash: FileHash): void {
    const hashes = this.#files.get(file) ?? new Map<number, FileHash>();
    this.#files.delete(file);
    this.#files.set(file, hashes);
    hashes.set(bytes, hash);
    dropOldest(hashes, MAX_HASHES_PER_FILE);
    dropOldest(this.#files, MAX_FILES);
  }

  /** A copy of the hash of the first `bytes` bytes; null if it isn't known. */
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
