import { ErrorCode, RpcError } from "../../errors.ts";

interface Peer {
  taken: number;
  /** In the order in which they came. */
  readonly waiting: Set<() => void>;
}

/** Bounds what a peer has under way at a time, such as open files. Others wait for their turn. */
export class PeerPlaces {
  readonly #limit: number;
  readonly #peers = new WeakMap<object, Peer>();

  /** @param limit places of each peer */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * Resolves when the peer has a free place, with a function that frees it.
   * @param signal gives up; what has given up waits no longer
   * @throws RpcError CANCELLED
   */
  async take(peer: object, signal: AbortSignal | undefined): Promise<() => void> {
    const known = this.#peers.get(peer) ?? { taken: 0, waiting: new Set() };
    this.#peers.set(peer, known);
    if (signal?.aborted === true) throw givenUp();
    if (known.taken < this.#limit) known.taken += 1;
    else await turnIn(known.waiting, signal);
    return () => {
      const [next] = known.waiting;
      // A place that is freed passes on.
      if (next === undefined) known.taken -= 1;
      else next();
    };
  }
}

function turnIn(waiting: Set<() => void>, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      waiting.delete(begin);
      signal?.removeEventListener("abort", giveUp);
    };
    const begin = (): void => {
      end();
      resolve();
    };
    const giveUp = (): void => {
      end();
      reject(givenUp());
    };
    waiting.add(begin);
    signal?.addEventListener("abort", giveUp, { once: true });
  });
}

export function givenUp(): RpcError {
  return new RpcError(ErrorCode.CANCELLED, "The transfer was given up before its turn came");
}
