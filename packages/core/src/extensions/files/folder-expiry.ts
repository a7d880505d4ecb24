/** Removes abandoned unfinished files: when a folder is first served, when it is used, and by a timer. */

import { CallbackTimer } from "../../util/time.ts";
import { withFileErrors } from "./file-errors.ts";
import type { FileTransfers } from "./file-transfers.ts";
import type { ReceivingFolder } from "./receiving-folder.ts";

/** Minimum interval of searches on use, which also find unfinished files left by other processes. */
const USE_INTERVAL_MS = 60_000;
/** Longer times are split into steps, because timers have a maximum. */
const MAX_STEP_MS: number = 24 * 60 * 60 * 1000;

export interface FolderExpiryOptions {
  /** The folder's name. */
  readonly name: string;
  readonly receiving: ReceivingFolder;
  readonly transfers: FileTransfers;
  readonly expireMs: number;
  /** A background search has failed. */
  failed(error: unknown): void;
}

export class FolderExpiry {
  readonly #options: FolderExpiryOptions;
  /** Scheduled while there are known unfinished files. Doesn't keep the process running. */
  readonly #timer = new CallbackTimer(() => this.#searchAlone());
  #searchedMs = Number.NEGATIVE_INFINITY;
  #search: Promise<void> | null = null;
  #isServed = false;

  constructor(options: FolderExpiryOptions) {
    this.#options = options;
  }

  /** Searches a folder that is starting to be served. */
  begin(): void {
    this.#isServed = true;
    this.#searchAlone();
  }

  /** Called on use. Resolves when a due or running search has finished. */
  async used(): Promise<void> {
    const { transfers, expireMs } = this.#options;
    const isDue = transfers.now() - this.#searchedMs >= Math.min(USE_INTERVAL_MS, expireMs);
    if (isDue || this.#search !== null) await this.#searchOnce();
  }

  /** An unfinished file was left. */
  left(): void {
    if (!this.#timer.isScheduled) this.#schedule(this.#options.expireMs);
  }

  /** The folder is no longer served. */
  end(): void {
    this.#isServed = false;
    this.#options.transfers.cancel(this.#timer);
  }

  #searchAlone(): void {
    this.#searchOnce().catch((error: unknown) => this.#options.failed(error));
  }

  #searchOnce(): Promise<void> {
    this.#search ??= this.#expire().finally(() => {
      this.#search = null;
    });
    return this.#search;
  }

  async #expire(): Promise<void> {
    const { name, receiving, transfers, expireMs } = this.#options;
    this.#searchedMs = transfers.now();
    const nextMs = await withFileErrors(`clean up '${name}'`, () => receiving.expire(expireMs));
    if (nextMs !== null) this.#schedule(nextMs);
  }

  #schedule(delayMs: number): void {
    if (this.#isServed) this.#options.transfers.schedule(this.#timer, Math.min(delayMs, MAX_STEP_MS));
  }
}
