import { MAX_PRESENT } from "./presence-view.ts";
import type { MessageBuffer, SubscriptionShare } from "./subscription.ts";

/** Memory of a subscription in addition to its messages. */
const SUBSCRIPTION_BYTES = 2048;

/**
 * The memory of subscriptions that the server began by itself. The server decides how many there are, so together they
 * get as much memory as one that the program asked for.
 */
export class UnaskedShare implements SubscriptionShare {
  readonly #maxBytes: () => number;
  #bytes = 0;
  #members = 0;
  /** Those with messages that wait, in the order in which the program last took one; longest ago first. */
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

  /** Whether the lists of present clients have room for one more. */
  get takesMembers(): boolean {
    return this.#members < MAX_PRESENT;
  }

  countMembers(change: number): void {
    this.#members += change;
  }
}
