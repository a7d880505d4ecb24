/**
 * Runs calls and messages with a key once: a repeated one gets the first one's answer. The storage of answers ({@link
 * Answers}) decides for how long, and whether a message whose handler failed is delivered again.
 */

import { ErrorCode, RpcError } from "../errors.ts";
import { isMap } from "../util/is-map.ts";
import { ReservedMethod } from "../wire/called-as.ts";

/** The reserved method. */
export const ONCE_METHOD: typeof ReservedMethod.ONCE = ReservedMethod.ONCE;
const MAX_KEY_CHARS = 256;
/** Maximum length of a method name or message type, which is kept with its key even if it is unknown. */
const MAX_NAME_CHARS = 1024;
export const ONCE_KEY_RULE: string = `a string of 1 to ${MAX_KEY_CHARS} characters`;
/** Maximum number of deliveries of a message. */
export const MAX_DELIVERIES = 1000;

/** `{key, method, params}` of a call, or `{key, type, data, delivery?, deliveries?}` of a message. */
export interface OnceRequest {
  readonly key: string;
  readonly isCall: boolean;
  readonly name: string;
  readonly value: unknown;
  /** The delivery that the sender requests, from 1. */
  readonly delivery: number;
  /** Maximum number of deliveries. */
  readonly deliveries: number;
}

/** The outcome of a call or delivery. */
export type OnceAnswer = { readonly result: unknown } | { readonly error: RpcError };

/** A storage of answers. */
export interface Answers {
  /**
   * Returns the earlier answer, or the number of the delivery that starts now.
   * @param id the key, with its user and the method or message type
   * @throws RpcError if it can't be started; it may be requested again
   */
  begin(owner: string, id: string, request: OnceRequest): OnceAnswer | number | Promise<OnceAnswer | number>;
  /** A delivery has ended. Returns the answer for its sender, which repeated requests get as well. Never rejects. */
  end(owner: string, id: string, delivery: number, answer: OnceAnswer): OnceAnswer | Promise<OnceAnswer>;
}

export class OnceWindow {
  readonly #answers: Answers;
  readonly #running = new Map<string, Promise<OnceAnswer>>();

  constructor(answers: Answers) {
    this.#answers = answers;
  }

  /**
   * Runs the request, or returns its earlier answer.
   * @param owner the identity that the key belongs to
   * @throws RpcError RATE_LIMITED if too many keys are kept, STORE_FAILED, STORE_FULL
   */
  run(owner: string, request: OnceRequest, carryOut: (delivery: number) => Promise<OnceAnswer>): Promise<OnceAnswer> {
    const id = idOf(owner, request);
    const running = this.#running.get(id);
    if (running !== undefined) return running;
    const answer = this.#run(owner, id, request, carryOut);
    this.#running.set(id, answer);
    const ended = (): void => void this.#running.delete(id);
    void answer.then(ended, ended);
    return answer;
  }

  /** Whether the request is currently running. */
  isRunning(owner: string, request: OnceRequest): boolean {
    return this.#running.has(idOf(owner, request));
  }

  /** Resolves when no request is running. */
  async idle(): Promise<void> {
    // A request may be followed by another one.
    while (this.#running.size > 0) await Promise.allSettled(this.#running.values());
  }

  async #run(
    owner: string,
    id: string,
    request: OnceRequest,
    carryOut: (delivery: number) => Promise<OnceAnswer>,
  ): Promise<OnceAnswer> {
    const begun = this.#answers.begin(owner, id, request);
    // Not awaited without a promise, so that the handler starts in order with those of other messages.
    const delivery = begun instanceof Promise ? await begun : begun;
    if (typeof delivery !== "number") return delivery;
    const answer = await carryOut(delivery);
    return this.#answers.end(owner, id, delivery, answer);
  }
}

function idOf(owner: string, { isCall, name, key }: OnceRequest): string {
  return JSON.stringify([owner, isCall, name, key]);
}

export function isOnceKey(key: unknown): key is string {
  return typeof key === "string" && key !== "" && key.length <= MAX_KEY_CHARS;
}

/** @throws RpcError INVALID_PARAMS */
export function onceRequest(params: unknown): OnceRequest {
  const { key, method, params: value, type, data, delivery = 1, deliveries = 1 } = isMap(params) ? params : {};
  const isKey = isOnceKey(key);
  // Nested in itself, it would wait for its own end.
  if (isKey && isName(method) && method !== ONCE_METHOD) {
    const isParams = value === undefined || value === null || isMap(value);
    if (!isParams) throw new RpcError(ErrorCode.INVALID_PARAMS, `${ONCE_METHOD} needs params that are a map`);
    return { key, isCall: true, name: method, value: value ?? {}, delivery: 1, deliveries: 1 };
  }
  if (isKey && isName(type) && isDelivery(deliveries) && isDelivery(delivery) && delivery <= deliveries) {
    return { key, isCall: false, name: type, value: data ?? null, delivery, deliveries };
  }
  const message =
    `${ONCE_METHOD} needs a key of 1 to ${MAX_KEY_CHARS} characters, and a type, or a method other than itself, of at most ` +
    `${MAX_NAME_CHARS}; delivery and deliveries are integers from 1 to ${MAX_DELIVERIES}`;
  throw new RpcError(ErrorCode.INVALID_PARAMS, message);
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value.length <= MAX_NAME_CHARS;
}

function isDelivery(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_DELIVERIES;
}
