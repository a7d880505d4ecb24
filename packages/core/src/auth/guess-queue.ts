import type { AuthThrottle, Guess } from "./throttle.ts";

/** Logins of one address that may wait. Further ones are refused at once. */
const MAX_WAITING = 1024;

/** What a login's outcome means for its guess: a right or unjudged one gives it back. */
export type Verdict = "right" | "wrong" | "unjudged";

interface Waiting {
  readonly name: string | null;
  /** Whether its connection has ended. */
  isGone(): boolean;
  resolve(guess: Guess | Promise<Guess>): void;
}

/** The logins of one address while at least one is being judged. */
interface Crowd {
  judging: number;
  /** Oldest first. */
  readonly waiting: Set<Waiting>;
}

/**
 * Lets logins wait for a guess while others of their address are being judged. Each login takes its guess before it is
 * judged and a right password gives it back, so without the queue a crowd with right passwords would run out of guesses.
 * Each verdict lets the next login try. When none of the address is being judged any more, the rest are told when to come
 * again. So no more wrong passwords are judged than without waiting.
 */
export class GuessQueue {
  readonly #throttle: AuthThrottle;
  readonly #now: () => number;
  readonly #maxWaiting: number;
  readonly #crowds = new Map<string, Crowd>();

  /** @param now monotonic milliseconds */
  constructor(throttle: AuthThrottle, now: () => number, maxWaiting: number = MAX_WAITING) {
    this.#throttle = throttle;
    this.#now = now;
    this.#maxWaiting = maxWaiting;
  }

  /** Addresses with logins that are being judged. */
  get size(): number {
    return this.#crowds.size;
  }

  /**
   * Judges a login as soon as there is a guess for it.
   * @param name the user's; null for the shared password
   * @param verdictOf what the result of `judge` says; if it rejects, nothing was judged
   * @param isGone whether its connection has ended: then it takes no guess any more
   * @returns what `judge` resolves with, or the milliseconds until there is a guess
   */
  async judge<T>(
    address: string,
    name: string | null,
    judge: () => Promise<T>,
    verdictOf: (result: T) => Verdict,
    isGone: () => boolean = never,
  ): Promise<{ readonly result: T } | { readonly waitMs: number }> {
    const guess = await this.#take(address, { name, isGone });
    if (guess.waitMs > 0) return { waitMs: guess.waitMs };
    let verdict: Verdict = "unjudged";
    try {
      const result = await judge();
      verdict = verdictOf(result);
      return { result };
    } finally {
      if (verdict === "right") guess.accepted(this.#now());
      else if (verdict === "unjudged") guess.giveBack(this.#now());
      this.#judged(address, verdict);
    }
  }

  #take(address: string, { name, isGone }: Omit<Waiting, "resolve">): Guess | Promise<Guess> {
    const guess = this.#throttle.take(address, name, this.#now());
    const crowd = this.#crowds.get(address);
    if (guess.waitMs === 0) {
      if (crowd === undefined) this.#crowds.set(address, { judging: 1, waiting: new Set() });
      else crowd.judging += 1;
      return guess;
    }
    if (crowd === undefined || crowd.waiting.size >= this.#maxWaiting) return guess;
    return new Promise((resolve) => {
      crowd.waiting.add({ name, isGone, resolve });
    });
  }

  #judged(address: string, verdict: Verdict): void {
    const crowd = this.#crowds.get(address) as Crowd;
    crowd.judging -= 1;
    // A wrong password has used its guess up.
    if (verdict !== "wrong") this.#wakeNext(address, crowd);
    if (crowd.judging > 0) return;
    this.#crowds.delete(address);
    // Guesses may have become available meanwhile: those who get none wait for those who do.
    for (const one of crowd.waiting) one.resolve(one.isGone() ? GONE : this.#take(address, one));
  }

  /** Lets the oldest login be judged for which there is a guess. */
  #wakeNext(address: string, crowd: Crowd): void {
    // Each name is tried once: many may wait for the same.
    const without = new Set<string | null>();
    for (const one of crowd.waiting) {
      if (one.isGone()) {
        crowd.waiting.delete(one);
        one.resolve(GONE);
        continue;
      }
      if (without.has(one.name)) continue;
      const guess = this.#throttle.take(address, one.name, this.#now());
      if (guess.waitMs > 0) {
        without.add(one.name);
        continue;
      }
      crowd.waiting.delete(one);
      crowd.judging += 1;
      one.resolve(guess);
      return;
    }
  }
}

/** For a login whose connection has ended. Its `waitMs` is sent to nobody. */
const GONE: Guess = { waitMs: 1, giveBack: nothing, accepted: nothing };

function never(): boolean {
  return false;
}

function nothing(): void {
  // It took no guess.
}
