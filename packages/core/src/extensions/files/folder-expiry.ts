/** Removes unfinished files that aren't continued: when a folder is first served, when it is used, and by a timer. */

import { CallbackTimer } from "../../util/time.ts";
import { withFileErrors } from "./file-errors.ts";
import type { FileTransfers } from "./file-transfers.ts";
import type { ReceivingFolder } from "./receiving-folder.ts";

/** Other processes may leave unfinished files, too, so use looks for them. */
const USE_INTERVAL_MS = 60_000;
/** Longer times are taken in steps, because timers are bounded. */
const MAX_STEP_MS: number = 24 * 60 * 60 * 1000;

export interface FolderExpiryOptions {
  /** The folder's name. */
  readonly name: string;
  readonly receiving: ReceivingFolder;
  readonly transfers: FileTransfers;
  readonly expireMs: number;
  /** A search that nobody waits for failed. */
  failed(error: unknown): void;
}

export class FolderExpiry {
  readonly #options: FolderExpiryOptions;
  /** Scheduled while there are unfinished files that this side knows of. Doesn't keep the process running. */
  readonly #timer = new CallbackTimer(() => this.#searchAlone());
  #searchedMs = Number.NEGATIVE_INFINITY;
  #search: Promise<void> | null = null;
  #isServed = false;

  constructor(options: FolderExpiryOptions) {
    this.#options = options;
  }

  /** The folder is served from now on: searches it. */
  begin(): void {
    this.#isServed = true;
    this.#searchAlone();
  }

  /** The folder is used. Resolves when a search, if one is due or under way, has ended. */
  async used(): Promise<void> {
    const { transfers, expireMs } = this.#options;
    const isDue = transfers.now() - this.#searchedMs >= Math.min(USE_INTERVAL_MS, expireMs);
    if (isDue || this.#search !== null) await this.#searchOnce();
  }

  /** An unfinished file is left. */
  left(): void {
    if (!this.#timer.isScheduled) this.#schedule(this.#options.expireMs);
  }

  /** The folder isn't served any more. */
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
