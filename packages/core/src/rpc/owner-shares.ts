interface Use {
  count: number;
  bytes: number;
}

/** Bounds what is kept for all users. One user gets at most half, so that it can't use up everything. */
export class OwnerShares {
  readonly #max: Use;
  readonly #all: Use = { count: 0, bytes: 0 };
  readonly #byOwner = new Map<string, Use>();

  constructor(maxCount: number, maxBytes: number) {
    this.#max = { count: maxCount, bytes: maxBytes };
  }

  get count(): number {
    return this.#all.count;
  }

  get bytes(): number {
    return this.#all.bytes;
  }

  /** Whether a user may add one more. */
  hasRoom(owner: string): boolean {
    const own = this.#byOwner.get(owner);
    return !this.#isFull(this.#all, 1) && (own === undefined || !this.#isFull(own, 2));
  }

  /** Whether a user may add this many bytes. */
  hasRoomFor(owner: string, bytes: number): boolean {
    const own = this.#byOwner.get(owner)?.bytes ?? 0;
    return this.#all.bytes + bytes <= this.#max.bytes && (own + bytes) * 2 <= this.#max.bytes;
  }

  add(owner: string, bytes: number): void {
    const own = this.#byOwner.get(owner) ?? { count: 0, bytes: 0 };
    this.#byOwner.set(owner, own);
    for (const use of [this.#all, own]) {
      use.count += 1;
      use.bytes += bytes;
    }
  }

  delete(owner: string, bytes: number): void {
    const own = this.#byOwner.get(owner) as Use;
    for (const use of [this.#all, own]) {
      use.count -= 1;
      use.bytes -= bytes;
    }
    if (own.count === 0) this.#byOwner.delete(owner);
  }

  #isFull({ count, bytes }: Use, share: number): boolean {
    return count * share >= this.#max.count || bytes * share >= this.#max.bytes;
  }
}
