/**
 * Remembers the answers of requests by key, so that a call or message that comes again gets the same answer. A key is remembered
 * for a time. If too many are, new ones are refused: none is forgotten before its time.
 */

import { ErrorCode, RpcError } from "../errors.ts";
import { MAX_ONCE_KEYS, ONCE_WINDOW_MS } from "../limits.ts";
import { isMap } from "../util/is-map.ts";

/** The reserved method. */
export const ONCE_METHOD = "$once";
const MAX_KEY_CHARS = 256;

/** `{key, method, params}` of a call, or `{key, type, data}` of a message. */
export interface OnceRequest {
  readonly key: string;
  readonly isCall: boolean;
  readonly name: string;
  readonly value: unknown;
}

/** How it ended. */
export type OnceAnswer = { readonly result: unknown } | { readonly error: RpcError };

interface Entry {
  readonly answer: Promise<OnceAnswer>;
  /** When it is forgotten; 0 while it runs. */
  untilMs: number;
}

export class OnceWindow {
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();

  /** @param now in monotonic milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Carries it out, or returns the answer from before.
   * @param owner whose key it is
   * @throws RpcError RATE_LIMITED if too many keys are remembered
   */
  run(owner: string, request: OnceRequest, carryOut: () => Promise<OnceAnswer>): Promise<OnceAnswer> {
    const id = JSON.stringify([owner, request.isCall, request.name, request.key]);
    this.#forget();
    const known = this.#entries.get(id);
    if (known !== undefined) return known.answer;
    if (this.#entries.size >= MAX_ONCE_KEYS) {
      const details = { retry_after: ONCE_WINDOW_MS / 1000 };
      throw new RpcError(ErrorCode.RATE_LIMITED, `${MAX_ONCE_KEYS} keys are remembered`, { details });
    }
    const entry: Entry = { answer: carryOut(), untilMs: 0 };
    this.#entries.set(id, entry);
    void entry.answer.then(() => {
      // Behind those that ended earlier.
      this.#entries.delete(id);
      entry.untilMs = this.#now() + ONCE_WINDOW_MS;
      this.#entries.set(id, entry);
    });
    return entry.answer;
  }

  #forget(): void {
    const now = this.#now();
    for (const [id, { untilMs }] of this.#entries) {
      if (untilMs > now) return;
      if (untilMs > 0) this.#entries.delete(id);
    }
  }
}

/** @throws RpcError INVALID_PARAMS */
export function onceRequest(params: unknown): OnceRequest {
  const { key, method, params: value, type, data } = isMap(params) ? params : {};
  const isKey = typeof key === "string" && key !== "" && key.length <= MAX_KEY_CHARS;
  if (isKey && typeof method === "string") return { key, isCall: true, name: method, value: value ?? {} };
  if (isKey && typeof type === "string") return { key, isCall: false, name: type, value: data ?? null };
  const message = `${ONCE_METHOD} needs a key of 1 to ${MAX_KEY_CHARS} characters, and a method or type`;
  throw new RpcError(ErrorCode.INVALID_PARAMS, message);
}
