import { ConduitError, ErrorCode, isInstance, RpcError } from "../../errors.ts";
import { NotRegularFile } from "../../util/file-access.ts";

const CODES: ReadonlyMap<string, number> = new Map<string, number>([
  ["ENOENT", ErrorCode.NOT_FOUND],
  ["EACCES", ErrorCode.PERMISSION_DENIED],
  ["EPERM", ErrorCode.PERMISSION_DENIED],
  ["EROFS", ErrorCode.PERMISSION_DENIED],
  // Deno's, by its name.
  ["NotCapable", ErrorCode.PERMISSION_DENIED],
  ["ENOSPC", ErrorCode.DISK_FULL],
  ["EDQUOT", ErrorCode.DISK_FULL],
  ["EFBIG", ErrorCode.FILE_TOO_LARGE],
  ["EEXIST", ErrorCode.FILE_EXISTS],
  ["ELOOP", ErrorCode.INVALID_FILE_NAME],
  ["ENAMETOOLONG", ErrorCode.INVALID_FILE_NAME],
  ["EISDIR", ErrorCode.INVALID_FILE_NAME],
  ["ENOTDIR", ErrorCode.INVALID_FILE_NAME],
]);

/** The system's name for an error, such as `ENOSPC`; else the error's own. */
export function systemCodeOf(cause: unknown): string {
  const { code, name } = (cause ?? {}) as { code?: unknown; name?: unknown };
  return typeof code === "string" ? code : String(name);
}

/**
 * An error of file access as one that the peer may see: without paths, which only the cause has.
 * @param doing for the message: `write 'a.txt'`
 */
export function fileError(cause: unknown, doing: string): ConduitError {
  if (isInstance(cause, ConduitError)) return cause;
  if (isInstance(cause, NotRegularFile)) {
    const message = `Cannot ${doing}: it is not a regular file`;
    return new RpcError(ErrorCode.INVALID_FILE_NAME, message, { cause });
  }
  const system = systemCodeOf(cause);
  const code = CODES.get(system) ?? ErrorCode.FILE_ERROR;
  return new RpcError(code, `Cannot ${doing}: ${system}`, { cause });
}

/** Runs a file operation. Its errors become coded ones. */
export async function withFileErrors<T>(doing: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (cause) {
    throw fileError(cause, doing);
  }
}
