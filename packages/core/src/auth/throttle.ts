/**
 * Limits password guessing per address and per user, without locking anyone out.
 *
 * A login by name first takes a guess from a small reserve of this name at this address. So neither guesses of other
 * names behind the same NAT nor guesses of the same name from elsewhere can use it up. Names that haven't logged in
 * from an address share one budget for their reserves there, so that trying many names doesn't yield more guesses.
 * Beyond the reserve, a guess needs the budgets of both the address and the name. Logins with the shared password
 * have no name, so only their address counts.
 */
import type { Address } from "../bytes/byte-stream.ts";
import { copyText } from "../text/describe-value.ts";
import { networkOf } from "../util/ip-address.ts";
import { usernameProblem } from "./user.ts";

/**
 * Sustained rate of wrong passwords per address that are verified. A lower rate would lock out honest clients at an
 * attacker's address; a random password of 40 bits resists this rate for 3,000 years.
 */
const GUESSES_PER_SECOND = 10;
/** Size of a burst after a quiet time. */
const GUESS_BURST = 20;
/** Wrong passwords for one name from one address that are verified regardless of other guesses; enough for typing errors. */
const RESERVE_BURST = 3;
const RESERVE_MS = 5 * 60 * 1000;
/** Number of names at an address that can have a reserve at the same time without an earlier login from there. */
const NEW_NAMES = 10;
/** Bounds the memory of each kind of budget to about 2 MB, and to 6 MB with names of the greatest length. */
const MAX_KEYS = 10_000;

const GUESS_MS = 1000 / GUESSES_PER_SECOND;

/**
 * A budget of wrong passwords for each key: a burst of `burst`, then one every `guessMs` milliseconds. Each login
 * takes one from the budget before its password is verified, so that many connections can't guess faster than one; a
 * correct password gives it back and has no other effect. At most 10,000 keys are stored; the least recently used one
 * is dropped first.
 *
 * Times are `Runtime.now` milliseconds.
 */
export class GuessBudget {
  readonly #burst: number;
  readonly #guessMs: number;
  /** When each key's budget will be full again, least recently used first. */
  readonly #fullAt: Map<string, number> = new Map();

  constructor(burst: number = GUESS_BURST, guessMs: number = GUESS_MS) {
    this.#burst = burst;
    this.#guessMs = guessMs;
  }

  /** Number of stored keys. */
  get size(): number {
    return this.#fullAt.size;
  }

  /** Takes one guess. Returns 0, or, without taking one, the milliseconds until one is available. */
  take(key: string, now: number): number {
    const fullAt = Math.max(now, this.#fullAt.get(key) ?? now) + this.#guessMs;
    const waitMs = fullAt - now - this.#burst * this.#guessMs;
    if (waitMs > 0) return Math.ceil(waitMs);
    this.#set(key, fullAt, now);
    return 0;
  }

  /** Returns the guess, because the password was correct or wasn't verified. */
  giveBack(key: string, now: number): void {
    const fullAt = this.#fullAt.get(key);
    if (fullAt !== undefined) this.#set(key, fullAt - this.#guessMs, now);
  }

  #set(key: string, fullAt: number, now: number): void {
    this.#fullAt.delete(key);
    if (fullAt > now) this.#fullAt.set(key, fullAt);
    for (const [oldest, at] of this.#fullAt) {
      if (this.#fullAt.size <= MAX_KEYS && at > now) break;
      this.#fullAt.delete(oldest);
    }
  }
}

/** The result of a request for a guess. */
export interface Guess {
  /** 0 if the guess was taken; otherwise the milliseconds until one is available. */
  readonly waitMs: number;
  /** Returns the guess, because the password was correct or wasn't verified. */
  giveBack(now: number): void;
  /** The password was correct: returns the guess. From then on, the name has its own reserve at this address. */
  accepted(now: number): void;
}

/** The budgets of a server. Addresses are keys from {@link throttleKey}. */
export class AuthThrottle {
  readonly #addresses = new GuessBudget();
  readonly #names = new GuessBudget();
  readonly #reserves = new GuessBudget(RESERVE_BURST, RESERVE_MS);
  /** The shared budget for the reserves of new names at an address. */
  readonly #newNames = new GuessBudget(RESERVE_BURST * NEW_NAMES, RESERVE_MS / NEW_NAMES);
  /** Names that have recently logged in from an address, in the order of the last login. */
  readonly #known = new Set<string>();

  /** @param name the user's; null for the shared password */
  take(address: string, name: string | null, now: number): Guess {
    if (name === null) return this.#takeAll([[this.#addresses, address]], null, now);
    const key = nameKey(name);
    const pair = `${address} ${key}`;
    const reserve: BudgetKey[] = [[this.#reserves, pair]];
    if (!this.#known.has(pair)) reserve.push([this.#newNames, address]);
    const reserved = this.#takeAll(reserve, pair, now);
    if (reserved.waitMs === 0) return reserved;
    const shared: BudgetKey[] = [
      [this.#addresses, address],
      [this.#names, key],
    ];
    return this.#takeAll(shared, pair, now);
  }

  /** Takes a guess from all of these budgets, or from none. */
  #takeAll(budgets: readonly BudgetKey[], pair: string | null, now: number): Guess {
    const taken: BudgetKey[] = [];
    const giveBack = (at: number): void => {
      for (const [budget, key] of taken) budget.giveBack(key, at);
    };
    for (const [budget, key] of budgets) {
      const waitMs = budget.take(key, now);
      if (waitMs > 0) {
        giveBack(now);
        return { waitMs, giveBack: nothing, accepted: nothing };
      }
      taken.push([budget, key]);
    }
    const accepted = (at: number): void => {
      giveBack(at);
      if (pair !== null) this.#remember(pair);
    };
    return { waitMs: 0, giveBack, accepted };
  }

  #remember(pair: string): void {
    this.#known.delete(pair);
    this.#known.add(pair);
    for (const oldest of this.#known) {
      if (this.#known.size <= MAX_KEYS) break;
      this.#known.delete(oldest);
    }
  }
}

type BudgetKey = readonly [GuessBudget, string];

const nothing = (): void => undefined;

/** The key for a name. Invalid names, which may be long, share one; others are copied from their login frame. */
function nameKey(name: string): string {
  return usernameProblem(name) === null ? copyText(name) : "";
}

/** The key for an address: its network ({@link networkOf}); null for a Unix socket. */
export function throttleKey(address: Address): string | null {
  // All users of a Unix socket share its path, and no runtime distinguishes them.
  if (address.kind === "unix") return null;
  if (address.kind === "memory") return `memory:${address.name}`;
  return networkOf(address.host);
}
