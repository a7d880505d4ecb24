import { formatEndpoint } from "../bytes/address.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { SocketErrors } from "./socket-errors.ts";

/** A runtime's file operations for Unix sockets. */
export interface SocketFiles {
  readText(path: string): Promise<string>;
  /** Whether the file is a socket; null if the system can't tell. */
  isSocket(path: string): Promise<boolean | null>;
  remove(path: string): Promise<void>;
  /** Whether the path exists. Omitted if the check needs an extra permission. */
  exists?(path: string): Promise<boolean>;
}

/** The part of `node:fs/promises` that {@link SocketFiles} needs, on Node and Bun. */
export interface FileSystem {
  readFile(path: string, encoding: "utf8"): Promise<string>;
  lstat(path: string): Promise<{ isSocket(): boolean }>;
  unlink(path: string): Promise<void>;
}

export function filesOf({ readFile, lstat, unlink }: FileSystem): SocketFiles {
  return {
    readText: (path) => readFile(path, "utf8"),
    isSocket: async (path) => (await lstat(path)).isSocket(),
    exists: (path) =>
      lstat(path).then(
        () => true,
        (cause: { code?: unknown }) => cause.code !== "ENOENT",
      ),
    remove: unlink,
  };
}

/** Dependencies of {@link bindUnixSocket}. */
export interface UnixSocketTools {
  readonly files: SocketFiles;
  readonly errors: SocketErrors;
  /** Connects and disconnects. Rejects with the runtime's error if no process is listening. */
  probe(path: string): Promise<void>;
}

/**
 * Binds a Unix socket. Replaces a socket file left behind by a process that ended without closing it.
 * @throws ConduitError ADDRESS_IN_USE if a server is listening there or the file isn't a socket; ADDRESS_UNAVAILABLE if
 *   the folder doesn't exist; else the error from {@link SocketErrors.listen}
 */
export async function bindUnixSocket<T>(path: string, bind: () => Promise<T>, tools: UnixSocketTools): Promise<T> {
  try {
    return await bind();
  } catch (cause) {
    if (tools.errors.codeOf(cause) !== "EADDRINUSE") throw await listenError(cause, path, tools);
  }
  try {
    await removeStaleSocket(path, tools);
    return await bind();
  } catch (cause) {
    throw await listenError(cause, path, tools);
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

async function removeStaleSocket(path: string, { files, errors, probe }: UnixSocketTools): Promise<void> {
  const inUse = (why: string): ConduitError =>
    new ConduitError(ErrorCode.ADDRESS_IN_USE, `Cannot listen on ${formatEndpoint({ path })}: ${why}`);
  try {
    if ((await files.isSocket(path)) === false) throw inUse("the file exists and is not a socket");
    const refusal = await probe(path).then(() => "", errors.codeOf);
    if (refusal !== "ECONNREFUSED" && refusal !== "ENOENT") throw inUse("another server is listening there");
    await files.remove(path);
  } catch (cause) {
    // Another process removed it in the meantime.
    if (errors.codeOf(cause) !== "ENOENT") throw cause;
  }
}
