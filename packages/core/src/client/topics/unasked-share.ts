import { MAX_PRESENT } from "./presence-view.ts";
import type { MessageBuffer, SubscriptionShare } from "./subscription.ts";

/** Memory of a subscription with messages, beside these. */
const SUBSCRIPTION_BYTES = 2048;

/**
 * The memory of subscriptions that the server began by itself. The server decides how many there are, so together they get
 * the room of one that the program asked for.
 */
export class UnaskedShare implements SubscriptionShare {
  readonly #maxBytes: () => number;
  #bytes = 0;
  #members = 0;
  /** Those with messages that wait; first the one of which the program has taken none for longest. */
  readonly #waiting = new Set<MessageBuffer>();

  constructor(maxBytes: () => number) {
    this.#maxBytes = maxBytes;
  }

  /** Others go until all fit, or this one; one alone may be larger. */
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

  /** Whether the lists of subscribers may have another member. */
  get takesMembers(): boolean {
    return this.#members < MAX_PRESENT;
  }

  countMembers(change: number): void {
    this.#members += change;
  }
}
