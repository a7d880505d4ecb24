import type { Disposer } from "../endpoint/method-types.ts";

/** A handler, method or hook, and its disposer on each client. */
interface Registration<T> {
  add(to: T): Disposer;
  readonly disposers: Map<T, Disposer>;
}

/** Handlers, methods and hooks of all clients of a pool, including clients created later. */
export class Registrations<T> {
  readonly #all = new Set<Registration<T>>();

  /**
   * Adds a handler to these clients and to all later ones.
   * @param add adds it to one client and returns a function that removes it. If it throws, it is removed from all
   *   clients
   * @returns a function that removes it from all clients
   */
  add(clients: readonly T[], add: (to: T) => Disposer): Disposer {
    const registration: Registration<T> = { add, disposers: new Map() };
    const dispose = (): void => {
      this.#all.delete(registration);
      for (const disposeOne of registration.disposers.values()) disposeOne();
      registration.disposers.clear();
    };
    try {
      for (const client of clients) registration.disposers.set(client, add(client));
    } catch (error) {
      dispose();
      throw error;
    }
    this.#all.add(registration);
    return dispose;
  }

  /** Adds all registrations to a new client. */
  addAllTo(client: T): void {
    for (const { add, disposers } of this.#all) disposers.set(client, add(client));
  }

  /** A client is no longer used. */
  forget(client: T): void {
    for (const { disposers } of this.#all) disposers.delete(client);
  }
}
