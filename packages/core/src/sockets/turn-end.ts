/**
 * Runs tasks at the end of the current event loop turn, in order. The runtime is only asked once per turn, because
 * scheduling takes some 200 ns, and adding to the list 12.
 */
export class TurnEnd {
  readonly #schedule: (run: () => void) => void;
  #tasks: (() => void)[] = [];

  /** @param schedule calls `run` at the end of the turn */
  constructor(schedule: (run: () => void) => void) {
    this.#schedule = schedule;
  }

  /** Runs `task` at the end of the turn. If it throws, later tasks run in the next one. */
  defer(task: () => void): void {
    if (this.#tasks.push(task) === 1) this.#schedule(() => this.#run());
  }

  #run(): void {
    const tasks = this.#tasks;
    this.#tasks = [];
    let done = 0;
    try {
      while (done < tasks.length) (tasks[done++] as () => void)();
    } finally {
      if (done < tasks.length) for (const task of tasks.slice(done)) this.defer(task);
    }
  }
}
