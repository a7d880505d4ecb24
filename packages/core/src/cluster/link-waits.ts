import { type Called, cancelledError } from "../errors.ts";

/** Messages beyond this limit don't wait, and use up attempts. */
const MAX_WAITING = 10_000;

/** Messages with `ack` that wait until this node's link is connected. */
export class LinkWaits {
  readonly #ends = new Set<() => void>();

  get hasRoom(): boolean {
    return this.#ends.size < MAX_WAITING;
  }

  /** Resolves when `release` is called. Rejects with CANCELLED. */
  wait(called: Called, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const release = (): void => {
        this.#ends.delete(release);
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const onAbort = (): void => {
        reject(cancelledError(called, signal?.reason));
        release();
      };
      this.#ends.add(release);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** The link is connected or closed. */
  end(): void {
    for (const end of this.#ends) end();
  }
}
