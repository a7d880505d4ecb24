import { ConduitError, ErrorCode, isInstance, RpcError } from "../errors.ts";
import { MAX_RUNNING_HOOKS } from "../limits.ts";
import { checkFunction } from "../util/check-function.ts";
import { runCallback } from "../util/run-callback.ts";

/** Shared by all empty lists. */
const NONE: readonly never[] = [];

/** A list of hooks of one kind. Hooks may be asynchronous. A failing hook is reported and doesn't stop the others. */
export class HookList<Args extends readonly unknown[]> {
  /** Wrapped in objects, so that a function added twice counts as two hooks. */
  #hooks: readonly { readonly hook: (...args: Args) => unknown }[] = NONE;
  #depth = 0;
  /** Calls of `notify` whose asynchronous hooks haven't finished. */
  #running = 0;
  #isSkipping = false;

  get isEmpty(): boolean {
    return this.#hooks.length === 0;
  }

  /** Whether a hook is on the call stack, that is, hasn't reached its first `await`. */
  get isCalling(): boolean {
    return this.#depth > 0;
  }

  /** Adds a hook. Returns a function that removes it. @throws ConduitError INVALID_CONFIG */
  add(hook: (...args: Args) => unknown): () => void {
    checkFunction("A hook", hook);
    const entry = { hook };
    this.#hooks = [...this.#hooks, entry];
    return () => {
      this.#hooks = this.#hooks.filter((other) => other !== entry);
    };
  }

  /** Runs the hooks one after another. Like a handler, a hook may return or throw an `RpcError`. Never rejects. */
  async run(onError: (error: unknown) => void, ...args: Args): Promise<void> {
    for (const { hook } of this.#hooks) {
      try {
        const result = await this.#call(hook, args);
        if (isInstance(result, RpcError)) onError(result);
      } catch (error) {
        onError(error);
      }
    }
  }

  /** Runs the hooks one after another, until the first failure. */
  async runStrict(...args: Args): Promise<void> {
    for (const { hook } of this.#hooks) await this.#call(hook, args);
  }

  /**
   * Starts every hook without waiting. Returns a promise that resolves when the asynchronous ones have finished and
   * never rejects, or null if there are none. The caller bounds how many run.
   */
  start(onError: (error: unknown) => void, ...args: Args): Promise<unknown> | null {
    let running: Promise<unknown>[] | null = null;
    for (const { hook } of this.#hooks) {
      const finished = runCallback(() => this.#call(hook, args), onError);
      if (finished === null) continue;
      running ??= [];
      running.push(finished);
    }
    return running === null ? null : Promise.all(running);
  }

  /**
   * Starts every hook without waiting; only reports errors. Because peers can cause any number of events, no hooks
   * are started while too many asynchronous ones are running, which is reported once.
   */
  notify(onError: (error: unknown) => void, ...args: Args): void {
    if (this.#running === MAX_RUNNING_HOOKS) {
      if (this.#isSkipping) return;
      this.#isSkipping = true;
      onError(tooManyHooks());
      return;
    }
    const running = this.start(onError, ...args);
    if (running === null) return;
    this.#running += 1;
    void running.then(() => {
      this.#running -= 1;
      this.#isSkipping = false;
    });
  }

  #call(hook: (...args: Args) => unknown, args: Args): unknown {
    this.#depth += 1;
    try {
      return hook(...args);
    } finally {
      this.#depth -= 1;
    }
  }
}

function tooManyHooks(): ConduitError {
  const message = `${MAX_RUNNING_HOOKS} events have asynchronous hooks that haven't finished, so further ones start none until one has`;
  return new ConduitError(ErrorCode.INVALID_STATE, message);
}
