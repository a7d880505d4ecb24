/** Turns of Deno's event loop: sockets share them. */

import { nextTick } from "node:process";

const NOTHING = new Uint8Array(0);
/** How long reads may follow one another in a turn, with what they cause. */
const MAX_TURN_MS = 0.25;

const waitForThread = (): Promise<unknown> => crypto.subtle.digest("SHA-256", NOTHING);

/**
 * Runs a task in a later turn, after Deno has looked at its sockets.
 *
 * After `setImmediate`, Deno looks at them only every 61st time, so one busy connection would hold up the others for 12 ms;
 * `setTimeout` takes 2 ms. A thread takes 12 µs, and Deno looks at its sockets when nothing else is ready. The first thread
 * may have finished before the rest of this turn has: with a second one p50 beside a flood is 0.5 ms, not 13. If both have
 * finished early, the tick still lets the microtasks of this turn run first.
 */
export function nextTurn(task: () => void): void {
  void waitForThread()
    .then(waitForThread)
    .then(() => nextTick(task));
}

/**
 * Bounds how long sockets are read in one turn. Deno's `read` resolves at once while the socket has data, so a loop of reads
 * never lets the event loop go on: one flooding TLS connection kept it for 4 seconds, and 20,000 reads.
 */
export class ReadTurn {
  #startedAtMs = -1;
  #next: Promise<void> | null = null;

  /** A read has resolved. Returns null if its data may be handled in this turn, else a promise of the next one. */
  wait(): Promise<void> | null {
    if (this.#startedAtMs < 0) {
      this.#startedAtMs = performance.now();
      // Runs once no microtask is left.
      nextTick(this.#ended);
      return null;
    }
    if (performance.now() - this.#startedAtMs < MAX_TURN_MS) return null;
    this.#next ??= new Promise((resolve) => {
      nextTurn(() => {
        this.#next = null;
        resolve();
      });
    });
    return this.#next;
  }

  readonly #ended = (): void => {
    this.#startedAtMs = -1;
  };
}
