/** Runs one task at a time for each peer, so that a peer with many requests uses the disk no more than a peer with one. */
export class PeerTurns {
  readonly #last = new WeakMap<object, Promise<unknown>>();

  /** Runs the task after the peer's earlier ones. */
  run<T>(peer: object, task: () => Promise<T>): Promise<T> {
    const result = (this.#last.get(peer) ?? Promise.resolve()).then(task);
    this.#last.set(
      peer,
      result.catch(() => undefined),
    );
    return result;
  }
}
