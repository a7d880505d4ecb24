import { ErrorCode, RpcError } from "../../errors.ts";
import { describeValue } from "../../text/describe-value.ts";
import { utf8 } from "../../util/utf8.ts";
import { isTooLong, nameKey, normalName, problemOfName } from "./names.ts";

/** Name of the subfolder for unfinished files. */
export const PARTIALS = ".netconduit";
/** File systems allow 255; a number such as ` (17)` needs some of them. */
const MAX_NAME_BYTES = 240;

/**
 * Returns the stored form of the name of a file directly in a folder.
 * @throws RpcError INVALID_FILE_NAME
 */
export function checkFileName(name: unknown): string {
  const problem = problemOfLength(name) ?? problemOfName(name) ?? problemOfFile(normalName(name as string));
  if (problem === null) return normalName(name as string);
  throw new RpcError(ErrorCode.INVALID_FILE_NAME, `The file name ${describeValue(name)} ${problem}`);
}

/** Whether a file can be served under this name. Others aren't listed. */
export function isServable(name: unknown): name is string {
  try {
    return checkFileName(name) === name;
  } catch {
    return false;
  }
}

/** Checks the length first, to avoid normalizing names that are too long in any form. */
function problemOfLength(name: unknown): string | null {
  const isLong = typeof name === "string" && isTooLong(name, MAX_NAME_BYTES);
  return isLong ? `must have at most ${MAX_NAME_BYTES} bytes` : null;
}

function problemOfFile(name: string): string | null {
  if (name.includes("/")) return "must not be in a subfolder";
  if (utf8(name).length > MAX_NAME_BYTES) return `must have at most ${MAX_NAME_BYTES} bytes`;
  if (nameKey(name) === PARTIALS) return "is reserved";
  // Another system may interpret it as a path or a device, for example because of a full-width slash.
  const compatible = name.normalize("NFKC");
  if (compatible === name) return null;
  return compatible.includes("/") ? "must not look like a path" : problemOfName(compatible);
}

/** Inserts a number before the extension: `a (2).txt`. */
export function numbered(name: string, number: number): string {
  const dot = name.lastIndexOf(".");
  const end = dot <= 0 ? name.length : dot;
  return `${name.slice(0, end)} (${number})${name.slice(end)}`;
}
