/**
 * Merges changes to users from all nodes, ordered by time, so that nodes end up with the same users no matter in
 * which order they receive the changes: last writer wins.
 */

import type { VerifiedUser } from "../auth/users.ts";

/** When a user was changed. A node never uses the same millisecond twice; ties between nodes are broken by node id. */
export interface ChangeTime {
  /** Unix milliseconds by the node's clock, or later than any change it has received. */
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
  /** The time of the last change, and the user as of then; null if it was removed. */
  readonly at: ChangeTime;
  readonly set: VerifiedUser | null;
  /** The time of the last revocation; null if there was none. */
  readonly revokedAt: ChangeTime | null;
}

/** Users to remember. Beyond this, an old change to a forgotten user is applied like a new one. */
const MAX_USERS = 10_000;

export class UserChanges {
  readonly #host: UserChangesHost;
  /** By user, least recently changed first. */
  readonly #known = new Map<string, Known>();
  #lastMs = 0;

  constructor(host: UserChangesHost) {
    this.#host = host;
  }

  /** Records that this node has set a user, or revoked it (null). Returns the time of the change. */
  record(user: string, set: VerifiedUser | null): ChangeTime {
    const at = this.#now();
    this.#keep(user, { at, set, revokedAt: set === null ? at : (this.#known.get(user)?.revokedAt ?? null) });
    return at;
  }

  /**
   * Applies a user that another node has set, unless a later change is known.
   * @throws ConduitError INVALID_CONFIG, INVALID_STATE
   */
  set(user: string, set: VerifiedUser, at: ChangeTime): void {
    const known = this.#known.get(user);
    if (known !== undefined && !isAfter(at, known.at)) return;
    this.#host.setUser(user, set);
    this.#keep(user, { at, set, revokedAt: known?.revokedAt ?? null });
  }

  /**
   * Applies a revocation by another node, unless this or a later one is known: closes the user's connections, which
   * may reconnect if the user was set again since. Returns the number of closed connections.
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

  /** The time stated by a node, or the current time if it isn't valid. */
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
