import { type ClusterAddress, type ClusterSubscription, isAddressName } from "./driver.ts";

/** The users that have connections on this node, which receives messages for them. */
export class UserInterest {
  readonly #subscribe: (address: ClusterAddress) => ClusterSubscription | null;
  readonly #users = new Map<string, { connections: number; subscription: ClusterSubscription | null }>();

  /** @param subscribe null while there is no link */
  constructor(subscribe: (address: ClusterAddress) => ClusterSubscription | null) {
    this.#subscribe = subscribe;
  }

  /** The link exists now. */
  start(): void {
    for (const [name, user] of this.#users) user.subscription = this.#subscribe({ kind: "user", name });
  }

  /** The link ends, with all subscriptions. */
  stop(): void {
    for (const user of this.#users.values()) user.subscription = null;
  }

  /**
   * A connection of this user has logged in; empty for no user. Messages for a name that no address can have go to all
   * nodes.
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
