/** One task at a time for each peer, so that a peer that asks for many occupies the disk no more than one that asks for one. */
export class PeerTurns {
  readonly #last = new WeakMap<object, Promise<unknown>>();

  /** Runs the task when the peer's earlier ones have ended. */
  run<T>(peer: object, task: () => Promise<T>): Promise<T> {
    const result = (this.#last.get(peer) ?? Promise.resolve()).then(task);
    this.#last.set(
      peer,
      result.catch(() => undefined),
    );
    return result;
  }
}
