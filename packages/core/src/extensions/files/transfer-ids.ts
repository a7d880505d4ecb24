const MAX_IDS = 1000;

/** Ids of failed uploads. The next attempt of the same upload gets the same id, so that the peer knows it if it was complete. */
export class TransferIds {
  readonly #left = new Map<string, string>();
  readonly #newId: () => string;

  constructor(newId: () => string) {
    this.#newId = newId;
  }

  /** Returns the id of a failed attempt, or a new one. Concurrent uploads have different ids. */
  take(upload: string): string {
    const id = this.#left.get(upload) ?? this.#newId();
    this.#left.delete(upload);
    return id;
  }

  /** Keeps the id of a failed upload. */
  leave(upload: string, id: string): void {
    this.#left.delete(upload);
    this.#left.set(upload, id);
    for (const oldest of this.#left.keys()) {
      if (this.#left.size <= MAX_IDS) return;
      this.#left.delete(oldest);
    }
  }
}
