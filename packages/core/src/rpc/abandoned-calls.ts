import { ErrorCode, RpcError } from "../errors.ts";
import { MAX_ABANDONED_ONCE, MAX_ABANDONED_ONCE_BYTES } from "../limits.ts";

interface Use {
  calls: number;
  bytes: number;
}

const RETRY_AFTER_SECONDS = 1;

/**
 * Bounds calls with a key that run on although their callers have given up or gone: the limits of a connection end with
 * it. One identity gets half at most, so that it can't take those of others.
 */
export class AbandonedCalls {
  readonly #all: Use = { calls: 0, bytes: 0 };
  readonly #byOwner = new Map<string, Use>();

  /** @throws RpcError RATE_LIMITED if too many run for a further call of this identity */
  mustHaveRoom(owner: string): void {
    const own = this.#byOwner.get(owner);
    if (!isFull(this.#all, 1) && (own === undefined || !isFull(own, 2))) return;
    const { calls, bytes } = this.#all;
    const message = `${calls} calls with a key run without their callers, with ${bytes} bytes`;
    throw new RpcError(ErrorCode.RATE_LIMITED, message, {
      details: { retry_after: RETRY_AFTER_SECONDS, started: false },
    });
  }

  add(owner: string, bytes: number): void {
    const own = this.#byOwner.get(owner) ?? { calls: 0, bytes: 0 };
    this.#byOwner.set(owner, own);
    for (const use of [this.#all, own]) {
      use.calls += 1;
      use.bytes += bytes;
    }
  }

  delete(owner: string, bytes: number): void {
    const own = this.#byOwner.get(owner) as Use;
    for (const use of [this.#all, own]) {
      use.calls -= 1;
      use.bytes -= bytes;
    }
    if (own.calls === 0) this.#byOwner.delete(owner);
  }
}

function isFull({ calls, bytes }: Use, share: number): boolean {
  return calls * share >= MAX_ABANDONED_ONCE || bytes * share >= MAX_ABANDONED_ONCE_BYTES;
}
