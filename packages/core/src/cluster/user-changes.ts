/**
 * Changes of users by any node, in one order for all nodes: that of their times. So nodes that were cut off from each other
 * have the same users when they have heard of each other's changes, whichever came first.
 */

import type { VerifiedUser } from "../auth/users.ts";

/** When a user was changed. Nodes don't make two changes in one millisecond; of two nodes, the id decides. */
export interface ChangeTime {
  /** By the node's clock, or more if it has heard of later ones. */
  readonly ms: number;
  readonly node: string;
}

/** The node of {@link UserChanges}. */
export interface UserChangesHost {
  readonly nodeId: string;
  wallClock(): number;
  /** @throws ConduitError INVALID_CONFIG, INVALID_STATE */
  setUser(name: string, user: VerifiedUser): void;
  /** Returns the number of connections that it has ended. */
  revoke(name: string): number;
}

interface Known {
  /** The time of the last change, and the user since then; null: there is none any more. */
  readonly at: ChangeTime;
  readonly set: VerifiedUser | null;
  /** The time of the last revocation; null if there was none. */
  readonly revokedAt: ChangeTime | null;
}

/** Users that are kept. An older change of one that was forgotten is taken for a new one. */
const MAX_USERS = 10_000;

export class UserChanges {
  readonly #host: UserChangesHost;
  /** By user, the one that was changed longest ago first. */
  readonly #known = new Map<string, Known>();
  #lastMs = 0;

  constructor(host: UserChangesHost) {
    this.#host = host;
  }

  /** This node has set a user, or revoked it (null). Returns when. */
  made(user: string, set: VerifiedUser | null): ChangeTime {
    const at = this.#now();
    this.#keep(user, { at, set, revokedAt: set === null ? at : (this.#known.get(user)?.revokedAt ?? null) });
    return at;
  }

  /**
   * Another node has set a user. Nothing happens if a later change is known.
   * @throws ConduitError INVALID_CONFIG, INVALID_STATE
   */
  set(user: string, set: VerifiedUser, at: ChangeTime): void {
    const known = this.#known.get(user);
    if (known !== undefined && !isAfter(at, known.at)) return;
    this.#host.setUser(user, set);
    this.#keep(user, { at, set, revokedAt: known?.revokedAt ?? null });
  }

  /**
   * Another node has revoked a user. Its connections end, and those to a user that was set since then may come back. Nothing
   * happens if this or a later revocation is known. Returns the number of connections that were ended.
   */
  revoke(user: string, at: ChangeTime): number {
    const known = this.#known.get(user);
    if (known?.revokedAt != null && !isAfter(at, known.revokedAt)) return 0;
    const count = this.#host.revoke(user);
    if (known === undefined || isAfter(at, known.at)) {
      this.#keep(user, { at, set: null, revokedAt: at });
    } else {
      if (known.set !== null) this.#host.setUser(user, known.set);
      this.#keep(user, { ...known, revokedAt: at });
    }
    return count;
  }

  /** The time that a node has stated, or that of its arrival if it is none. */
  readTime(stated: unknown): ChangeTime {
    const [ms, node] = Array.isArray(stated) ? stated : [];
    return Number.isSafeInteger(ms) && typeof node === "string" ? { ms, node } : this.#now();
  }

  #now(): ChangeTime {
    return { ms: Math.max(this.#lastMs + 1, Math.floor(this.#host.wallClock())), node: this.#host.nodeId };
  }

  #keep(user: string, known: Known): void {
    this.#lastMs = Math.max(this.#lastMs, known.at.ms);
    this.#known.delete(user);
    this.#known.set(user, known);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MAX_USERS) break;
      this.#known.delete(oldest);
    }
  }
}

function isAfter(a: ChangeTime, b: ChangeTime): boolean {
  return a.ms === b.ms ? a.node > b.node : a.ms > b.ms;
}
