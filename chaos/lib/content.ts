/** Content of messages and answers: some of them are sent in chunks, and all are verified by the receiver. */
import { createHash } from "node:crypto";
import type { Lane } from "./journal.ts";

export interface Content {
  readonly bytes: Uint8Array;
  /** Digest of the bytes, their number, and what they belong to. */
  readonly digest: string;
}

/** Interval of large contents. */
const LARGE_EVERY = 50;
const MIN_LARGE_BYTES = 100 * 1024;
const MAX_LARGE_BYTES = 300 * 1024;
/** A server's store keeps no answer of more than 256 KiB. */
export const MAX_ANSWER_BYTES: number = 240 * 1024;

function isLarge(id: number): boolean {
  return id % LARGE_EVERY === LARGE_EVERY - 1;
}

function digestOf(lane: Lane, id: number, bytes: Uint8Array): string {
  return createHash("sha256").update(`${lane} ${id} ${bytes.length} `).update(bytes).digest("base64");
}

export interface ContentOptions {
  readonly maxBytes?: number;
  /** Whether to change the bytes after their digest was taken. */
  readonly isSpoiled?: boolean;
}

function lengthOf(id: number, maxBytes: number): number {
  return isLarge(id) ? MIN_LARGE_BYTES + ((id * 7919) % (maxBytes - MIN_LARGE_BYTES)) : 1 + ((id * 7) % 200);
}

export function contentOf(
  lane: Lane,
  id: number,
  { maxBytes = MAX_LARGE_BYTES, isSpoiled = false }: ContentOptions = {},
): Content {
  const words = new Uint32Array(Math.ceil(lengthOf(id, maxBytes) / 4));
  let state = id + 1;
  for (let at = 0; at < words.length; at += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    words[at] = state;
  }
  const bytes = new Uint8Array(words.buffer);
  const digest = digestOf(lane, id, bytes);
  if (isSpoiled) bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
  return { bytes, digest };
}

export function isIntact(lane: Lane, id: number, { bytes, digest }: Content): boolean {
  return digestOf(lane, id, bytes) === digest;
}
