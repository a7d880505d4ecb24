import { MAX_RETRY_AFTER_MS } from "../limits.ts";
import { isMap } from "./is-map.ts";

/**
 * Milliseconds of `retry_after` in the details of a peer's error, a day at most; null if it isn't a number of at least 0.
 */
export function retryAfterIn(details: unknown): number | null {
  const seconds = isMap(details) ? details["retry_after"] : null;
  if (typeof seconds !== "number" || !(seconds >= 0)) return null;
  return Math.min(seconds * 1000, MAX_RETRY_AFTER_MS);
}
