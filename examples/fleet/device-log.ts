import { EventEmitter, once } from "node:events";
import type { LogLine, Place } from "./contract.ts";

/** A device's log, in memory. */
export class DeviceLog {
  readonly #run: number;
  readonly #lines: LogLine[] = [];
  readonly #events = new EventEmitter();

  constructor(run: number) {
    this.#run = run;
    // Each reader listens.
    this.#events.setMaxListeners(0);
  }

  add(text: string): void {
    this.#lines.push({ run: this.#run, number: this.#lines.length + 1, at: new Date(), text });
    this.#events.emit("line");
  }

  /** Yields the lines after a place, then new lines as they are added, until the signal is aborted. */
  async *lines(after: Place | null, signal: AbortSignal): AsyncGenerator<LogLine, undefined> {
    let read = after?.run === this.#run ? after.number : 0;
    for (;;) {
      for (const line of this.#lines.slice(read)) {
        yield line;
        read = line.number;
      }
      if (read >= this.#lines.length) await once(this.#events, "line", { signal });
    }
  }
}
