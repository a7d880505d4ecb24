import { ConduitError, ErrorCode } from "@netconduit/core";

/** Messages that wait until NATS has stored them. A program that doesn't wait for its appends must not fill the memory. */
export class PendingAppends {
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * Counts a message until it is stored or refused. One larger than the limit passes if no other waits.
   * @throws ConduitError CLUSTER_UNAVAILABLE; what `append` throws
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
