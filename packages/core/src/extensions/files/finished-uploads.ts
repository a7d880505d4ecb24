/** Remembers completed uploads, so that an upload whose answer was lost gets the answer again instead of an error. */

const MAX_UPLOADS = 1000;
const MEMORY_MS: number = 10 * 60 * 1000;

/** A completed upload's answer, and the version of its file. */
export interface FinishedUpload {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Distinguishes the file from a later one with the same name. */
  readonly version: string;
}

export class FinishedUploads {
  readonly #now: () => number;
  /** By transfer, oldest first. */
  readonly #finished = new Map<string, { readonly upload: FinishedUpload; readonly untilMs: number }>();
  readonly #underWay = new Map<string, Promise<FinishedUpload>>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Adds the upload if it succeeds. */
  async add(transfer: string, receiving: Promise<FinishedUpload>): Promise<FinishedUpload> {
    this.#underWay.set(transfer, receiving);
    try {
      const upload = await receiving;
      this.#finished.delete(transfer);
      this.#finished.set(transfer, { upload, untilMs: this.#now() + MEMORY_MS });
      this.#forget();
      return upload;
    } finally {
      if (this.#underWay.get(transfer) === receiving) this.#underWay.delete(transfer);
    }
  }

  /** Finds a completed transfer, waiting for a running attempt. Null if it isn't complete, or was too long ago. */
  async find(transfer: string): Promise<FinishedUpload | null> {
    const underWay = this.#underWay.get(transfer);
    // Its failure is sent to the peer of that attempt.
    if (underWay !== undefined) return await underWay.catch(() => null);
    this.#forget();
    return this.#finished.get(transfer)?.upload ?? null;
  }

  #forget(): void {
    const now = this.#now();
    for (const [transfer, { untilMs }] of this.#finished) {
      if (untilMs > now && this.#finished.size <= MAX_UPLOADS) return;
      this.#finished.delete(transfer);
    }
  }
}
