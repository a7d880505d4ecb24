import type { Outgoing } from "../endpoint/remote-caller.ts";

/** A connection of a pool. */
interface Member {
  readonly outgoing: Pick<Outgoing, "waitForRoom">;
}

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * Waits until one of a pool's connections has room. Each connection is asked once, however often callers wait, because
 * one whose server is stuck may have no room for hours.
 */
export class PoolRoom {
  readonly #asked = new Set<Member>();
  readonly #waiters: Waiter[] = [];

  /** Rejects if none of them will have room. */
  wait(members: readonly Member[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      for (const member of members) if (!this.#asked.has(member)) void this.#ask(member);
    });
  }

  async #ask(member: Member): Promise<void> {
    this.#asked.add(member);
    try {
      await member.outgoing.waitForRoom();
    } catch (error) {
      this.#asked.delete(member);
      if (this.#asked.size === 0) for (const { reject } of this.#waiters.splice(0)) reject(error);
      return;
    }
    this.#asked.delete(member);
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }
}
