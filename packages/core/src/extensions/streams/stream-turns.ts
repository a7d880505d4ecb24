/**
 * Shares event loop turns between a connection's streams and everything else: their work in one turn is bounded, and
 * streams with more work wait for later turns.
 */

import type { Continuable, TurnQueue } from "../../context/turn-queue.ts";
import { Fifo } from "../../util/fifo.ts";

/** Work in one turn: an item counts one, and one more for each kibibyte. */
const WORK_PER_TURN = 512;
const BYTES_PER_UNIT = 1024;

interface Waiter {
  /** The work of its last item, used as an estimate for the next one. */
  readonly work: number;
  resolve(): void;
}

export class StreamTurns implements Continuable {
  readonly #turns: Pick<TurnQueue, "add">;
  readonly #waiting = new Fifo<Waiter>();
  #isQueued = false;
  #work = 0;
  #lastWork = 1;

  constructor(turns: Pick<TurnQueue, "add">) {
    this.#turns = turns;
  }

  /** A stream starts. Returns a promise if its first item, which may be as large as another stream's last one, must wait. */
  begin(): Promise<void> | null {
    return this.#work < WORK_PER_TURN ? null : this.#wait(this.#lastWork);
  }

  /** Counts an item of this size for a stream that waits for something else before the next one. */
  count(bytes: number): void {
    this.#lastWork = 1 + bytes / BYTES_PER_UNIT;
    this.#work += this.#lastWork;
    if (this.#work >= WORK_PER_TURN) this.#queue();
  }

  /** Counts an item of this size. Returns a promise if the stream must wait for its next turn. */
  pass(bytes: number): Promise<void> | null {
    this.count(bytes);
    return this.#work < WORK_PER_TURN ? null : this.#wait(this.#lastWork);
  }

  /** Continues as many streams as the turn has room for, each with at least one item. */
  continueTurn(): void {
    this.#isQueued = false;
    this.#work = 0;
    let woken = 0;
    while (this.#waiting.length > 0 && woken < WORK_PER_TURN) {
      const { work, resolve } = this.#waiting.shift() as Waiter;
      woken += work;
      resolve();
    }
    if (this.#waiting.length > 0) this.#queue();
  }

  #wait(work: number): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ work, resolve }));
  }

  #queue(): void {
    if (this.#isQueued) return;
    this.#isQueued = true;
    this.#turns.add(this);
  }
}
