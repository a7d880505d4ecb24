import { HookList } from "../../endpoint/hook-list.ts";
import type { Disposer } from "../../endpoint/method-types.ts";
import type { PresenceFrame } from "../../extensions/topics/topic.ts";

/** A subscriber of a topic. */
export interface PresentClient {
  /** Id of its connection. */
  readonly id: string;
  /** The user, as stated by the server; null for none. */
  readonly user: string | null;
}

/** A change of a topic's presence. */
export interface PresenceChange {
  readonly joined: readonly PresentClient[];
  readonly left: readonly PresentClient[];
  /** Users whose first connection has joined. */
  readonly usersJoined: readonly string[];
  readonly usersLeft: readonly string[];
}

/** Maximum length of a list. A server sends at most one entry for each of its connections. */
export const MAX_PRESENT = 100_000;

/** Limits the members of several lists. */
export interface MemberCount {
  /** Whether the lists may have another member. */
  readonly takesMembers: boolean;
  countMembers(change: number): void;
}

/** A topic's subscribers, as last reported by the server. Changes arrive in batches, at most ten times a second. */
export class TopicPresenceView {
  readonly #clients = new Map<string, PresentClient>();
  /** Number of connections by user. */
  readonly #users = new Map<string, number>();
  readonly #hooks = new HookList<[change: PresenceChange]>();
  readonly #hookFailed: (error: unknown) => void;
  readonly #count: MemberCount | null;

  /**
   * @internal
   * @param count the limit shared with other lists; null for none
   */
  constructor(hookFailed: (error: unknown) => void, count: MemberCount | null) {
    this.#hookFailed = hookFailed;
    this.#count = count;
  }

  /** The subscribed clients. */
  get clients(): PresentClient[] {
    return [...this.#clients.values()];
  }

  /** The subscribed users, without duplicates. */
  get users(): string[] {
    return [...this.#users.keys()];
  }

  /** Number of clients. */
  get size(): number {
    return this.#clients.size;
  }

  /** Whether this user is subscribed through any of its connections. */
  hasUser(user: string): boolean {
    return this.#users.has(user);
  }

  /**
   * Runs immediately if subscribers are already known, and on every change. Returns a function that removes the hook.
   */
  onChange(hook: (change: PresenceChange) => unknown): Disposer {
    if (this.size > 0) {
      const first = new HookList<[change: PresenceChange]>();
      first.add(hook);
      first.notify(this.#hookFailed, { joined: this.clients, left: [], usersJoined: this.users, usersLeft: [] });
    }
    return this.#hooks.add(hook);
  }

  /** @internal */
  _update({ reset, joined, left }: PresenceFrame): void {
    /** Users of clients that joined or left, and whether they were present before. */
    const before = new Map<string, boolean>();
    const gone: PresentClient[] = [];
    const come: PresentClient[] = [];
    const named = new Set(joined.map(([id]) => id));
    const leaving = reset ? [...this.#clients.keys()].filter((id) => !named.has(id)) : left;
    for (const id of leaving) {
      const client = this.#clients.get(id);
      if (client === undefined) continue;
      this.#note(before, client);
      this.#remove(client);
      gone.push(client);
    }
    for (const [id, user] of joined) {
      const known = this.#clients.get(id);
      if (known?.user === user) continue;
      if (known !== undefined) {
        this.#note(before, known);
        this.#remove(known);
      }
      if (this.#clients.size === MAX_PRESENT || this.#count?.takesMembers === false) break;
      this.#count?.countMembers(1);
      const client = { id, user };
      this.#note(before, client);
      this.#clients.set(id, client);
      if (user !== null) this.#users.set(user, (this.#users.get(user) ?? 0) + 1);
      come.push(client);
    }
    if (gone.length + come.length === 0) return;
    this.#hooks.notify(this.#hookFailed, {
      joined: come,
      left: gone,
      usersJoined: [...before.keys()].filter((user) => before.get(user) === false && this.#users.has(user)),
      usersLeft: [...before.keys()].filter((user) => before.get(user) === true && !this.#users.has(user)),
    });
  }

  #note(before: Map<string, boolean>, { user }: PresentClient): void {
    if (user !== null && !before.has(user)) before.set(user, this.#users.has(user));
  }

  /** @internal Copies the list of another view of the same topic. */
  _copy({ clients }: TopicPresenceView): void {
    this._update({ reset: true, joined: clients.map(({ id, user }) => [id, user]), left: [] });
  }

  /** @internal The connection was lost: clears the list until the server sends it again. */
  _clear(): void {
    this._update({ reset: true, joined: [], left: [] });
  }

  #remove({ id, user }: PresentClient): void {
    this.#clients.delete(id);
    this.#count?.countMembers(-1);
    if (user === null) return;
    const count = (this.#users.get(user) ?? 1) - 1;
    if (count === 0) this.#users.delete(user);
    else this.#users.set(user, count);
  }
}
