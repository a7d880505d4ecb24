import type { FileAccess, OpenFile } from "../../util/file-access.ts";
import { isCount } from "../../util/is-count.ts";
import { isMap } from "../../util/is-map.ts";
import { utf8 } from "../../util/utf8.ts";
import { systemCodeOf } from "./file-errors.ts";
import { isSha256 } from "./file-items.ts";

const MAX_STATE_BYTES = 4096;

/** The state of an unfinished file. */
export interface PartialState {
  readonly bytes: number | null;
  readonly modifiedMs: number | null;
  /** Number of bytes that were verified. */
  readonly verified: number;
  /** SHA-256 of these bytes; null if they weren't hashed in one go. */
  readonly sha256: string | null;
}

/** Whether a state is that of the same version of a file. */
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

/** Parses a state; null for one that a crash cut off. */
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

/** Where a state is written before it replaces the former one. A crash leaves it. */
function nextOf(state: string): string {
  return `${state}.new`;
}

/** Replaces the state in one step, so that a crash leaves the former one. */
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

/** Removes a state, and the rest of a next one that a crash left. */
export async function removeState(files: FileAccess, path: string): Promise<void> {
  for (const one of [path, nextOf(path)]) await removeIfThere(files, one);
}

/** Returns whether it was there. */
export async function removeIfThere(files: FileAccess, path: string): Promise<boolean> {
  try {
    await files.remove(path);
    return true;
  } catch (cause) {
    if (systemCodeOf(cause) !== "ENOENT") throw cause;
    return false;
  }
}
