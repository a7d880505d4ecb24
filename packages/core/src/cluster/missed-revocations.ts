/**
 * Users that were revoked while nodes could not be reached. A node that comes back, in the same run, is told. One that starts anew
 * has the users that its program gives it.
 */

/** Users that are kept for all nodes together. */
const MAX_USERS = 10_000;

export class MissedRevocations {
  /** By epoch; the oldest first. */
  readonly #users = new Map<string, Set<string>>();
  #size = 0;

  /** The runs with these epochs didn't hear of it. */
  add(user: string, epochs: Iterable<string>): void {
    for (const epoch of epochs) {
      const users = this.#users.get(epoch) ?? new Set();
      if (users.has(user)) continue;
      this.#users.set(epoch, users.add(user));
      this.#size += 1;
    }
    for (const oldest of this.#users.keys()) {
      if (this.#size <= MAX_USERS) return;
      this.take(oldest);
    }
  }

  /** Forgets a user's revocation, because the user may log in again. */
  delete(user: string): void {
    for (const [epoch, users] of this.#users) {
      if (!users.delete(user)) continue;
      this.#size -= 1;
      if (users.size === 0) this.#users.delete(epoch);
    }
  }

  /** Returns what a run missed, and forgets it. */
  take(epoch: string): string[] {
    const users = [...(this.#users.get(epoch) ?? [])];
    this.#users.delete(epoch);
    this.#size -= users.length;
    return users;
  }
}
