import { ErrorCode, RpcError } from "../../errors.ts";
import { describeValue } from "../../text/describe-value.ts";
import { utf8 } from "../../util/utf8.ts";
import { isTooLong, nameKey, normalName, problemOfName } from "./names.ts";

/** The folder for unfinished files, in the folder that they are for. */
export const PARTIALS = ".netconduit";
/** File systems take 255; a number such as ` (17)` needs some of them. */
const MAX_NAME_BYTES = 240;

/**
 * Returns the name of a file directly in a folder, as it is stored.
 * @throws RpcError INVALID_FILE_NAME
 */
export function checkFileName(name: unknown): string {
  const problem = problemOfLength(name) ?? problemOfName(name) ?? problemOfFile(normalName(name as string));
  if (problem === null) return normalName(name as string);
  throw new RpcError(ErrorCode.INVALID_FILE_NAME, `The file name ${describeValue(name)} ${problem}`);
}

/** Whether a name is one under which a file is stored. Others aren't listed. */
export function isServable(name: unknown): name is string {
  try {
    return checkFileName(name) === name;
  } catch {
    return false;
  }
}

/** Spares the forms of a name that is too long in all of them. */
function problemOfLength(name: unknown): string | null {
  const isLong = typeof name === "string" && isTooLong(name, MAX_NAME_BYTES);
  return isLong ? `must have at most ${MAX_NAME_BYTES} bytes` : null;
}

function problemOfFile(name: string): string | null {
  if (name.includes("/")) return "must not be in a subfolder";
  if (utf8(name).length > MAX_NAME_BYTES) return `must have at most ${MAX_NAME_BYTES} bytes`;
  if (nameKey(name) === PARTIALS) return "is reserved";
  // Another system may take it for a path or a device, for example by a full-width slash.
  const compatible = name.normalize("NFKC");
  if (compatible === name) return null;
  return compatible.includes("/") ? "must not look like a path" : problemOfName(compatible);
}

/** `name` with a number before its ending: `a (2).txt`. */
export function numbered(name: string, number: number): string {
  const dot = name.lastIndexOf(".");
  const end = dot <= 0 ? name.length : dot;
  return `${name.slice(0, end)} (${number})${name.slice(end)}`;
}
