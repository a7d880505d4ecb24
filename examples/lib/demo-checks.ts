/** Checks that the demo's results are the expected ones. */

import { isDeepStrictEqual } from "node:util";

/** A result differs from the expected one. */
export class Mismatch extends Error {}

let checks = 0;

/** Number of checks that have passed so far. */
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

/** Pending events, named in the error on timeout. */
const awaited = new Set<string>();

/** Awaits `promise`; on timeout, the error names `what`. */
export async function waitFor<T>(what: string, promise: Promise<T>): Promise<T> {
  awaited.add(what);
  try {
    return await promise;
  } finally {
    awaited.delete(what);
  }
}

/** A promise that rejects after `ms` and names the events still awaited; `end` cancels it. */
export function deadline(ms: number): { readonly promise: Promise<never>; end(): void } {
  let timer: NodeJS.Timeout | undefined;
  const promise = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const what = [...awaited].join(", ") || "the end";
      reject(new Mismatch(`timed out after ${ms / 1000} s waiting for ${what}`));
    }, ms);
  });
  return { promise, end: () => clearTimeout(timer) };
}

/** The result of `work`, and how many milliseconds it took. */
export async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const startedAt = performance.now();
  const value = await work();
  return { value, ms: performance.now() - startedAt };
}
