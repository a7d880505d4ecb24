/**
 * Counts large broadcasts to all clients in a send queue, whose memory is shared and isn't charged to this
 * connection. They are assumed to be the first bytes to be sent.
 */
export class SharedBytes {
  #bytes = 0;
  /** Number of bytes sent by the queue as of the last update of {@link #bytes}. */
  #leftBytes = 0;

  /** Adds a queued frame. */
  add(bytes: number, leftBytes: number): void {
    this.#bytes = this.queued(leftBytes) + bytes;
    this.#leftBytes = leftBytes;
  }

  /** Bytes still queued after the queue has sent this many. */
  queued(leftBytes: number): number {
    return Math.max(0, this.#bytes - (leftBytes - this.#leftBytes));
  }
}
