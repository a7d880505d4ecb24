/** A connection that is subscribed. */
export interface Reader {
  readonly isOpen: boolean;
  readonly sendQueue: {
    readonly delaysRequests: boolean;
    whenPassing(): Promise<void>;
    waitForRoom(): Promise<void>;
  };
}

/** A topic, or its presence, that has something for members that don't take it now. */
export interface Waiting<Member> {
  /** The member takes more. Returns whether it has everything now, or has left. */
  memberTakes(member: Member): boolean;
}

/**
 * Waits until members take more. There is one wait for each member, however many topics it lags in and however often it
 * subscribes: a peer that never reads would otherwise cost memory by subscribing again and again.
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
        // A sender that still waits is the last one next time.
        all.delete(one);
        if (one.memberTakes(member)) continue;
        all.add(one);
        break;
      }
    }
    this.#waiting.delete(member);
  }
}

/** Resolves when a message may fit. A queue can be full although a message would pass: chunks aren't acknowledged. */
function roomOf({ sendQueue }: Reader): Promise<void> {
  return sendQueue.delaysRequests ? sendQueue.whenPassing() : sendQueue.waitForRoom().catch(() => undefined);
}
