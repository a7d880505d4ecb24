/** How the demo makes sure that what it shows is what should be there. */

import { isDeepStrictEqual } from "node:util";

/** Something was not as it should be. */
export class Mismatch extends Error {}

let checks = 0;

/** Checks that have held so far. */
export function checkCount(): number {
  return checks;
}

/** @throws Mismatch unless the two are deeply equal. */
export function check(what: string, actual: unknown, wanted: unknown): void {
  if (!isDeepStrictEqual(actual, wanted)) {
    throw new Mismatch(`${what} should be ${JSON.stringify(wanted)}, and is ${JSON.stringify(actual)}`);
  }
  checks += 1;
}

/** What is being waited for; said when it does not come. */
const awaited = new Set<string>();

/** The promise's value; `what` it is, is named should it not come in time. */
export async function waitFor<T>(what: string, promise: Promise<T>): Promise<T> {
  awaited.add(what);
  try {
    return await promise;
  } finally {
    awaited.delete(what);
  }
}

/** A promise that rejects after `ms`, naming what is still being waited for; `end` calls that off. */
export function deadline(ms: number): { readonly promise: Promise<never>; end(): void } {
  let timer: NodeJS.Timeout | undefined;
  const promise = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const what = [...awaited].join(", ") || "the end";
      reject(new Mismatch(`${ms / 1000} s are over; still waiting for ${what}`));
    }, ms);
  });
  return { promise, end: () => clearTimeout(timer) };
}

/** The value of `work`, and the milliseconds it took. */
export async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const startedAt = performance.now();
  const value = await work();
  return { value, ms: performance.now() - startedAt };
}
