import { ErrorCode, RpcError } from "../../errors.ts";
import type { FileAccess } from "../../util/file-access.ts";

/** Counts the bytes of a folder's files, and of those that are on their way, against its quota. */
export class Quota {
  readonly #limit: number;
  /** Bytes of all files and unfinished files, as last looked up, without those of `#arriving`. */
  #used = 0;
  readonly #arriving = new Map<object, number>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * A file begins to arrive.
   * @param bytes announced, or those that are there already
   * @param folders whose files count
   * @param isCounted whether a path is one of the files that arrive
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
    this.#used = await usedBytes(files, folders, isCounted);
    this.grow(file, bytes);
  }

  /** @throws RpcError QUOTA_EXCEEDED */
  grow(file: object, bytes: number): void {
    if (this.#limit === Number.POSITIVE_INFINITY) return;
    const before = this.#arriving.get(file) ?? 0;
    if (bytes <= before) return;
    let others = this.#used - before;
    for (const arriving of this.#arriving.values()) others += arriving;
    if (others + bytes > this.#limit) {
      const message = `The folder's quota of ${this.#limit} bytes has no room for ${bytes}: ${others} are used`;
      const details = { quota: this.#limit, used: others };
      throw new RpcError(ErrorCode.QUOTA_EXCEEDED, message, { details });
    }
    this.#arriving.set(file, bytes);
  }

  /** @param isKept whether its bytes stay in the folder */
  end(file: object, isKept: boolean): void {
    const bytes = this.#arriving.get(file) ?? 0;
    this.#arriving.delete(file);
    if (isKept) this.#used += bytes;
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
      if (facts?.kind === "file") used += facts.bytes;
    }
  }
  return used;
}
