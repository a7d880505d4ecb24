import { type ClusterAddress, type ClusterSubscription, isAddressName } from "./driver.ts";

/** Subscribes this node to the messages of users that have connections here. */
export class UserInterest {
  readonly #subscribe: (address: ClusterAddress) => ClusterSubscription | null;
  readonly #users = new Map<string, { connections: number; subscription: ClusterSubscription | null }>();

  /** @param subscribe returns null while there is no link */
  constructor(subscribe: (address: ClusterAddress) => ClusterSubscription | null) {
    this.#subscribe = subscribe;
  }

  /** Subscribes over a new link. */
  start(): void {
    for (const [name, user] of this.#users) user.subscription = this.#subscribe({ kind: "user", name });
  }

  /** The link has ended, and all subscriptions with it. */
  stop(): void {
    for (const user of this.#users.values()) user.subscription = null;
  }

  /**
   * A connection of this user has logged in; the name is empty for no user. Messages to a name that isn't a valid
   * address go to all nodes.
   */
  add(name: string): void {
    if (name === "" || !isAddressName(name)) return;
    const known = this.#users.get(name);
    if (known !== undefined) known.connections += 1;
    else this.#users.set(name, { connections: 1, subscription: this.#subscribe({ kind: "user", name }) });
  }

  /** A connection of this user has ended. */
  delete(name: string): void {
    const known = this.#users.get(name);
    if (known === undefined) return;
    known.connections -= 1;
    if (known.connections > 0) return;
    this.#users.delete(name);
    known.subscription?.unsubscribe();
  }
}
