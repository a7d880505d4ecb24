import { type Called, cancelledError } from "../errors.ts";

/** Further messages use their attempts meanwhile. */
const MAX_WAITING = 10_000;

/** Messages with `ack` that wait until this node's link is connected. */
export class LinkWaits {
  readonly #ends = new Set<() => void>();

  get hasRoom(): boolean {
    return this.#ends.size < MAX_WAITING;
  }

  /** Resolves by `end`. Rejects with CANCELLED. */
  wait(called: Called, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.#ends.delete(end);
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const onAbort = (): void => {
        reject(cancelledError(called, signal?.reason));
        end();
      };
      this.#ends.add(end);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** The link is connected, or over. */
  end(): void {
    for (const end of this.#ends) end();
  }
}
