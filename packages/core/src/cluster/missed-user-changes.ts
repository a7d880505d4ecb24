/**
 * Changes of users that other nodes haven't confirmed. A run of a node is told the last one of each user until it has answered.
 * A node that starts anew has the users that its program gives it.
 */

import type { VerifiedUser } from "../auth/users.ts";
import type { ChangeTime } from "./user-changes.ts";

/** A change that a run of a node may not know of. */
export interface MissedUserChange {
  readonly user: string;
  /** When the user was revoked; null if it wasn't. The run is told this first. */
  readonly revokedAt: ChangeTime | null;
  /** The user from then on; null if there is none any more. */
  readonly set: VerifiedUser | null;
  /** When it was set, or revoked. */
  readonly at: ChangeTime;
  /** For {@link MissedUserChanges.confirmed}. */
  readonly number: number;
}

interface Entry extends MissedUserChange {
  readonly epoch: string;
  /** Whether the run's answer is awaited. */
  isAsked: boolean;
}

/** Changes that are kept, for all nodes together. */
const MAX_CHANGES = 10_000;

export class MissedUserChanges {
  /** By run and user, oldest first. */
  readonly #entries = new Map<string, Entry>();
  /** Keys of entries, by epoch. */
  readonly #keys = new Map<string, Set<string>>();
  #number = 0;

  /**
   * A user is set, or revoked (null), and the runs with these epochs are asked to confirm it.
   * @returns its number, for {@link confirmed}
   */
  add(user: string, set: VerifiedUser | null, at: ChangeTime, epochs: Iterable<string>): number {
    this.#number += 1;
    for (const epoch of epochs) {
      const revokedAt = set === null ? at : this.revokedAt(epoch, user);
      const key = keyOf(epoch, user);
      this.#entries.delete(key);
      this.#entries.set(key, { epoch, user, revokedAt, set, at, number: this.#number, isAsked: true });
      const keys = this.#keys.get(epoch) ?? new Set<string>();
      this.#keys.set(epoch, keys.add(key));
    }
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= MAX_CHANGES) break;
      this.#delete(oldest);
    }
    return this.#number;
  }

  /** A run knows of this change. Later ones of the user stay. */
  confirmed(epoch: string, user: string, number: number): void {
    const key = keyOf(epoch, user);
    if (this.#entries.get(key)?.number === number) this.#delete(key);
  }

  /** A run hasn't answered: it is to be asked again. */
  unanswered(epoch: string, user: string, number: number): void {
    const entry = this.#entries.get(keyOf(epoch, user));
    if (entry?.number === number) entry.isAsked = false;
  }

  /** When the user was revoked, if a run hasn't confirmed that; else null. */
  revokedAt(epoch: string, user: string): ChangeTime | null {
    return this.#entries.get(keyOf(epoch, user))?.revokedAt ?? null;
  }

  /**
   * Returns the first `limit` changes that a run is to be asked about now.
   * @param all also those that it was asked about without an answer so far
   */
  ask(epoch: string, limit: number, all: boolean): MissedUserChange[] {
    const asked: Entry[] = [];
    for (const key of this.#keys.get(epoch) ?? []) {
      const entry = this.#entries.get(key) as Entry;
      if (asked.length === limit) break;
      if (entry.isAsked && !all) continue;
      entry.isAsked = true;
      asked.push(entry);
    }
    return asked;
  }

  /** A run is over. */
  forget(epoch: string): void {
    for (const key of [...(this.#keys.get(epoch) ?? [])]) this.#delete(key);
  }

  #delete(key: string): void {
    const entry = this.#entries.get(key) as Entry;
    this.#entries.delete(key);
    const keys = this.#keys.get(entry.epoch);
    keys?.delete(key);
    if (keys?.size === 0) this.#keys.delete(entry.epoch);
  }
}

function keyOf(epoch: string, user: string): string {
  return `${epoch}/${user}`;
}
