import { ConduitError, ErrorCode } from "../errors.ts";
import type { ListenTarget } from "../runtime.ts";
import { addressFamily, endpointName } from "./addresses.ts";
import type { SocketErrors } from "./socket-errors.ts";

/**
 * The address that a server on TCP binds: its host, or what that name stands for in the family asked for. Runtimes left
 * to themselves would take the first address of any family.
 * @throws ConduitError INVALID_CONFIG when the host is an address of the other family, ADDRESS_UNAVAILABLE when the name
 * has none.
 */
export async function listenAddress(
  target: ListenTarget,
  resolve: (host: string, family: 4 | 6) => Promise<string>,
  errors: SocketErrors,
): Promise<string> {
  const { host, ipv6 } = target;
  const family = ipv6 ? 6 : 4;
  const kind = addressFamily(host);
  if (kind === family) return host;
  if (kind !== 0) {
    const message = `Cannot listen on ${endpointName(target)}: host is an IPv${kind} address but ipv6 is ${ipv6}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  try {
    return await resolve(host, family);
  } catch (cause) {
    throw errors.listen(cause, endpointName(target));
  }
}

/** What {@link bindUnixSocket} needs of a runtime. */
export interface UnixSocketFiles {
  /** Whether the file is a socket; null where the system has no way to tell. */
  isSocket(path: string): Promise<boolean | null>;
  /** Connects and hangs up. Rejects with the runtime's error when nobody answers. */
  probe(path: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Whether there is something at the path. Only where it can be asked without a permission of its own. */
  exists?(path: string): Promise<boolean>;
}

/**
 * Binds a Unix socket; a socket file that a process left behind when it ended without closing is replaced.
 * @throws ConduitError ADDRESS_IN_USE when a server answers there, or the file is no socket; else what
 * {@link SocketErrors.listen} says.
 */
export async function bindUnixSocket<T>(
  path: string,
  bind: () => T | Promise<T>,
  files: UnixSocketFiles,
  errors: SocketErrors,
): Promise<T> {
  try {
    return await bind();
  } catch (cause) {
    if (errors.codeOf(cause) !== "EADDRINUSE") throw await explained(cause, path, files, errors);
  }
  try {
    await removeStaleSocket(path, files, errors);
    return await bind();
  } catch (cause) {
    throw await explained(cause, path, files, errors);
  }
}

async function explained(
  cause: unknown,
  path: string,
  files: UnixSocketFiles,
  errors: SocketErrors,
): Promise<ConduitError> {
  if (cause instanceof ConduitError) return cause;
  const name = errors.codeOf(cause);
  // Node says EACCES of a folder that is not there.
  if (name === "ENOENT" || name === "EACCES") {
    const folder = folderOf(path);
    const exists = await files.exists?.(folder);
    if (exists === false || (exists === undefined && name === "ENOENT")) {
      const message = `Cannot listen on ${path}: there is no folder ${folder}`;
      return new ConduitError(ErrorCode.ADDRESS_UNAVAILABLE, message, { cause });
    }
  }
  return errors.listen(cause, path, path);
}

function folderOf(path: string): string {
  const end = path.lastIndexOf("/");
  return end === -1 ? "." : path.slice(0, Math.max(1, end));
}

async function removeStaleSocket(path: string, files: UnixSocketFiles, errors: SocketErrors): Promise<void> {
  try {
    if ((await files.isSocket(path)) === false) {
      throw new ConduitError(ErrorCode.ADDRESS_IN_USE, `Cannot listen on ${path}: the file exists and is not a socket`);
    }
    const refusal = await files.probe(path).then(() => "", errors.codeOf);
    if (refusal !== "ECONNREFUSED" && refusal !== "ENOENT") {
      throw new ConduitError(ErrorCode.ADDRESS_IN_USE, `Cannot listen on ${path}: another server is listening there`);
    }
    await files.remove(path);
  } catch (cause) {
    // Gone in the meantime: just as well.
    if (errors.codeOf(cause) !== "ENOENT") throw cause;
  }
}
