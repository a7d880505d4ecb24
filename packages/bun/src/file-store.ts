import * as fileSystem from "node:fs/promises";
import { type FileStore, type FileStoreOptions, openFileStore } from "@netconduit/core/adapter";
import { bunRuntime } from "./runtime.ts";

/**
 * Opens a store in a file, creating it if it doesn't exist, for a server's option `resume.store`. Only one process
 * can use it at a time. It is a SQLite database, with a second file (`-wal`) beside it. Commits run on the main
 * thread.
 * @throws ConduitError INVALID_CONFIG; STORE_FAILED if it can't be opened; STORE_IN_USE if it is already open in this
 *   or another process
 */
export async function fileStore(path: string, options?: FileStoreOptions): Promise<FileStore> {
  // Loaded on demand, because few programs use it.
  const { Database } = await import("bun:sqlite");
  return openFileStore(bunRuntime, fileSystem, () => new Database(path), path, options);
}
