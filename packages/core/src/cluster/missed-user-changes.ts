/**
 * User changes that other nodes haven't confirmed. The last change of each user is repeated to a run until it
 * answers. A restarted node gets its users from its own program.
 */

import type { VerifiedUser } from "../auth/users.ts";
import type { ChangeTime } from "./user-changes.ts";

/** A change that a run may have missed. */
export interface MissedUserChange {
  readonly user: string;
  /** When the user was revoked; null if it wasn't. Sent to the run first. */
  readonly revokedAt: ChangeTime | null;
  /** The user after the change; null if it was removed. */
  readonly set: VerifiedUser | null;
  /** When the user was set or revoked. */
  readonly at: ChangeTime;
  /** For {@link MissedUserChanges.confirmed}. */
  readonly number: number;
}

interface Entry extends MissedUserChange {
  readonly epoch: string;
  /** Whether the change was sent and the run's answer is pending. */
  isAsked: boolean;
}

/** Changes to keep, for all nodes together. */
const MAX_CHANGES = 10_000;

export class MissedUserChanges {
  /** By run and user, oldest first. */
  readonly #entries = new Map<string, Entry>();
  /** Keys of the entries, by epoch. */
  readonly #keys = new Map<string, Set<string>>();
  #number = 0;

  /**
   * Adds a change that the runs with these epochs are asked to confirm: the user is set, or revoked (null).
   * @returns the change's number, for {@link confirmed}
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

  /** A run has confirmed this change. Later changes of the user are kept. */
  confirmed(epoch: string, user: string, number: number): void {
    const key = keyOf(epoch, user);
    if (this.#entries.get(key)?.number === number) this.#delete(key);
  }

  /** A run hasn't answered in time: the change will be sent again. */
  unanswered(epoch: string, user: string, number: number): void {
    const entry = this.#entries.get(keyOf(epoch, user));
    if (entry?.number === number) entry.isAsked = false;
  }

  /** When the user was revoked, if the run hasn't confirmed it; null otherwise. */
  revokedAt(epoch: string, user: string): ChangeTime | null {
    return this.#entries.get(keyOf(epoch, user))?.revokedAt ?? null;
  }

  /**
   * Returns the first `limit` changes to send to a run now, and marks them as sent.
   * @param all include changes that were sent and aren't answered yet
   */
  take(epoch: string, limit: number, all: boolean): MissedUserChange[] {
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

  /** A run has ended. */
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
