import type { Runtime } from "../runtime.ts";
import { type FileStore, type FileStoreOptions, openSqliteStore, type SqliteDatabase } from "../store/sqlite-store.ts";

/** Only the owner may read it, because it contains answers and messages. */
const FILE_MODE = 0o600;

/** The part of `node:fs/promises`, which all runtimes have, for creating a store's file. */
export interface StoreFileSystem {
  open(path: string, flags: "ax", mode: number): Promise<{ close(): Promise<void> }>;
  chmod(path: string, mode: number): Promise<void>;
}

/**
 * Opens a store in a file that only its owner may read, creating it if it doesn't exist.
 * @param open opens the file as a database
 * @throws ConduitError INVALID_CONFIG, STORE_FAILED, STORE_IN_USE (already open in this or another process)
 */
export function openFileStore(
  runtime: Pick<Runtime, "nextTurn" | "now">,
  fs: StoreFileSystem,
  open: () => SqliteDatabase,
  path: string,
  options?: FileStoreOptions,
): Promise<FileStore> {
  const host = {
    async prepare(): Promise<void> {
      // Don't open an existing file: closing it would release this process's own lock on it.
      const made = await fs.open(path, "ax", FILE_MODE).catch(unlessItExists);
      await made?.close();
      // It may already exist with another mode.
      await fs.chmod(path, FILE_MODE);
    },
    open,
    nextTurn: (task: () => void): void => runtime.nextTurn(task),
    now: (): number => runtime.now(),
  };
  return openSqliteStore(host, path, options);
}

function unlessItExists(error: unknown): null {
  if ((error as { readonly code?: unknown }).code === "EEXIST") return null;
  throw error;
}
