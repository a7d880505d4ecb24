import { type FileAccess, type FileFacts, type FileHash, NotRegularFile, type OpenFile } from "../util/file-access.ts";

interface Stats {
  readonly dev: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly mtimeMs: bigint;
  isFile(): boolean;
  isDirectory(): boolean;
}

const EXACT = { bigint: true } as const;

interface FileHandle {
  stat(options: typeof EXACT): Promise<Stats>;
  read(target: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
  write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
  truncate(bytes: number): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Flags of `open`. Windows only has the first four. */
interface OpenFlags {
  readonly O_RDONLY: number;
  readonly O_RDWR: number;
  readonly O_CREAT: number;
  readonly O_EXCL: number;
  readonly O_NOFOLLOW?: number;
  readonly O_NONBLOCK?: number;
}

/** The part of `node:fs/promises`, which all runtimes have, that {@link FileAccess} needs. */
export interface NodeFileSystem {
  readonly constants: OpenFlags;
  open(path: string, flags: number, mode?: number): Promise<FileHandle>;
  lstat(path: string, options: typeof EXACT): Promise<Stats>;
  stat(path: string, options: typeof EXACT): Promise<Stats>;
  readdir(path: string): Promise<string[]>;
  mkdir(path: string, options: { readonly mode: number }): Promise<unknown>;
  rmdir(path: string): Promise<void>;
  link(path: string, name: string): Promise<void>;
  rename(path: string, name: string): Promise<void>;
  unlink(path: string): Promise<void>;
}

/** The part of `node:path`. */
export interface NodePath {
  join(...parts: string[]): string;
  dirname(path: string): string;
  basename(path: string): string;
}

interface NodeHash {
  update(bytes: Uint8Array): unknown;
  copy(): NodeHash;
  digest(encoding: "hex"): string;
}

/** The part of `node:crypto` that {@link FileAccess} needs. */
export type CreateHash = (algorithm: "sha256") => NodeHash;

/** Reduced by the process's umask, as usual for new files. */
const FILE_MODE = 0o666;
const FOLDER_MODE = 0o700;

/** Implements a runtime's file access with `node:fs/promises`, `node:path` and `node:crypto`. */
export function nodeFiles(fs: NodeFileSystem, path: NodePath, createHash: CreateHash): FileAccess {
  const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = fs.constants;
  const safely = O_NOFOLLOW | O_NONBLOCK;
  const flagsOf = { read: O_RDONLY | safely, write: O_RDWR | safely, create: O_RDWR | O_CREAT | O_EXCL | safely };
  return {
    join: (folder, name) => path.join(folder, name),
    folderOf: (file) => path.dirname(file),
    nameOf: (file) => path.basename(file),
    async open(file, mode) {
      // Opening a device may have side effects.
      if (mode !== "create") mustBeFile(await fs.lstat(file, EXACT));
      const handle = await fs.open(file, flagsOf[mode], FILE_MODE);
      // A newly created file can't be a device or a link.
      if (mode === "create") return new NodeFile(handle);
      try {
        const opened = await handle.stat(EXACT);
        mustBeFile(opened);
        // Deno ignores O_NOFOLLOW. If a link was followed, the path now has either the link or another file.
        const named = await fs.lstat(file, EXACT);
        mustBeFile(named);
        if (idOf(named) !== idOf(opened)) throw new NotRegularFile("The file was exchanged while it was opened");
        return new NodeFile(handle);
      } catch (error) {
        await handle.close();
        throw error;
      }
    },
    async facts(file) {
      try {
        return factsOf(await fs.lstat(file, EXACT));
      } catch (cause) {
        if (systemCode(cause) === "ENOENT") return null;
        throw cause;
      }
    },
    async isFolder(path) {
      try {
        return (await fs.stat(path, EXACT)).isDirectory();
      } catch (cause) {
        if (/^(ENOENT|ENOTDIR)$/.test(systemCode(cause))) return false;
        throw cause;
      }
    },
    names: (folder) => fs.readdir(folder),
    async makeFolder(folder) {
      try {
        await fs.mkdir(folder, { mode: FOLDER_MODE });
      } catch (cause) {
        if (systemCode(cause) !== "EEXIST") throw cause;
      }
    },
    removeFolder: (folder) => fs.rmdir(folder),
    link: (from, to) => fs.link(from, to),
    rename: (from, to) => fs.rename(from, to),
    remove: (file) => fs.unlink(file),
    async syncFolder(folder) {
      try {
        const handle = await fs.open(folder, O_RDONLY);
        try {
          await handle.sync();
        } finally {
          await handle.close();
        }
      } catch (cause) {
        // Not supported by Windows and some network file systems.
        if (!/^(EISDIR|EPERM|EACCES|EINVAL|ENOTSUP)$/.test(systemCode(cause))) throw cause;
      }
    },
    sha256: () => new NativeHash(createHash("sha256")),
  };
}

class NodeFile implements OpenFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async facts(): Promise<FileFacts> {
    return factsOf(await this.#handle.stat(EXACT));
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    return (await this.#handle.read(target, 0, target.length, position)).bytesRead;
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    let written = 0;
    while (written < bytes.length) {
      const step = await this.#handle.write(bytes, written, bytes.length - written, position + written);
      written += step.bytesWritten;
    }
  }

  truncate(bytes: number): Promise<void> {
    return this.#handle.truncate(bytes);
  }

  sync(): Promise<void> {
    return this.#handle.sync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

class NativeHash implements FileHash {
  readonly #hash: NodeHash;

  constructor(hash: NodeHash) {
    this.#hash = hash;
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  copy(): FileHash {
    return new NativeHash(this.#hash.copy());
  }

  digest(): string {
    return this.#hash.digest("hex");
  }
}

function mustBeFile(stats: Stats): void {
  if (!stats.isFile()) throw new NotRegularFile("Not a regular file");
}

function idOf({ dev, ino }: Stats): string {
  return `${dev}:${ino}`;
}

function kindOf(stats: Stats): FileFacts["kind"] {
  if (stats.isFile()) return "file";
  return stats.isDirectory() ? "folder" : "other";
}

function factsOf(stats: Stats): FileFacts {
  return {
    kind: kindOf(stats),
    bytes: Number(stats.size),
    // Clamp times that can't be sent: before 1970, or in a million years.
    modifiedMs: Math.min(Math.max(0, Number(stats.mtimeMs)), Number.MAX_SAFE_INTEGER),
    id: idOf(stats),
  };
}

function systemCode(cause: unknown): string {
  const code = (cause as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}
