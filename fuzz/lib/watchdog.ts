import { Worker } from "node:worker_threads";

/** Maximum length of a reported input. */
const MAX_BYTES = 65_536;

/** Ends the process if an input takes too long, and writes it to a file, because an infinite loop can't be stopped. */
export class Watchdog {
  /** Number of starts and ends of inputs, and the current input's length. */
  readonly #counts = new Int32Array(new SharedArrayBuffer(8));
  readonly #input = new Uint8Array(new SharedArrayBuffer(MAX_BYTES));
  readonly #worker: Worker;

  /** @param file file to write the input to */
  constructor(limitMs: number, file: string) {
    const shared = { counts: this.#counts, input: this.#input, limitMs, file };
    this.#worker = new Worker(new URL("./watchdog-worker.ts", import.meta.url), { workerData: shared });
    this.#worker.unref();
  }

  begin(input: Uint8Array): void {
    this.#input.set(input.subarray(0, MAX_BYTES));
    Atomics.store(this.#counts, 1, input.length);
    Atomics.add(this.#counts, 0, 1);
  }

  end(): void {
    Atomics.add(this.#counts, 0, 1);
  }

  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}
