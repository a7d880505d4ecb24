import { MAX_COMPRESSION_RATIO, MIN_INFLATED_BYTES } from "../limits.ts";

/** Size that a payload may have before compression if it takes this many bytes after. */
export function maxInflatedBytes(compressedBytes: number): number {
  return Math.max(MIN_INFLATED_BYTES, MAX_COMPRESSION_RATIO * compressedBytes);
}
