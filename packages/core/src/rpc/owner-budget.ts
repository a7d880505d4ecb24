interface Use {
  readonly sinceMs: number;
  bytes: number;
  /** Bytes of the previous window. */
  before: number;
}

/**
 * Bounds each user's bytes in a store by the bytes added within the last one to two windows, because a store doesn't
 * report when a value expires. Starts empty with each process.
 */
export class OwnerBudget {
  readonly #windowMs: number;
  readonly #maxBytes: number;
  readonly #uses = new Map<string, Use>();

  constructor(windowMs: number, maxBytes: number) {
    this.#windowMs = windowMs;
    this.#maxBytes = maxBytes;
  }

  /** Charges bytes. Returns false, without charging, if the limit would be exceeded. */
  charge(owner: string, bytes: number, nowMs: number): boolean {
    const use = this.#useOf(owner, nowMs);
    if (use.bytes + use.before + bytes > this.#maxBytes) return false;
    use.bytes += bytes;
    return true;
  }

  /** Refunds bytes that weren't stored. */
  refund(owner: string, bytes: number): void {
    const use = this.#uses.get(owner);
    if (use !== undefined) use.bytes = Math.max(0, use.bytes - bytes);
  }

  #useOf(owner: string, nowMs: number): Use {
    const known = this.#uses.get(owner);
    if (known !== undefined && nowMs - known.sinceMs < this.#windowMs) return known;
    this.#forgetIdle(nowMs);
    const isLast = known !== undefined && nowMs - known.sinceMs < 2 * this.#windowMs;
    const use = { sinceMs: nowMs, bytes: 0, before: isLast ? known.bytes : 0 };
    // Move it after the older ones.
    this.#uses.delete(owner);
    this.#uses.set(owner, use);
    return use;
  }

  #forgetIdle(nowMs: number): void {
    for (const [owner, { sinceMs }] of this.#uses) {
      if (nowMs - sinceMs < 2 * this.#windowMs) return;
      this.#uses.delete(owner);
    }
  }
}
