import { Fifo } from "../../util/fifo.ts";

/** Files that one peer may have open here: a process has room for a thousand, sockets included, on many systems. */
const MAX_OPEN_FILES = 64;

interface Peer {
  open: number;
  readonly waiting: Fifo<() => void>;
}

/** Bounds the files that a peer's transfers have open at a time. Others wait for their turn. */
export class OpenFiles {
  readonly #peers = new WeakMap<object, Peer>();

  /** Resolves when the peer may open one more file, with a function that ends that. */
  async take(peer: object): Promise<() => void> {
    const known = this.#peers.get(peer) ?? { open: 0, waiting: new Fifo() };
    this.#peers.set(peer, known);
    // A file that is closed passes its place on.
    if (known.open < MAX_OPEN_FILES) known.open += 1;
    else await new Promise<void>((resolve) => known.waiting.push(resolve));
    return () => {
      const next = known.waiting.shift();
      if (next === undefined) known.open -= 1;
      else next();
    };
  }
}
