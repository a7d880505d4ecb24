interface Peer {
  taken: number;
  /** In the order in which they came. */
  readonly waiting: Set<() => void>;
}

/** A peer takes another place only while this many times as many as it has are free: peers that stall leave some to others. */
const FREE_PER_TAKEN = 8;

/** Bounds what a peer, and all together, have under way at a time, such as open files. Others wait for their turn. */
export class PeerPlaces {
  readonly #limit: number;
  /** Places of all peers together. */
  maxAll: number = Number.POSITIVE_INFINITY;
  #all = 0;
  readonly #peers = new WeakMap<object, Peer>();
  /** Peers of which something waits. The one that was served last comes last. */
  readonly #waiting = new Set<Peer>();

  /** @param limit places of each peer */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * Resolves when the peer has a free place, with a function that frees it.
   * @param signal gives up; what has given up waits no longer
   * @throws the signal's reason: an error for each of thousands that end with their connection would take time
   */
  async take(peer: object, signal: AbortSignal | undefined): Promise<() => void> {
    const known = this.#peers.get(peer) ?? { taken: 0, waiting: new Set() };
    this.#peers.set(peer, known);
    signal?.throwIfAborted();
    if (this.#mayTake(known)) this.#count(known, 1);
    else await this.#turnOf(known, signal);
    return () => {
      this.#count(known, -1);
      this.#serve();
    };
  }

  #mayTake({ taken }: Peer): boolean {
    const free = this.maxAll - this.#all;
    return taken < this.#limit && free > 0 && free >= taken * FREE_PER_TAKEN;
  }

  #count(peer: Peer, change: number): void {
    peer.taken += change;
    this.#all += change;
  }

  /** Free places go to the peers in turn. */
  #serve(): void {
    for (const peer of [...this.#waiting]) {
      if (this.#all >= this.maxAll) return;
      const [next] = peer.waiting;
      if (next === undefined || !this.#mayTake(peer)) continue;
      this.#count(peer, 1);
      next();
      if (!this.#waiting.delete(peer)) continue;
      this.#waiting.add(peer);
    }
  }

  #turnOf(peer: Peer, signal: AbortSignal | undefined): Promise<void> {
    const { waiting } = peer;
    return new Promise((resolve, reject) => {
      const end = (): void => {
        waiting.delete(begin);
        if (waiting.size === 0) this.#waiting.delete(peer);
        signal?.removeEventListener("abort", giveUp);
      };
      const begin = (): void => {
        end();
        resolve();
      };
      const giveUp = (): void => {
        end();
        reject(signal?.reason);
      };
      waiting.add(begin);
      this.#waiting.add(peer);
      signal?.addEventListener("abort", giveUp, { once: true });
    });
  }
}
