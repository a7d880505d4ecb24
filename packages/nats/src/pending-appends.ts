import { ConduitError, ErrorCode } from "@netconduit/core";

/** Bounds the messages that wait until NATS has stored them, for programs that don't wait for their appends. */
export class PendingAppends {
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * Counts a message until it is stored or rejected. One larger than the limit is allowed if no other is waiting.
   * @throws ConduitError CLUSTER_UNAVAILABLE; any error of `append`
   */
  async run<T>(topic: string, bytes: number, append: () => Promise<T>): Promise<T> {
    if (this.#bytes > 0 && this.#bytes + bytes > this.#maxBytes) {
      const full = `${this.#bytes} bytes wait to be stored, of at most ${this.#maxBytes} (maxPendingBytes)`;
      throw new ConduitError(ErrorCode.CLUSTER_UNAVAILABLE, `Cannot append to the log of topic ${topic}: ${full}`);
    }
    this.#bytes += bytes;
    try {
      return await append();
    } finally {
      this.#bytes -= bytes;
    }
  }
}
