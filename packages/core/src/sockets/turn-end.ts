/** Longest delay that the runtimes' timers know, some 24.8 days; a longer one would fire at once. */
export const MAX_TIMER_MS: number = 2 ** 31 - 1;

/**
 * Tasks for the end of the present turn of the event loop, in order. One hop of the runtime serves them all, because a
 * hop costs some 200 ns and a place in the list 12.
 */
export class TurnEnd {
  readonly #hop: () => void;
  #tasks: (() => void)[] = [];

  /** @param hopWith is given what is to run at the end of a turn, and returns a function that has it run then */
  constructor(hopWith: (run: () => void) => () => void) {
    this.#hop = hopWith(() => this.#run());
  }

  /** Runs `task` at the end of the turn. One that throws does not take the others with it. */
  readonly defer = (task: () => void): void => {
    if (this.#tasks.push(task) === 1) this.#hop();
  };

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
