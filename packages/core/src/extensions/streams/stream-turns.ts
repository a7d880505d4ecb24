/**
 * Shares turns of the event loop between the streams of a connection, and with everything else: what they do in one turn is
 * bounded, and those that have more to do wait for later ones.
 */

import type { Continuable, TurnQueue } from "../../context/turn-queue.ts";
import { Fifo } from "../../util/fifo.ts";

/** Work in one turn: an item counts one, and one more for each kibibyte. */
const WORK_PER_TURN = 512;
const BYTES_PER_UNIT = 1024;

interface Waiter {
  /** The work of its last item, and so probably of its next one. */
  readonly work: number;
  resolve(): void;
}

export class StreamTurns implements Continuable {
  readonly #turns: Pick<TurnQueue, "add">;
  readonly #waiting = new Fifo<Waiter>();
  #isQueued = false;
  #work = 0;

  constructor(turns: Pick<TurnQueue, "add">) {
    this.#turns = turns;
  }

  /** A stream has handled an item of so many bytes. Returns a promise if it must wait for its next turn. */
  pass(bytes: number): Promise<void> | null {
    const work = 1 + bytes / BYTES_PER_UNIT;
    this.#work += work;
    if (this.#work < WORK_PER_TURN) return null;
    this.#queue();
    return new Promise((resolve) => this.#waiting.push({ work, resolve }));
  }

  /** The next turn: as many streams go on as it has room for, each with an item at least. */
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

  #queue(): void {
    if (this.#isQueued) return;
    this.#isQueued = true;
    this.#turns.add(this);
  }
}
