import { ConduitError, ErrorCode, isInstance, RpcError } from "../../errors.ts";
import { NotRegularFile } from "../../util/file-access.ts";

const DENIED = "the system doesn't let this program";

/** Our code and wording for system error codes. */
const MEANINGS: ReadonlyMap<string, readonly [code: number, meaning: string]> = new Map([
  ["ENOENT", [ErrorCode.NOT_FOUND, "there is no such file or folder"]],
  ["EACCES", [ErrorCode.PERMISSION_DENIED, DENIED]],
  ["EPERM", [ErrorCode.PERMISSION_DENIED, DENIED]],
  ["EROFS", [ErrorCode.PERMISSION_DENIED, "the disk can only be read"]],
  // Deno's error name.
  ["NotCapable", [ErrorCode.PERMISSION_DENIED, "the program needs --allow-read and --allow-write of the folder"]],
  ["ENOSPC", [ErrorCode.DISK_FULL, "the disk is full"]],
  ["EDQUOT", [ErrorCode.DISK_FULL, "the user's part of the disk is full"]],
  ["EFBIG", [ErrorCode.FILE_TOO_LARGE, "the disk takes no file of that size"]],
  ["EEXIST", [ErrorCode.FILE_EXISTS, "it exists already"]],
  ["ELOOP", [ErrorCode.INVALID_FILE_NAME, "it is a link"]],
  ["ENAMETOOLONG", [ErrorCode.INVALID_FILE_NAME, "the name is too long"]],
  ["EISDIR", [ErrorCode.INVALID_FILE_NAME, "it is a folder"]],
  ["ENOTDIR", [ErrorCode.INVALID_FILE_NAME, "a part of its path is not a folder"]],
]);

/** The system's error code, such as `ENOSPC`, or the error's name without one. */
export function systemCodeOf(cause: unknown): string {
  const { code, name } = (cause ?? {}) as { code?: unknown; name?: unknown };
  return typeof code === "string" ? code : String(name);
}

/**
 * Converts a file access error to one that may be sent to the peer. Paths are only in its cause.
 * @param doing the operation, for the message: `write 'a.txt'`
 */
export function fileError(cause: unknown, doing: string): ConduitError {
  if (isInstance(cause, ConduitError)) return cause;
  if (isInstance(cause, NotRegularFile)) {
    const message = `Cannot ${doing}: it is not a regular file`;
    return new RpcError(ErrorCode.INVALID_FILE_NAME, message, { cause });
  }
  const system = systemCodeOf(cause);
  const [code, meaning] = MEANINGS.get(system) ?? [ErrorCode.FILE_ERROR, null];
  return new RpcError(code, `Cannot ${doing}: ${meaning === null ? system : `${meaning} (${system})`}`, { cause });
}

/** Runs a file operation and converts its errors. */
export async function withFileErrors<T>(doing: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (cause) {
    throw fileError(cause, doing);
  }
}
