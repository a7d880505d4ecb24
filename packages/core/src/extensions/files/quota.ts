import { ErrorCode, RpcError } from "../../errors.ts";
import type { FileAccess } from "../../util/file-access.ts";

/** A file counts as at least this many bytes, as on most disks, so that a quota also bounds the number of small files. */
export const MIN_FILE_BYTES = 4096;

/**
 * Enforces a folder's quota over its files and those being received. Files that start during a measurement share the
 * next one, so that many concurrent uploads don't each cause one.
 */
export class Quota {
  readonly #limit: number;
  /** Bytes of all files and unfinished files as last measured, without those of `#arriving`. */
  #used = 0;
  readonly #arriving = new Map<object, number>();
  #arrivingBytes = 0;
  /** The running measurement; null if there is none. */
  #measuring: Promise<void> | null = null;
  /** The measurement that follows it. */
  #next: Promise<void> | null = null;
  /** Bytes of files that ended during the measurement, which may not include them. */
  #ended = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * Reserves space for a file.
   * @param bytes announced size, or the number of bytes already present
   * @param folders whose files count towards the quota
   * @param isCounted whether a path belongs to a file being received
   * @throws RpcError QUOTA_EXCEEDED; the system's error
   */
  async begin(
    file: object,
    bytes: number,
    files: FileAccess,
    folders: readonly string[],
    isCounted: (path: string) => boolean,
  ): Promise<void> {
    if (this.#limit === Number.POSITIVE_INFINITY) return;
    await this.#measure(() => usedBytes(files, folders, isCounted));
    this.grow(file, bytes);
  }

  /** @throws RpcError QUOTA_EXCEEDED */
  grow(file: object, size: number): void {
    if (this.#limit === Number.POSITIVE_INFINITY) return;
    const bytes = charge(size);
    const before = this.#arriving.get(file) ?? 0;
    if (bytes <= before) return;
    const others = this.#used + this.#arrivingBytes - before;
    if (others + bytes > this.#limit) {
      const message = `The folder's quota of ${this.#limit} bytes has no room for ${bytes}: ${others} are used (a file counts as ${MIN_FILE_BYTES} at least)`;
      const details = { quota: this.#limit, used: others };
      throw new RpcError(ErrorCode.QUOTA_EXCEEDED, message, { details });
    }
    this.#arriving.set(file, bytes);
    this.#arrivingBytes += bytes - before;
  }

  /**
   * @param isKept whether its bytes remain in the folder
   * @param mayRemain whether an unfinished part may remain
   */
  end(file: object, isKept: boolean, mayRemain: boolean): void {
    const bytes = this.#arriving.get(file) ?? 0;
    this.#arriving.delete(file);
    this.#arrivingBytes -= bytes;
    if (isKept) this.#used += bytes;
    if (isKept || mayRemain) this.#ended += bytes;
  }

  /** Runs or joins a measurement that starts after this call, so that the caller's file is known as being received. */
  #measure(look: () => Promise<number>): Promise<void> {
    if (this.#next !== null) return this.#next;
    if (this.#measuring === null) return this.#look(look);
    const begin = (): Promise<void> => this.#look(look);
    this.#next = this.#measuring.then(begin, begin);
    return this.#next;
  }

  #look(look: () => Promise<number>): Promise<void> {
    this.#next = null;
    this.#ended = 0;
    const measuring = look()
      .then((used) => {
        this.#used = used + this.#ended;
      })
      .finally(() => {
        this.#measuring = null;
      });
    this.#measuring = measuring;
    return measuring;
  }
}

async function usedBytes(
  files: FileAccess,
  folders: readonly string[],
  isCounted: (path: string) => boolean,
): Promise<number> {
  let used = 0;
  for (const folder of folders) {
    if ((await files.facts(files.join(folder, "."))) === null) continue;
    for (const name of await files.names(folder)) {
      const path = files.join(folder, name);
      const facts = isCounted(path) ? null : await files.facts(path);
      if (facts?.kind === "file") used += charge(facts.bytes);
    }
  }
  return used;
}

function charge(bytes: number): number {
  return Math.max(bytes, MIN_FILE_BYTES);
}
