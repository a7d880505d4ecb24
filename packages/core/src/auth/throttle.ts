/** Slows down whoever guesses passwords, per address, without locking anybody out. */
import type { Address } from "../bytes/byte-stream.ts";

/** People mistype. */
const FREE_FAILURES = 3;
const FIRST_DELAY_MS = 250;
/** Long enough to make guessing hopeless, short enough for whoever shares an address with a guesser. */
const MAX_DELAY_MS = 10_000;
const FORGET_AFTER_MS = 15 * 60 * 1000;
/** Some 2 MB at worst, whatever is thrown at the server. */
const MAX_ADDRESSES = 10_000;

interface Failures {
  count: number;
  lastMs: number;
}

/**
 * Failed logins by address. Three are free; after the fourth the next login waits 250 ms from the failure on, then
 * 500 ms, and so on up to 10 s. Fifteen minutes without a failure, or a success, clear an address. At most 10,000
 * addresses are remembered; the one whose last failure is longest ago goes first.
 *
 * Times are `Runtime.now` milliseconds. Keys come from {@link throttleKey}.
 */
export class AuthThrottle {
  /** In the order of the last failure, the oldest first. */
  readonly #records: Map<string, Failures> = new Map();

  /** Number of addresses remembered. */
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

  /** How long a login from `key` that arrives now has to wait before it is looked at. 0: not at all. */
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
 * Whom an address stands for: an IPv4 address, or the /64 network of an IPv6 one, because whoever has one address of a
 * /64 has all of them. IPv4 clients of a dual-stack listener (`::ffff:1.2.3.4`) count as IPv4.
 */
export function throttleKey(address: Address): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  if (address.kind === "memory") return `memory:${address.name}`;
  const host = address.host.replace(/%.*$/, "");
  const groups = host.includes(":") ? parseIpv6(host) : null;
  if (groups === null) return host;
  const [, , , , , mapped, high = 0, low = 0] = groups;
  if (mapped === 0xffff && groups.slice(0, 5).every((group) => group === 0)) {
    return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
  }
  const network = groups.slice(0, 4).map((group) => group.toString(16));
  return `${network.join(":")}::/64`;
}

/** The eight groups of an IPv6 address in any of its spellings, or null if it is none. */
function parseIpv6(host: string): number[] | null {
  const halves = host.split("::");
  if (halves.length > 2) return null;
  const [head, tail] = halves.map(parseGroups);
  if (head === undefined || head === null || tail === null) return null;
  if (tail === undefined) return head.length === 8 ? head : null;
  const gap = 8 - head.length - tail.length;
  return gap < 1 ? null : [...head, ...new Array<number>(gap).fill(0), ...tail];
}

function parseGroups(text: string): number[] | null {
  const groups: number[] = [];
  if (text === "") return groups;
  for (const part of text.split(":")) {
    const quad = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(part);
    if (quad !== null) {
      const [a = 0, b = 0, c = 0, d = 0] = quad.slice(1).map(Number);
      groups.push((a << 8) | b, (c << 8) | d);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return null;
    }
  }
  return groups;
}
