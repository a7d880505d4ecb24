import { ConduitError, ErrorCode } from "../errors.ts";
import type { Store } from "./store.ts";

interface Claim {
  readonly owner: object;
  /** Number of starts of the owner, which may restart before an earlier start has completed its stop. */
  starts: number;
}

/** Unshared stores in use by running servers of this process. */
const claims = new WeakMap<Store, Claim>();

/**
 * Reserves an unshared store for one server of this process. Two servers would treat each other's running handlers as
 * interrupted. Returns a function that releases the store.
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
