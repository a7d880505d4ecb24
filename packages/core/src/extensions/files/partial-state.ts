import type { FileAccess, OpenFile } from "../../util/file-access.ts";
import { isCount } from "../../util/is-count.ts";
import { isMap } from "../../util/is-map.ts";
import { utf8 } from "../../util/utf8.ts";
import { systemCodeOf } from "./file-errors.ts";
import { isSha256 } from "./file-items.ts";

const MAX_STATE_BYTES = 4096;

/** The saved state of an unfinished file. */
export interface PartialState {
  readonly bytes: number | null;
  readonly modifiedMs: number | null;
  /** Number of verified bytes. */
  readonly verified: number;
  /** SHA-256 of these bytes; null if they weren't hashed in one pass. */
  readonly sha256: string | null;
}

/** Whether a state belongs to the same version of a file. */
export function isSameVersion(
  state: PartialState,
  { bytes, modifiedMs }: Pick<PartialState, "bytes" | "modifiedMs">,
): boolean {
  return state.bytes === bytes && state.modifiedMs === modifiedMs;
}

/** Reads the state of an unfinished file; null if there is none. */
export async function readState(files: FileAccess, path: string): Promise<PartialState | null> {
  let file: OpenFile;
  try {
    file = await files.open(path, "read");
  } catch (cause) {
    if (systemCodeOf(cause) === "ENOENT") return null;
    throw cause;
  }
  try {
    const memory = new Uint8Array(MAX_STATE_BYTES);
    const count = await file.read(memory, 0);
    return parseState(new TextDecoder().decode(memory.subarray(0, count)));
  } finally {
    await file.close();
  }
}

/** Parses a state; null if it was truncated by a crash. */
function parseState(text: string): PartialState | null {
  let state: unknown;
  try {
    state = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isMap(state)) return null;
  const { bytes, modifiedMs, verified, sha256 } = state as Record<string, unknown>;
  const isValid =
    isCount(verified) &&
    (bytes === null || isCount(bytes)) &&
    (modifiedMs === null || typeof modifiedMs === "number") &&
    (sha256 === null || isSha256(sha256));
  return isValid ? (state as unknown as PartialState) : null;
}

/** Temporary path of a new state before it replaces the old one. May be left behind by a crash. */
function nextOf(state: string): string {
  return `${state}.new`;
}

/** Replaces the state atomically, so that a crash leaves the old one. */
export async function writeState(files: FileAccess, path: string, state: PartialState): Promise<void> {
  const next = nextOf(path);
  await removeIfThere(files, next);
  const file = await files.open(next, "create");
  try {
    await file.write(utf8(JSON.stringify(state)), 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await files.rename(next, path);
}

/** Removes a state, and a temporary one left behind by a crash. */
export async function removeState(files: FileAccess, path: string): Promise<void> {
  for (const one of [path, nextOf(path)]) await removeIfThere(files, one);
}

/** Removes a file. Returns whether it existed. */
export async function removeIfThere(files: FileAccess, path: string): Promise<boolean> {
  try {
    await files.remove(path);
    return true;
  } catch (cause) {
    if (systemCodeOf(cause) !== "ENOENT") throw cause;
    return false;
  }
}
