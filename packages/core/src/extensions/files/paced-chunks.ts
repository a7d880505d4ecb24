import { ConduitError, ErrorCode } from "../../errors.ts";
import { describeValue } from "../../text/describe-value.ts";

/** Maximum bytes per second: a number, or a function called before each piece. */
export type RateLimit = number | (() => number);

export interface PacingClock {
  now(): number;
  sleep(delayMs: number): Promise<void>;
}

/** Maximum duration of a piece, so that a new limit takes effect soon. */
const PIECE_MS = 100;

/**
 * Yields chunks no faster than the limit, in smaller pieces if necessary.
 * @throws ConduitError INVALID_CONFIG if the limit isn't a positive number
 */
export async function* pacedChunks(
  chunks: AsyncIterable<Uint8Array>,
  limit: RateLimit,
  clock: PacingClock,
): AsyncGenerator<Uint8Array, undefined> {
  let dueMs = clock.now();
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; ) {
      const bytesPerSecond = checkedRate(typeof limit === "function" ? limit() : limit);
      const waitMs = dueMs - clock.now();
      if (waitMs > 0) await clock.sleep(Math.ceil(waitMs));
      const pieceBytes = Math.max(1, Math.floor((bytesPerSecond * PIECE_MS) / 1000));
      const piece = chunk.subarray(at, at + pieceBytes);
      at += piece.length;
      // The next piece compensates for timers that fire some milliseconds late.
      dueMs = Math.max(dueMs, clock.now() - PIECE_MS) + (piece.length * 1000) / bytesPerSecond;
      yield piece;
    }
  }
}

/** @throws ConduitError INVALID_CONFIG */
export function checkedRate(bytesPerSecond: unknown): number {
  if (typeof bytesPerSecond === "number" && bytesPerSecond > 0) return bytesPerSecond;
  const message = `Invalid option maxBytesPerSecond of an upload: must be a positive number, got ${describeValue(bytesPerSecond)}`;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
}
