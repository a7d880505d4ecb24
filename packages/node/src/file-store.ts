import * as fileSystem from "node:fs/promises";
import { type FileStore, type FileStoreOptions, openFileStore } from "@netconduit/core/adapter";
import { nodeRuntime } from "./runtime.ts";

/**
 * Opens a store in a file, for a server's option `resume.store`, or makes it. One process uses it at a time. It is an SQLite
 * file, with a second one beside it (`-wal`). Commits run on the main thread.
 * @throws ConduitError INVALID_CONFIG; STORE_FAILED if it can't be opened; STORE_IN_USE if another process uses it, or it was opened twice
 */
export async function fileStore(path: string, options?: FileStoreOptions): Promise<FileStore> {
  // Loaded when it is needed: few programs do.
  const { DatabaseSync } = await import("node:sqlite");
  return openFileStore(nodeRuntime, fileSystem, () => new DatabaseSync(path), path, options);
}
