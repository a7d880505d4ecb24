/** The faults of one connection through the forwarder. They only depend on the seed and the connection's number. */
import type { Random } from "../../packages/core/src/test-support/random.ts";

export type Direction = "up" | "down";

/** How a connection is cut. `"silence"` stops forwarding without closing either end. */
export type CutKind = "end" | "reset" | "silence";

export interface ConnectionPlan {
  /**
   * The connection is cut after this many bytes in one direction. Bytes queued in the forwarder are lost.
   */
  readonly cut: { readonly direction: Direction; readonly bytes: number; readonly kind: CutKind };
  /** Delay of each read. */
  readonly delayMs: number;
  /** Bytes per second in each direction. */
  readonly rate: number;
  /**
   * The client loses this connection during its login, and the server receives the rest of the login after a newer
   * connection has logged in: before or after further data of the newer one.
   */
  readonly late: "before" | "after" | null;
  /** Whether the login is also sent to the server over a second connection. */
  readonly isDuplicated: boolean;
}

/** Upper bound of a login's bytes, so that a cut may hit any of its frames. */
const LOGIN_BYTES = 1500;
const CHANCES = { inLogin: 0.25, reset: 0.4, slow: 0.15, delayed: 0.3, late: 0.12, duplicated: 0.12 };

/**
 * @param meanBytes average bytes before a connection is cut
 * @param silentNumbers numbers of the connections that become silent
 */
export function planOf(
  random: Random,
  number: number,
  meanBytes: number,
  silentNumbers: ReadonlySet<number>,
): ConnectionPlan {
  const own = random.fork(number);
  const isInLogin = own.isLucky(CHANCES.inLogin);
  const bytes = isInLogin ? own.below(LOGIN_BYTES) : LOGIN_BYTES + Math.ceil(-Math.log(1 - own.next()) * meanBytes);
  const direction = own.pick(["up", "down"] as const);
  const end = own.isLucky(CHANCES.reset) ? "reset" : "end";
  const isSlow = own.isLucky(CHANCES.slow);
  const delayMs = own.isLucky(CHANCES.delayed) ? own.below(8) : 0;
  const late = own.isLucky(CHANCES.late) ? own.pick(["before", "after"] as const) : null;
  return {
    cut: { direction, bytes, kind: silentNumbers.has(number) ? "silence" : end },
    delayMs,
    rate: isSlow ? 256 * 1024 + own.below(1024 * 1024) : Number.POSITIVE_INFINITY,
    late,
    isDuplicated: own.isLucky(CHANCES.duplicated),
  };
}
