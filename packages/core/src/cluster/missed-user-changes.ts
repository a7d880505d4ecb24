/**
 * Changes of users that other nodes haven't confirmed. A node that comes back, in the same run, is told the last one of each user.
 * One that starts anew has the users that its program gives it.
 */

import type { VerifiedUser } from "../auth/users.ts";

/** A change that a run of a node may not know of. */
export interface MissedUserChange {
  readonly user: string;
  /** Whether the user's connections end first. */
  readonly isRevoked: boolean;
  /** The user from then on; null if there is none any more. */
  readonly set: VerifiedUser | null;
}

interface Entry extends MissedUserChange {
  readonly epoch: string;
  readonly number: number;
}

/** Changes that are kept, for all nodes together. */
const MAX_CHANGES = 10_000;

export class MissedUserChanges {
  /** By run and user, oldest first. */
  readonly #entries = new Map<string, Entry>();
  #number = 0;

  /**
   * A user is set, or revoked (null), and the runs with these epochs haven't confirmed it.
   * @returns its number, for {@link confirmed}
   */
  add(user: string, set: VerifiedUser | null, epochs: Iterable<string>): number {
    this.#number += 1;
    for (const epoch of epochs) {
      const isRevoked = set === null || this.isRevoked(epoch, user);
      const key = keyOf(epoch, user);
      this.#entries.delete(key);
      this.#entries.set(key, { epoch, user, isRevoked, set, number: this.#number });
    }
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= MAX_CHANGES) break;
      this.#entries.delete(oldest);
    }
    return this.#number;
  }

  /** A run knows of this change. Later ones of the user stay. */
  confirmed(epoch: string, user: string, number: number): void {
    const key = keyOf(epoch, user);
    if (this.#entries.get(key)?.number === number) this.#entries.delete(key);
  }

  /** Whether a run hasn't confirmed that the user was revoked. */
  isRevoked(epoch: string, user: string): boolean {
    return this.#entries.get(keyOf(epoch, user))?.isRevoked === true;
  }

  /** Returns what a run hasn't confirmed, and forgets it. */
  take(epoch: string): MissedUserChange[] {
    const taken = [...this.#entries].filter(([, entry]) => entry.epoch === epoch);
    for (const [key] of taken) this.#entries.delete(key);
    return taken.map(([, entry]) => entry);
  }
}

function keyOf(epoch: string, user: string): string {
  return `${epoch}/${user}`;
}
