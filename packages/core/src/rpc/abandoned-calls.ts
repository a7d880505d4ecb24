import { ErrorCode, RpcError } from "../errors.ts";
import { MAX_ABANDONED_ONCE, MAX_ABANDONED_ONCE_BYTES } from "../limits.ts";
import { OwnerShares } from "./owner-shares.ts";

const RETRY_AFTER_SECONDS = 1;

/**
 * Bounds calls with a key that continue after their callers have given up or disconnected, because a connection's
 * limits end with it.
 */
export class AbandonedCalls {
  readonly #shares = new OwnerShares(MAX_ABANDONED_ONCE, MAX_ABANDONED_ONCE_BYTES);

  /** @throws RpcError RATE_LIMITED if too many calls of this identity are running */
  mustHaveRoom(owner: string): void {
    if (this.#shares.hasRoom(owner)) return;
    const { count, bytes } = this.#shares;
    const message = `There is no room for another call of ack or once: ${count}, with ${bytes} bytes, run on without their callers`;
    throw new RpcError(ErrorCode.RATE_LIMITED, message, {
      details: { retry_after: RETRY_AFTER_SECONDS, started: false },
    });
  }

  add(owner: string, bytes: number): void {
    this.#shares.add(owner, bytes);
  }

  delete(owner: string, bytes: number): void {
    this.#shares.delete(owner, bytes);
  }
}
