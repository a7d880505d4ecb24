/** A subscribed connection. */
export interface Reader {
  readonly isOpen: boolean;
  readonly sendQueue: {
    readonly delaysRequests: boolean;
    whenPassing(): Promise<void>;
    waitForRoom(): Promise<void>;
  };
}

/** A topic, or its presence, with data for members that can't take it yet. */
export interface Waiting<Member> {
  /** The member has room. Returns whether it is up to date, or has left. */
  memberTakes(member: Member): boolean;
}

/**
 * Waits until members have room. There is one wait per member, regardless of how many topics it lags in and how often
 * it subscribes, so that a peer that never reads can't use up memory by subscribing repeatedly.
 */
export class RoomWaits<Member extends Reader> {
  readonly #waiting = new Map<Member, Set<Waiting<Member>>>();

  add(member: Member, one: Waiting<Member>): void {
    const known = this.#waiting.get(member);
    if (known !== undefined) {
      known.add(one);
      return;
    }
    const all = new Set([one]);
    this.#waiting.set(member, all);
    void this.#serve(member, all);
  }

  delete(member: Member, one: Waiting<Member>): void {
    this.#waiting.get(member)?.delete(one);
  }

  async #serve(member: Member, all: Set<Waiting<Member>>): Promise<void> {
    while (all.size > 0 && member.isOpen) {
      await roomOf(member);
      for (const one of [...all]) {
        // Added again at the end of the queue if it still waits.
        all.delete(one);
        if (one.memberTakes(member)) continue;
        all.add(one);
        break;
      }
    }
    this.#waiting.delete(member);
  }
}

/** Resolves when a message may fit. A message can be held back although the queue has room, because chunks aren't acknowledged yet. */
function roomOf({ sendQueue }: Reader): Promise<void> {
  return sendQueue.delaysRequests ? sendQueue.whenPassing() : sendQueue.waitForRoom().catch(() => undefined);
}
