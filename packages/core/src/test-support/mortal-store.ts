import type { Store } from "../store/store.ts";

const METHODS = ["get", "create", "put", "delete", "keys"] as const;
type Method = (typeof METHODS)[number];

/** A process's view of a store. */
export interface MortalStore extends Store {
  /** Methods that are to reject. */
  readonly failing: Set<Method>;
  /** Number of calls by method. */
  readonly calls: Map<Method, number>;
  /** Simulates the end of the process: its operations have no effect and don't settle. */
  isDead: boolean;
}

export function mortalStore(store: Store): MortalStore {
  const failing = new Set<Method>();
  const calls = new Map<Method, number>();
  const view: Record<string, unknown> = { isShared: store.isShared, failing, calls, isDead: false };
  for (const name of METHODS) {
    view[name] = (...args: never[]): Promise<unknown> => {
      calls.set(name, (calls.get(name) ?? 0) + 1);
      if (view["isDead"] === true) return new Promise(() => undefined);
      if (failing.has(name)) return Promise.reject(new Error(`${name} fails`));
      return (store[name] as (...given: never[]) => Promise<unknown>).call(store, ...args);
    };
  }
  return view as unknown as MortalStore;
}
