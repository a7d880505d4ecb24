/** Turns of Deno's event loop: sockets share them. */

import { nextTick } from "node:process";

// Kept, because fake timers replace the global one.
const { setTimeout } = globalThis;
/** How long reads may follow one another in a turn, with what they cause. */
const MAX_TURN_MS = 0.25;
const NOTHING = new Uint8Array(0);
/** Some 30 µs of work for a thread. */
const SOME_WORK = new Uint8Array(32 * 1024);

/**
 * Runs a task in a later turn, after Deno has looked at its sockets.
 *
 * After `setImmediate`, Deno looks at them only every 61st time, so one busy connection would hold up the others for 12 ms;
 * `setTimeout` takes 2 ms. It looks at them when nothing else is ready, so a thread works meanwhile, twice, for longer than
 * the rest of this turn takes. If both end early, the tick still lets the microtasks of this turn run first.
 */
export function nextTurn(task: () => void): void {
  if (pausing !== null) pausing.push(task);
  else afterThread(SOME_WORK, task);
}

/** Tasks that run when the pause is over; null if there is none. */
let pausing: (() => void)[] | null = null;

/**
 * Runs a task after a pause of 1 to 2 ms, in which no other task's turn comes either. Deno certainly looks at its sockets
 * then; a thread may be done earlier, mostly if the processors are busy.
 */
export function afterPause(task: () => void): void {
  if (pausing === null) {
    pausing = [];
    setTimeout(endPause, 0);
  }
  pausing.push(task);
}

function endPause(): void {
  const tasks = pausing ?? [];
  pausing = null;
  for (const task of tasks) task();
}

function afterThread(work: Uint8Array<ArrayBuffer>, task: () => void): void {
  const digest = (): Promise<unknown> => crypto.subtle.digest("SHA-256", work);
  void digest()
    .then(digest)
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
      // Reads end with the turn, so little follows that a thread could be done before.
      afterThread(NOTHING, () => {
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
