import { ConduitError, ErrorCode } from "../errors.ts";
import { CallbackTimer } from "../util/time.ts";
import type { TimerWheel } from "../util/timer-wheel.ts";
import type { Store } from "./store.ts";

/** Timeout of a store's operations. */
const STORE_TIMEOUT_MS = 10_000;
/** Maximum number of pending operations; further ones are rejected immediately. */
const MAX_UNANSWERED = 100_000;

/**
 * Wraps a store so that its operations reject with STORE_FAILED if it doesn't answer in time, and nothing waits
 * forever for a store that hangs. Such an operation may still be carried out later.
 */
export class AnsweringStore implements Store {
  readonly #store: Store;
  readonly #wheel: TimerWheel;
  readonly #timers = new Set<CallbackTimer>();
  #unanswered = 0;

  constructor(store: Store, wheel: TimerWheel) {
    this.#store = store;
    this.#wheel = wheel;
  }

  get isShared(): boolean {
    return this.#store.isShared;
  }

  get(key: string, timeoutMs: number = STORE_TIMEOUT_MS): Promise<Uint8Array | null> {
    return this.#answer("get", timeoutMs, () => this.#store.get(key));
  }

  create(key: string, value: Uint8Array, ttlMs: number): Promise<boolean> {
    return this.#answer("create", STORE_TIMEOUT_MS, () => this.#store.create(key, value, ttlMs));
  }

  put(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    return this.#answer("put", STORE_TIMEOUT_MS, () => this.#store.put(key, value, ttlMs));
  }

  delete(key: string): Promise<void> {
    return this.#answer("delete", STORE_TIMEOUT_MS, () => this.#store.delete(key));
  }

  keys(prefix: string, limit: number): Promise<string[]> {
    return this.#answer("keys", STORE_TIMEOUT_MS, () => this.#store.keys(prefix, limit));
  }

  /** The server has stopped: cancels all timeouts. */
  end(): void {
    for (const timer of this.#timers) this.#wheel.cancel(timer);
    this.#timers.clear();
  }

  async #answer<T>(method: keyof Store, timeoutMs: number, operate: () => Promise<T>): Promise<T> {
    if (this.#unanswered >= MAX_UNANSWERED) {
      throw unanswered(`${this.#unanswered} operations wait for an answer`);
    }
    let giveUp: (error: ConduitError) => void = () => undefined;
    const late = new Promise<never>((_resolve, reject) => {
      giveUp = reject;
    });
    const timer = new CallbackTimer(() => giveUp(unanswered(`${method} took more than ${timeoutMs} ms`)));
    this.#timers.add(timer);
    this.#wheel.schedule(timer, timeoutMs);
    try {
      return await Promise.race([this.#counted(operate), late]);
    } finally {
      this.#wheel.cancel(timer);
      this.#timers.delete(timer);
    }
  }

  async #counted<T>(operate: () => Promise<T>): Promise<T> {
    this.#unanswered += 1;
    try {
      return await operate();
    } finally {
      this.#unanswered -= 1;
    }
  }
}

function unanswered(why: string): ConduitError {
  return new ConduitError(ErrorCode.STORE_FAILED, `The store doesn't answer: ${why}`);
}
