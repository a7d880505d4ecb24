/** Limits password guessing per address, without locking anyone out. */
import type { Address } from "../bytes/byte-stream.ts";
import { networkOf } from "../util/ip-address.ts";

/**
 * Wrong passwords per second and address that are judged in the long run. Fewer would lock out honest clients beside an
 * attacker at the same address; a random password of 40 bits holds for 3,000 years against this many.
 */
const GUESSES_PER_SECOND = 10;
/** How many may come at once after a quiet time. */
const GUESS_BURST = 20;
/** Bounds the memory to about 2 MB. */
const MAX_ADDRESSES = 10_000;

const GUESS_MS = 1000 / GUESSES_PER_SECOND;

/**
 * A budget of wrong passwords for each address: 20 at once, then 10 per second. Each login takes one from the budget
 * before its password is judged, so that many connections can't guess faster than one; a right password gives it back
 * and changes nothing else. At most 10,000 addresses are stored; the one that was used least recently goes first.
 *
 * Times are `Runtime.now` milliseconds. Keys come from {@link throttleKey}.
 */
export class AuthThrottle {
  /** When the budget of an address will be full again. Ordered by the last use. */
  readonly #fullAt: Map<string, number> = new Map();

  /** Number of stored addresses. */
  get size(): number {
    return this.#fullAt.size;
  }

  /** Takes one guess. Returns 0, or the milliseconds until there is one; then none was taken. */
  take(key: string, now: number): number {
    const fullAt = Math.max(now, this.#fullAt.get(key) ?? now) + GUESS_MS;
    const waitMs = fullAt - now - GUESS_BURST * GUESS_MS;
    if (waitMs > 0) return Math.ceil(waitMs);
    this.#set(key, fullAt, now);
    return 0;
  }

  /** The password was right, or wasn't judged. */
  giveBack(key: string, now: number): void {
    const fullAt = this.#fullAt.get(key);
    if (fullAt !== undefined) this.#set(key, fullAt - GUESS_MS, now);
  }

  #set(key: string, fullAt: number, now: number): void {
    this.#fullAt.delete(key);
    if (fullAt > now) this.#fullAt.set(key, fullAt);
    for (const [oldest, at] of this.#fullAt) {
      if (this.#fullAt.size <= MAX_ADDRESSES && at > now) break;
      this.#fullAt.delete(oldest);
    }
  }
}

/** The key of an address: its network ({@link networkOf}); null for a Unix socket. */
export function throttleKey(address: Address): string | null {
  // All users of a Unix socket share its path, and no runtime tells them apart.
  if (address.kind === "unix") return null;
  if (address.kind === "memory") return `memory:${address.name}`;
  return networkOf(address.host);
}
