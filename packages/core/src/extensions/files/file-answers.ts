/** Validates a peer's answers to file calls. Each function throws ConduitError INVALID_RESULT. */

import { ConduitError, ErrorCode } from "../../errors.ts";
import { isCount } from "../../util/is-count.ts";
import { isMap } from "../../util/is-map.ts";
import { checkFileName, isServable } from "./checked-name.ts";
import { isSha256 } from "./file-items.ts";
import type { FileEntry } from "./served-folder.ts";
import type { FileResult } from "./transfer-options.ts";

/** The first item of a download. */
export interface DownloadHeader {
  readonly bytes: number;
  readonly modifiedMs: number;
  readonly offset: number;
  /** SHA-256 of the bytes before `offset`; null if the sender hasn't hashed them. */
  readonly sha256: string | null;
}

export async function headerOf(items: AsyncIterableIterator<unknown>): Promise<DownloadHeader> {
  const { done, value } = await items.next();
  const { bytes, modified, offset, sha256 } = done !== true && isMap(value) ? value : {};
  const isValid = isCount(bytes) && isCount(modified) && isCount(offset) && offset <= bytes;
  if (!isValid || !(sha256 === null || isSha256(sha256))) throw invalidAnswer("the start of a download");
  return { bytes, modifiedMs: modified, offset, sha256 };
}

/** Where an upload continues, and the SHA-256 of the bytes before; null if the peer hasn't hashed them. */
export interface UploadOffset {
  readonly offset: number;
  readonly sha256: string | null;
}

/** @param bytes size of the whole file */
export function offsetOf(value: unknown, bytes: number): UploadOffset {
  const { offset, sha256 } = isMap(value) ? value : {};
  const isValid = isCount(offset) && offset <= bytes && (sha256 === null || isSha256(sha256));
  if (!isValid) throw invalidAnswer("an offset");
  return { offset, sha256 };
}

export function entryOf(value: unknown): FileEntry {
  const { name, bytes, modified } = isMap(value) ? value : {};
  if (!isCount(bytes) || !(modified === null || isCount(modified))) throw invalidAnswer("a file's size");
  // Checked because the name is used as a path.
  return { name: checkFileName(name), bytes, modifiedMs: modified };
}

export function resultOf(value: unknown, resumedFrom: number): FileResult {
  const { name, bytes, sha256 } = isMap(value) ? value : {};
  if (!isServable(name) || !isCount(bytes) || !isSha256(sha256)) throw invalidAnswer("a received file");
  return { name, bytes, sha256, resumedFrom };
}

/** Number of bytes that the peer has checked, from its progress. Never throws. */
export function checkedOf(value: unknown): number {
  const checked = isMap(value) ? value["checked"] : 0;
  return isCount(checked) ? checked : 0;
}

export function invalidAnswer(what: string): ConduitError {
  return new ConduitError(ErrorCode.INVALID_RESULT, `The peer's answer is not ${what}`);
}
