import { chmod, open } from "node:fs/promises";
import { type FileStore, type FileStoreOptions, openSqliteStore } from "@netconduit/core/adapter";
import { denoRuntime } from "./runtime.ts";

/** Nobody else may read the answers and messages in it. */
const FILE_MODE = 0o600;

/**
 * Opens a store in a file, for a server's option `resume.store`, or makes it. One process uses it at a time. It is an SQLite
 * file, with a second one beside it (`-wal`). Commits run on the main thread.
 * @throws ConduitError INVALID_CONFIG; STORE_FAILED if it can't be opened, or another process uses it
 */
export async function fileStore(path: string, options?: FileStoreOptions): Promise<FileStore> {
  // Loaded when it is needed: few programs do.
  const { DatabaseSync } = await import("node:sqlite");
  return openSqliteStore(
    {
      prepare: async () => {
        await (await open(path, "a", FILE_MODE)).close();
        // It may have been there before, with another mode.
        await chmod(path, FILE_MODE);
      },
      open: () => new DatabaseSync(path),
      nextTurn: (task) => denoRuntime.nextTurn(task),
      now: () => denoRuntime.now(),
    },
    path,
    options,
  );
}
