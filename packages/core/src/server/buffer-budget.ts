/**
 * A limit on the memory that all connections of a server hold together (option `maxBufferedBytes`).
 *
 * A connection's count is updated after each change to what it holds. Below 16 KiB it counts as 0, so that busy
 * connections with small messages only cost a comparison. If the total exceeds the limit at the end of a turn,
 * connections are aborted: the largest of the address that holds most, so that one host can't evict the others.
 */

import { throttleKey } from "../auth/throttle.ts";
import type { Address } from "../bytes/byte-stream.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { UNCOUNTED_BYTES } from "../limits.ts";

/** A connection that holds memory. */
export interface BufferHolder {
  readonly stream: { readonly remote: Address };
  /** Bytes currently held; 0 after it has ended. */
  readonly heldBytes: number;
  /** Bytes as last counted; managed by the budget. */
  countedBytes: number;
  report(error: ConduitError): void;
  destroy(error: ConduitError): void;
}

/** Memory held by the connections of one address. */
interface Tally {
  bytes: number;
  largest: BufferHolder;
}

export class BufferBudget {
  readonly #maxBytes: number;
  /** Runs a task at the end of the turn. */
  readonly #defer: (task: () => void) => void;
  readonly #holders = new Set<BufferHolder>();
  #bytes = 0;
  #isEvicting = false;

  constructor(maxBytes: number, defer: (task: () => void) => void) {
    this.#maxBytes = maxBytes;
    this.#defer = defer;
  }

  /** Total bytes as last counted. */
  get bytes(): number {
    return this.#bytes;
  }

  count(holder: BufferHolder): void {
    const { heldBytes } = holder;
    const bytes = heldBytes < UNCOUNTED_BYTES ? 0 : heldBytes;
    if (bytes === holder.countedBytes) return;
    this.#bytes += bytes - holder.countedBytes;
    holder.countedBytes = bytes;
    if (bytes === 0) this.#holders.delete(holder);
    else this.#holders.add(holder);
    if (this.#bytes <= this.#maxBytes || this.#isEvicting) return;
    this.#isEvicting = true;
    this.#defer(() => this.#evict());
  }

  #evict(): void {
    this.#isEvicting = false;
    for (const holder of [...this.#holders]) this.count(holder);
    while (this.#bytes > this.#maxBytes) {
      const holder = this.#largest();
      const message =
        `The server's connections hold ${this.#bytes} bytes (option maxBufferedBytes: ${this.#maxBytes}), ` +
        `and this one most of its address: ${holder.countedBytes}`;
      const error = new ConduitError(ErrorCode.BUFFER_LIMIT, message);
      holder.report(error);
      holder.destroy(error);
      this.count(holder);
    }
  }

  /** The largest connection of the address that holds most. */
  #largest(): BufferHolder {
    const byAddress = new Map<string | null, Tally>();
    for (const holder of this.#holders) {
      const address = throttleKey(holder.stream.remote);
      const tally = byAddress.get(address) ?? { bytes: 0, largest: holder };
      tally.bytes += holder.countedBytes;
      if (holder.countedBytes > tally.largest.countedBytes) tally.largest = holder;
      byAddress.set(address, tally);
    }
    return [...byAddress.values()].reduce((most, one) => (one.bytes > most.bytes ? one : most)).largest;
  }
}
