/**
 * The credit that this side grants its peer: frames and bytes of messages and requests.
 *
 * Both ends count in the same way. A frame is charged when it arrives and released when the application has taken it.
 * Released credit is returned in batches, so that a call doesn't cost a frame of its own: after half of the frames,
 * or after a few bytes, so that a peer that has sent a large message can soon send the next one.
 */

const MAX_BATCH_BYTES: number = 512 * 1024;

/** How credit is returned. */
export interface CreditHost {
  /** Whether replies accumulate because the peer doesn't read them. Until then, it gets no more credit. */
  readonly hasUnreadReplies: boolean;
  returnCredit(frames: number, bytes: number): void;
}

export class ReceiveCredit {
  readonly #host: CreditHost;
  readonly #frameBatch: number;
  readonly #byteBatch: number;
  /** Credit that the peer has left. */
  #frames: number;
  #bytes: number;
  /** Released credit that hasn't been returned yet. */
  #dueFrames = 0;
  #dueBytes = 0;

  constructor(host: CreditHost, frames: number, bytes: number) {
    this.#host = host;
    this.#frames = frames;
    this.#bytes = bytes;
    this.#frameBatch = Math.ceil(frames / 2);
    this.#byteBatch = Math.min(Math.ceil(bytes / 2), MAX_BATCH_BYTES);
  }

  /** Charges a received frame. Returns false if the peer had no credit for it. */
  charge(bytes: number): boolean {
    if (this.#frames <= 0 || this.#bytes <= 0) return false;
    this.#frames -= 1;
    this.#bytes -= bytes;
    return true;
  }

  /** Releases a charged frame that has left the receive queue. */
  release(bytes: number): void {
    this.#dueFrames += 1;
    this.#dueBytes += bytes;
    if (this.#dueFrames >= this.#frameBatch || this.#dueBytes >= this.#byteBatch) this.returnDue();
  }

  /** Returns released credit, if there is enough for a batch and the peer reads its replies. */
  returnDue(): void {
    if (this.#dueFrames < this.#frameBatch && this.#dueBytes < this.#byteBatch) return;
    if (this.#host.hasUnreadReplies) return;
    const frames = this.#dueFrames;
    const bytes = this.#dueBytes;
    this.#dueFrames = 0;
    this.#dueBytes = 0;
    this.#frames += frames;
    this.#bytes += bytes;
    this.#host.returnCredit(frames, bytes);
  }
}
