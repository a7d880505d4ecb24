import { ConduitError, ErrorCode } from "../errors.ts";
import type { Store } from "./store.ts";

interface Claim {
  readonly owner: object;
  /** Starts of the owner: it may start again before an earlier start has noticed that it was stopped. */
  starts: number;
}

/** Stores that running servers of this process use, and that aren't shared. */
const claims = new WeakMap<Store, Claim>();

/**
 * Reserves a store for one server of this process, if it isn't shared: two would take each other's running handlers for
 * interrupted. Returns a function that ends that.
 * @throws ConduitError STORE_IN_USE if another server has it
 */
export function claimStore(store: Store, owner: object): () => void {
  if (store.isShared) return () => undefined;
  const claim = claims.get(store) ?? { owner, starts: 0 };
  if (claim.owner !== owner) {
    const message =
      "Cannot start: another running server of this process has the same resume.store, which isn't shared. Stop that " +
      "server first, or give each server a store of its own";
    throw new ConduitError(ErrorCode.STORE_IN_USE, message);
  }
  claims.set(store, claim);
  claim.starts += 1;
  return () => {
    claim.starts -= 1;
    if (claim.starts === 0) claims.delete(store);
  };
}
