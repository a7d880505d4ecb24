/**
 * The subscriptions of a pool. Each is at one server, and moves to another when that one fails or stops. Positions
 * belong to a server, so a subscription that moves can't tell what it missed; positions of a durable topic are valid
 * on all nodes of a cluster.
 */

import type { AnySubscription, SubscribeOptions, SubscriptionOwner } from "../client/topics/subscription.ts";
import { makeSubscription, notConnected, type Subscriptions } from "../client/topics/subscriptions.ts";
import { ConduitError, ErrorCode } from "../errors.ts";

/** A connection that can hold subscriptions of a pool. */
export interface SubscriptionHome {
  readonly subscriptions: Subscriptions;
}

/** The pool. */
export interface PoolSubscriptionsHost {
  readonly receiveQueueBytes: number;
  /** Chooses a connection that accepts calls; null if there is none. */
  choose(): SubscriptionHome | null;
  /** Whether a connection accepts calls. */
  isUsable(home: SubscriptionHome): boolean;
  /** Whether a connection may become available later. */
  mayConnect(): boolean;
  hookFailed(name: string, error: unknown): void;
}

export class PoolSubscriptions implements SubscriptionOwner {
  readonly #host: PoolSubscriptionsHost;
  /** The connection of each subscription; null while it waits for a server. */
  readonly #homes = new Map<AnySubscription, SubscriptionHome | null>();

  constructor(host: PoolSubscriptionsHost) {
    this.#host = host;
  }

  get maxBytes(): number {
    return this.#host.receiveQueueBytes;
  }

  /** @throws ConduitError INVALID_CONFIG */
  subscribe(name: string, options: SubscribeOptions): AnySubscription {
    const subscription = makeSubscription(this, name, options);
    if (!this.#host.mayConnect()) {
      subscription._end(notConnected(name));
      return subscription;
    }
    this.#homes.set(subscription, null);
    this.#settle(subscription);
    return subscription;
  }

  /** The set of usable connections has changed: moves subscriptions whose server no longer accepts calls. */
  usableChanged(): void {
    for (const [subscription, home] of this.#homes) {
      if (home !== null && this.#host.isUsable(home)) continue;
      if (home !== null) {
        this.#homes.set(subscription, null);
        home.subscriptions.detach(subscription);
      }
      this.#settle(subscription);
    }
  }

  /** Ends all subscriptions, because there will be no further connection. @param error null if the program closed the pool */
  endAll(error: ConduitError | null): void {
    for (const [subscription, home] of [...this.#homes]) {
      home?.subscriptions.detach(subscription);
      subscription._end(error);
    }
  }

  closedError(name: string): ConduitError {
    return new ConduitError(ErrorCode.CANCELLED, `The subscription to '${name}' was closed`);
  }

  left(subscription: AnySubscription): void {
    this.#homes.get(subscription)?.subscriptions.detach(subscription);
  }

  ended(subscription: AnySubscription): void {
    this.#homes.delete(subscription);
  }

  hookFailed(name: string, error: unknown): void {
    this.#host.hookFailed(name, error);
  }

  #settle(subscription: AnySubscription): void {
    const home = this.#host.choose();
    if (home === null) return;
    this.#homes.set(subscription, home);
    home.subscriptions.attach(subscription);
  }
}
