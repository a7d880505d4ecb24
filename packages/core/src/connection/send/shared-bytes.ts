/**
 * Large broadcasts to all clients in a send queue. Their memory is shared by all clients, so it isn't this connection's. They count as
 * the first bytes to leave.
 */
export class SharedBytes {
  #bytes = 0;
  /** Bytes that had left the queue when {@link #bytes} was right. */
  #leftBytes = 0;

  /** A frame was queued. */
  add(bytes: number, leftBytes: number): void {
    this.#bytes = this.queued(leftBytes) + bytes;
    this.#leftBytes = leftBytes;
  }

  /** Bytes that are still queued when so many have left. */
  queued(leftBytes: number): number {
    return Math.max(0, this.#bytes - (leftBytes - this.#leftBytes));
  }
}
