import type { Runtime } from "../runtime.ts";
import { Fifo } from "../util/fifo.ts";

/** Work that has used up its time slice of an event loop turn. */
export interface Continuable {
  /** Works for the next time slice. Must not throw. */
  continueTurn(): void;
}

/**
 * Shares the event loop between connections that have more work than fits into a time slice. One of them continues in
 * each turn, in order, so the time they take doesn't grow with their number.
 */
export class TurnQueue {
  readonly #runtime: Runtime;
  readonly #waiting: Fifo<Continuable> = new Fifo();
  #isScheduled = false;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Continues `work` in a later turn. */
  add(work: Continuable): void {
    this.#waiting.push(work);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#runtime.nextTurn(this.#continueOne);
  }

  readonly #continueOne = (): void => {
    this.#isScheduled = false;
    const work = this.#waiting.shift();
    if (this.#waiting.length > 0) this.#schedule();
    work?.continueTurn();
  };
}
