import { EventEmitter, once } from "node:events";
import type { LogLine } from "./contract.ts";

/** A device's log, in memory. Lines are numbered from 1. */
export class DeviceLog {
  readonly #lines: LogLine[] = [];
  readonly #events = new EventEmitter();

  add(text: string): void {
    this.#lines.push({ number: this.#lines.length + 1, at: new Date(), text });
    this.#events.emit("line");
  }

  /** Yields the lines starting at a number, then new lines as they are added, until the signal is aborted. */
  async *lines(from: number, signal: AbortSignal): AsyncGenerator<LogLine, undefined> {
    for (let number = from; ; number += 1) {
      while (number > this.#lines.length) await once(this.#events, "line", { signal });
      yield this.#lines[number - 1] as LogLine;
    }
  }
}
