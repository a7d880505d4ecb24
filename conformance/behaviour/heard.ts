import { ConduitError } from "@netconduit/core";

/** What was heard so far, in order, and a way to wait for more. */
export class Heard<T> {
  readonly all: T[] = [];
  #taken = 0;
  readonly #waiting = new Set<() => void>();

  /** Bound, so that it can be handed over as a hook or handler. */
  readonly add = (item: T): void => {
    this.all.push(item);
    for (const wake of [...this.#waiting]) wake();
  };

  /** The first item that no `next` has returned yet. */
  async next(): Promise<T> {
    const index = this.#taken++;
    await this.count(index + 1);
    return this.all[index] as T;
  }

  /** Resolves with all items once there are `count` or more. */
  async count(count: number): Promise<readonly T[]> {
    while (this.all.length < count) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
    return this.all;
  }
}

/** A promise that the test resolves. */
export interface Gate<T = void> {
  readonly promise: Promise<T>;
  open(value: T): void;
}

export function gate<T = void>(): Gate<T> {
  let open: (value: T) => void = () => {};
  const promise = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}

/** The error that `promise` rejects with, which must be one of the library's. */
export async function failureOf(promise: Promise<unknown>): Promise<ConduitError> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    if (error instanceof ConduitError) return error;
    throw error;
  }
  throw new Error(`Expected a rejection, got ${JSON.stringify(value)}`);
}

/** The error that `task` throws, which must be one of the library's. */
export function thrownBy(task: () => unknown): ConduitError {
  try {
    task();
  } catch (error) {
    if (error instanceof ConduitError) return error;
    throw error;
  }
  throw new Error("Expected an error, none was thrown");
}

/** Resolves once `condition` holds, for the few things that no event tells; asked once per turn of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

/** One turn of the event loop: what could have happened at once has happened. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
