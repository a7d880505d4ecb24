/** Slows down password guessing per address, without locking anyone out. */
import type { Address } from "../bytes/byte-stream.ts";
import { parseIpv6, unmapIpv4 } from "../util/ip-address.ts";

/** Failures without a delay, for typing errors. */
const FREE_FAILURES = 3;
const FIRST_DELAY_MS = 250;
/** Long enough to stop guessing, short enough for other users at the same address. */
const MAX_DELAY_MS = 10_000;
const FORGET_AFTER_MS = 15 * 60 * 1000;
/** Bounds the memory to about 2 MB. */
const MAX_ADDRESSES = 10_000;

interface Failures {
  count: number;
  lastMs: number;
}

/**
 * Failed logins by address. The first three have no effect. After the fourth, the next login waits 250 ms from the
 * failure, then 500 ms, and so on up to 10 s. A success, or fifteen minutes without a failure, clears an address. At
 * most 10,000 addresses are stored; the one with the oldest last failure is evicted first.
 *
 * Times are `Runtime.now` milliseconds. Keys come from {@link throttleKey}.
 */
export class AuthThrottle {
  /** Ordered by the last failure, oldest first. */
  readonly #records: Map<string, Failures> = new Map();

  /** Number of stored addresses. */
  get size(): number {
    return this.#records.size;
  }

  /** A login from `key` failed. */
  failed(key: string, now: number): void {
    const record = this.#recall(key, now) ?? { count: 0, lastMs: now };
    record.count++;
    record.lastMs = now;
    this.#records.delete(key);
    this.#records.set(key, record);
    for (const [oldest, { lastMs }] of this.#records) {
      if (this.#records.size <= MAX_ADDRESSES && now - lastMs < FORGET_AFTER_MS) break;
      this.#records.delete(oldest);
    }
  }

  /** A login from `key` succeeded. */
  succeeded(key: string): void {
    this.#records.delete(key);
  }

  /** Milliseconds that a login from `key` must wait if it arrives now; 0 for none. */
  delayMs(key: string, now: number): number {
    const record = this.#recall(key, now);
    if (record === undefined || record.count <= FREE_FAILURES) return 0;
    const delay = Math.min(FIRST_DELAY_MS * 2 ** (record.count - FREE_FAILURES - 1), MAX_DELAY_MS);
    return Math.max(0, record.lastMs + delay - now);
  }

  #recall(key: string, now: number): Failures | undefined {
    const record = this.#records.get(key);
    return record !== undefined && now - record.lastMs < FORGET_AFTER_MS ? record : undefined;
  }
}

/**
 * The key of an address: an IPv4 address, or the /64 network of an IPv6 one, because a client usually has all addresses
 * of its /64. IPv4 clients of a dual-stack listener (`::ffff:1.2.3.4`) count as IPv4.
 */
export function throttleKey(address: Address): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  if (address.kind === "memory") return `memory:${address.name}`;
  if (!address.host.includes(":")) return address.host;
  const host = unmapIpv4(address.host);
  const groups = parseIpv6(host);
  if (groups === null) return host;
  const network = groups.slice(0, 4).map((group) => group.toString(16));
  return `${network.join(":")}::/64`;
}
