import { formatEndpoint } from "../bytes/address.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { SocketErrors } from "./socket-errors.ts";

/** A runtime's file operations for Unix sockets and TLS material. */
export interface SocketFiles {
  readText(path: string): Promise<string>;
  /** Facts about the file itself, without following links. */
  stat(path: string): Promise<SocketFileFacts>;
  remove(path: string): Promise<void>;
  /** Creates a second name for a file. Rejects with EEXIST if `name` exists. */
  link(path: string, name: string): Promise<void>;
  /** Creates an empty file. Rejects with EEXIST if it exists. */
  create(path: string): Promise<void>;
  /** Whether the path exists. Omitted if the check needs an extra permission. */
  exists?(path: string): Promise<boolean>;
}

/** Facts about a file; null where the system doesn't provide them. */
export interface SocketFileFacts {
  readonly isSocket: boolean | null;
  readonly inode: number | null;
}

/** The part of `node:fs/promises` that {@link SocketFiles} needs, on Node and Bun. */
export interface FileSystem {
  readFile(path: string, encoding: "utf8"): Promise<string>;
  writeFile(path: string, data: string, options: { readonly flag: "wx" }): Promise<void>;
  lstat(path: string): Promise<{ readonly ino: number; isSocket(): boolean }>;
  link(path: string, name: string): Promise<void>;
  unlink(path: string): Promise<void>;
}

/** Implements {@link SocketFiles} with `node:fs/promises`. */
export function filesOf({ readFile, writeFile, lstat, link, unlink }: FileSystem): SocketFiles {
  return {
    readText: (path) => readFile(path, "utf8"),
    async stat(path) {
      const facts = await lstat(path);
      return { isSocket: facts.isSocket(), inode: facts.ino };
    },
    exists: (path) =>
      lstat(path).then(
        () => true,
        (cause: { code?: unknown }) => cause.code !== "ENOENT",
      ),
    remove: unlink,
    link,
    create: (path) => writeFile(path, "", { flag: "wx" }),
  };
}

/** Dependencies of {@link bindUnixSocket}. */
export interface UnixSocketTools {
  readonly files: SocketFiles;
  readonly errors: SocketErrors;
  /** Connects and disconnects. Rejects with the runtime's error if no process is listening. */
  probe(path: string): Promise<void>;
  sleep(ms: number): Promise<void>;
}

/** The lock's holder needs a few file operations and {@link SETTLE_MS}; an older lock was left by a crash. */
const LOCK_MS = 2000;
const POLL_MS = 20;
/** The time between bind and listen of a starting server is less than this. */
const SETTLE_MS = 50;

/** Whether the path names a file, unlike a Windows pipe or a Linux abstract socket, which starts with NUL. */
export function isSocketFile(path: string): boolean {
  return !path.startsWith("\\\\") && !path.startsWith("\0");
}

/**
 * Binds a Unix socket. Replaces a socket file left behind by a process that ended without closing it. If several
 * processes find such a file, the one that creates `<path>.lock` replaces it.
 * @throws ConduitError ADDRESS_IN_USE if a server is listening there, the file isn't a socket, or it is another user's;
 *   ADDRESS_UNAVAILABLE if the folder doesn't exist; else the error from {@link SocketErrors.listen}
 */
export async function bindUnixSocket<T>(path: string, bind: () => Promise<T>, tools: UnixSocketTools): Promise<T> {
  const { files, errors, sleep } = tools;
  const lock = `${path}.lock`;
  let waitedMs = 0;
  try {
    for (;;) {
      const bound = await unlessInUse(bind, errors);
      if (bound !== null) return bound;
      await mustBeStale(path, tools);
      if (await isCreated(lock, files, errors)) break;
      await sleep(POLL_MS);
      waitedMs += POLL_MS;
      if (waitedMs % LOCK_MS === 0) await removeIfThere(lock, files, errors);
    }
    try {
      await sleep(SETTLE_MS);
      await mustBeStale(path, tools);
      await removeStale(path, files, errors);
      return await bind();
    } finally {
      await removeIfThere(lock, files, errors);
    }
  } catch (cause) {
    throw await listenError(cause, path, tools);
  }
}

