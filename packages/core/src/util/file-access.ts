/** Files, as a runtime hands them to the core. */

/** Rejections are the system's errors, with its name for them (`ENOENT`) as `code` if the runtime gives one. */
export interface FileAccess {
  join(folder: string, name: string): string;
  folderOf(path: string): string;
  nameOf(path: string): string;
  /**
   * Opens a regular file. Never follows a link in the last part of the path, nor opens a device or pipe.
   * @param mode `create` makes a new file, and rejects with EEXIST if the name is taken; `write` opens one as it is
   * @throws NotRegularFile
   */
  open(path: string, mode: "read" | "write" | "create"): Promise<OpenFile>;
  /** Links not followed. Null if there is nothing. */
  facts(path: string): Promise<FileFacts | null>;
  /** Whether there is a folder; links followed. */
  isFolder(path: string): Promise<boolean>;
  /** Names of all entries of a folder. */
  names(folder: string): Promise<string[]>;
  /** Makes a folder that only this user may enter; nothing happens if there is one. */
  makeFolder(path: string): Promise<void>;
  /** Removes an empty folder. */
  removeFolder(path: string): Promise<void>;
  /** Makes a second name for a file. Rejects with EEXIST if `name` is taken. */
  link(path: string, name: string): Promise<void>;
  /** Replaces `name` if it exists. */
  rename(path: string, name: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Changes of names in this folder reach the disk, where the system can do that. */
  syncFolder(path: string): Promise<void>;
  /** A new SHA-256 of nothing. */
  sha256(): FileHash;
}

/** An open file. Its opener closes it. */
export interface OpenFile {
  facts(): Promise<FileFacts>;
  /** Returns the number of bytes read; 0 at the end of the file. */
  read(target: Uint8Array, position: number): Promise<number>;
  /** Writes all of `bytes`. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  truncate(bytes: number): Promise<void>;
  /** Resolves when the data is on the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Facts about a file or folder. */
export interface FileFacts {
  readonly kind: "file" | "folder" | "other";
  /** Size in bytes. */
  readonly bytes: number;
  /** Unix milliseconds, an integer; 0 for times before 1970. */
  readonly modifiedMs: number;
  /** The same for two names of one file. */
  readonly id: string;
}

/** A SHA-256 under way. */
export interface FileHash {
  update(bytes: Uint8Array): void;
  copy(): FileHash;
  /** In hex. Ends this hash. */
  digest(): string;
}

/** There is a link, folder, device or pipe where a regular file must be. */
export class NotRegularFile extends Error {
  override readonly name = "NotRegularFile";
}
