import { formatEndpoint } from "../bytes/address.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { SocketErrors } from "./socket-errors.ts";

/** The files of a runtime, as far as sockets need them. */
export interface SocketFiles {
  readText(path: string): Promise<string>;
  /** Whether the file is a socket; null where the system has no way to tell. */
  isSocket(path: string): Promise<boolean | null>;
  remove(path: string): Promise<void>;
  /** Whether there is something at the path. Left out where asking takes a permission of its own. */
  exists?(path: string): Promise<boolean>;
}

/** The part of `node:fs/promises`, which Node and Bun have, that makes {@link SocketFiles}. */
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

/** What {@link bindUnixSocket} needs. */
export interface UnixSocketTools {
  readonly files: SocketFiles;
  readonly errors: SocketErrors;
  /** Connects and hangs up. Rejects with the runtime's error when nobody answers. */
  probe(path: string): Promise<void>;
}

/**
 * Binds a Unix socket. Replaces a socket file that a process left behind when it ended without closing.
 * @throws ConduitError ADDRESS_IN_USE when a server answers there, or the file is no socket; ADDRESS_UNAVAILABLE when
 * there is no such folder; else what {@link SocketErrors.listen} says.
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
  // Node says EACCES of a folder that is not there.
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
    // Somebody else has removed it meanwhile.
    if (errors.codeOf(cause) !== "ENOENT") throw cause;
  }
}