/** Closes a Unix socket, and removes its file unless another file has taken its place, which runtimes would remove. */
export async function closeUnixSocket(
  path: string,
  inode: number | null,
  close: () => Promise<void>,
  { files, errors }: Pick<UnixSocketTools, "files" | "errors">,
): Promise<void> {
  const present = await inodeOf(path, files, errors);
  if (present === null || inode === null || present === inode) return await close();
  const aside = `${path}.lock`;
  await files.link(path, aside);
  await close();
  await files.link(aside, path);
  await files.remove(aside);
}

/** The file's inode; null if there is no file or the system doesn't provide it. */
export async function inodeOf(path: string, files: SocketFiles, errors: SocketErrors): Promise<number | null> {
  try {
    return (await files.stat(path)).inode;
  } catch (cause) {
    if (errors.codeOf(cause) === "ENOENT") return null;
    throw cause;
  }
}

async function unlessInUse<T>(bind: () => Promise<T>, errors: SocketErrors): Promise<T | null> {
  try {
    return await bind();
  } catch (cause) {
    if (errors.codeOf(cause) === "EADDRINUSE") return null;
    throw cause;
  }
}

async function isCreated(path: string, files: SocketFiles, errors: SocketErrors): Promise<boolean> {
  try {
    await files.create(path);
    return true;
  } catch (cause) {
    if (errors.codeOf(cause) === "EEXIST") return false;
    throw cause;
  }
}

async function removeIfThere(path: string, files: SocketFiles, errors: SocketErrors): Promise<void> {
  try {
    await files.remove(path);
  } catch (cause) {
    // Another process removed it in the meantime.
    if (errors.codeOf(cause) !== "ENOENT") throw cause;
  }
}

async function listenError(cause: unknown, path: string, { files, errors }: UnixSocketTools): Promise<ConduitError> {
  if (cause instanceof ConduitError) return cause;
  const code = errors.codeOf(cause);
  // Node reports EACCES if the folder doesn't exist.
  if (code === "ENOENT" || code === "EACCES") {
    const folder = folderOf(path);
    const exists = (await files.exists?.(folder)) ?? code !== "ENOENT";
    if (!exists) {
      const message = `Cannot listen on ${formatEndpoint({ path })}: there is no folder ${folder}`;
      return new ConduitError(ErrorCode.ADDRESS_UNAVAILABLE, message, { cause });
    }
  }
  return errors.listen(cause, { path });
}

function folderOf(path: string): string {
  const end = path.lastIndexOf("/");
  return end === -1 ? "." : path.slice(0, Math.max(1, end));
}

/** Removes the socket file of an ended process. @throws ConduitError ADDRESS_IN_USE if that isn't permitted */
async function removeStale(path: string, files: SocketFiles, errors: SocketErrors): Promise<void> {
  try {
    await removeIfThere(path, files, errors);
  } catch (cause) {
    const code = errors.codeOf(cause);
    if (code !== "EPERM" && code !== "EACCES") throw cause;
    const why = `no server listens at the socket that is there, and this process may not remove it (${code})`;
    throw inUseError(path, why, cause);
  }
}

function inUseError(path: string, why: string, cause?: unknown): ConduitError {
  return new ConduitError(ErrorCode.ADDRESS_IN_USE, `Cannot listen on ${formatEndpoint({ path })}: ${why}`, { cause });
}

/** Returns if the file is a socket without a listening process, or no longer exists; throws otherwise. */
async function mustBeStale(path: string, { files, errors, probe }: UnixSocketTools): Promise<void> {
  const inUse = (why: string): ConduitError => inUseError(path, why);
  try {
    if ((await files.stat(path)).isSocket === false) throw inUse("the file exists and is not a socket");
  } catch (cause) {
    if (errors.codeOf(cause) === "ENOENT") return;
    throw cause;
  }
  const refusal = await probe(path).then(() => "", errors.codeOf);
  if (refusal === "ECONNREFUSED" || refusal === "ENOENT") return;
  if (refusal !== "EACCES" && refusal !== "EPERM") throw inUse("another server is listening there");
  throw inUse(`a socket of another user is there, to which this process may not connect (${refusal}); remove the file`);
}
