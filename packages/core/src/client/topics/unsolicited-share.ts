import { MAX_PRESENT } from "./presence-view.ts";
import type { MessageBuffer, SubscriptionShare } from "./subscription.ts";

/** Memory of a subscription in addition to its messages. */
const SUBSCRIPTION_BYTES = 2048;

/**
 * Limits the memory of subscriptions started by the server. Because the server decides their number, together they
 * may use as much memory as one requested by the program.
 */
export class UnsolicitedShare implements SubscriptionShare {
  readonly #maxBytes: () => number;
  #bytes = 0;
  #members = 0;
  /** Subscriptions with waiting messages, least recently read first. */
  readonly #waiting = new Set<MessageBuffer>();

  constructor(maxBytes: () => number) {
    this.#maxBytes = maxBytes;
  }

  /** Drops older messages until the rest fits. A single message may exceed the limit. */
  added(buffer: MessageBuffer, bytes: number): void {
    this.#bytes += bytes;
    if (!this.#waiting.has(buffer)) this.#bytes += SUBSCRIPTION_BYTES;
    this.#waiting.add(buffer);
    for (const first of this.#waiting) {
      while (this.#bytes > this.#maxBytes() && first.waiting > 0) {
        if (this.#waiting.size === 1 && first.waiting === 1) return;
        first._dropOldest();
      }
      if (this.#bytes <= this.#maxBytes()) return;
    }
  }

  removed(buffer: MessageBuffer, bytes: number, isTaken: boolean): void {
    if (!this.#waiting.has(buffer)) return;
    this.#bytes -= bytes;
    if (isTaken || buffer.waiting === 0) this.#waiting.delete(buffer);
    if (buffer.waiting === 0) this.#bytes -= SUBSCRIPTION_BYTES;
    else if (isTaken) this.#waiting.add(buffer);
  }

  /** Whether the presence lists have room for one more member. */
  get takesMembers(): boolean {
    return this.#members < MAX_PRESENT;
  }

  countMembers(change: number): void {
    this.#members += change;
  }
}
