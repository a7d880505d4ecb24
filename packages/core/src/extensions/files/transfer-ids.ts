const MAX_IDS = 1000;

/** Ids of uploads that have failed, so that the next attempt of the same one has the same id, and may be complete. */
export class TransferIds {
  readonly #left = new Map<string, string>();
  readonly #newId: () => string;

  constructor(newId: () => string) {
    this.#newId = newId;
  }

  /** The id that a failed attempt has left, else a new one. Uploads at the same time have different ids. */
  take(upload: string): string {
    const id = this.#left.get(upload) ?? this.#newId();
    this.#left.delete(upload);
    return id;
  }

  /** The upload has failed. */
  leave(upload: string, id: string): void {
    this.#left.delete(upload);
    this.#left.set(upload, id);
    for (const oldest of this.#left.keys()) {
      if (this.#left.size <= MAX_IDS) return;
      this.#left.delete(oldest);
    }
  }
}
