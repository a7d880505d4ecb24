/** A position in a topic: an offset, and the epoch in which it is valid. Exposed to applications as an opaque string. */

import { isCount } from "../../util/is-count.ts";

export interface Position {
  readonly epoch: string;
  /** Offset of the last message before this position. */
  readonly offset: number;
}

const MAX_POSITION_CHARS = 256;

export function formatPosition({ epoch, offset }: Position): string {
  return `${epoch}:${offset}`;
}

/** Returns null if the text isn't a position. */
export function parsePosition(text: unknown): Position | null {
  if (typeof text !== "string" || text.length > MAX_POSITION_CHARS) return null;
  const split = text.lastIndexOf(":");
  const digits = text.slice(split + 1);
  const offset = Number(digits);
  if (split <= 0 || !/^\d+$/.test(digits) || !isCount(offset)) return null;
  return { epoch: text.slice(0, split), offset };
}
