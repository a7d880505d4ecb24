/**
 * Acknowledged messages, and calls with a key. They are resent with the same key until the peer answers, so that it
 * handles them once. Over one connection, a message is sent once unless the peer rejects it: it arrives in order, and
 * a second copy would come after later messages. The sender also requests another delivery of a message whose handler
 * failed. It has kept the message anyway, so the receiver needs no memory for that.
 */

import { checkSignal, checkTimeout, type Overdue } from "../connection/outgoing-calls.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import {
  asConduitError,
  ConduitError,
  cancelledError,
  codeOf,
  ErrorCode,
  isInstance,
  messageOf,
  RpcError,
} from "../errors.ts";
import { isOnceKey, MAX_DELIVERIES, ONCE_KEY_RULE, ONCE_METHOD } from "../rpc/once-window.ts";
import { isRedeliverable, isRefusal } from "../rpc/redelivery.ts";
import type { Validator } from "../rpc/validation.ts";
import { describeValue } from "../text/describe-value.ts";
import { checkName } from "../util/check-name.ts";
import { isCount } from "../util/is-count.ts";
import { isMap } from "../util/is-map.ts";
import { KnownOptions } from "../util/known-options.ts";
import { retryAfterIn } from "../util/retry-after.ts";
import type { EncodedValue } from "../wire/encoded-value.ts";
import type { Metadata } from "../wire/metadata.ts";
import { OnceMessage, onceCall } from "./once-params.ts";

export interface CallSettings {
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly meta?: Metadata | undefined;
  readonly overdue?: Overdue | undefined;
  readonly isTaken?: boolean | undefined;
}

/** Makes the attempts of a call. */
export interface Calls {
  call(
    method: string,
    params: unknown,
    options: CallSettings | undefined,
    validator: Validator<unknown> | null,
  ): Promise<unknown>;
}

/** Makes the attempts of a message. */
export interface MessageAttempts {
  /** Number of attempts sent. */
  readonly sent: number;
  /** Whether the next attempt waits for a connection, so that it needs no delay. */
  readonly mustWait: boolean;
  /** Makes the next attempt. Rejects without sending it if there will be no connection, or if too much is waiting for one. */
  call(params: EncodedValue, options: CallSettings): Promise<unknown>;
}

/** The sending server or client. */
export interface RepeatingSender {
  readonly context: RuntimeContext;
  /** Starts the attempts of one call. */
  attempts(): Calls;
  /** Starts the attempts of one message. */
  messageAttempts(): MessageAttempts;
  /** Whether no further attempt can succeed. */
  isOver(): boolean;
  /** Counts the bytes that are kept until the peer answers. */
  countUnanswered(change: number): void;
  readonly pauses: Pauses;
}

/** Attempts that are sent immediately. */
export class ImmediateAttempts implements MessageAttempts {
  readonly mustWait = false;
  readonly #sender: Pick<RepeatingSender, "attempts" | "isOver">;
  readonly #calls: Calls;
  #sent = 0;

  constructor(sender: Pick<RepeatingSender, "attempts" | "isOver">) {
    this.#sender = sender;
    this.#calls = sender.attempts();
  }

  get sent(): number {
    return this.#sent;
  }

  call(params: EncodedValue, options: CallSettings): Promise<unknown> {
    if (!this.#sender.isOver()) this.#sent += 1;
    return this.#calls.call(ONCE_METHOD, params, options, null);
  }
}

/** Delays before further attempts, which end early when no further attempt can succeed. */
export class Pauses {
  readonly #ends = new Set<() => void>();
  /** Functions that end the delays that last only while connected. */
  readonly #untilLost = new Set<() => void>();

  /** Resolves after this time, when the signal fires, by `end`, or by `connectionLost` if it lasts only while connected. */
  wait(
    { runtime }: RuntimeContext,
    delayMs: number,
    signal: AbortSignal | undefined,
    whileConnected = false,
  ): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        runtime.clearTimer(timer);
        signal?.removeEventListener("abort", end);
        this.#ends.delete(end);
        this.#untilLost.delete(end);
        resolve();
      };
      const timer = runtime.setTimer(end, delayMs, true);
      signal?.addEventListener("abort", end);
      this.#ends.add(end);
      if (whileConnected) this.#untilLost.add(end);
    });
  }

  connectionLost(): void {
    for (const end of [...this.#untilLost]) end();
  }

  end(): void {
    for (const end of [...this.#ends]) end();
  }
}

/** Options of acknowledged messages. */
export interface AckOptions {
  /**
   * Maximum number of attempts. While a client is disconnected but may reconnect, the next attempt waits. While the
   * connection lives, the message isn't resent: an attempt only waits for the answer, which may come late. Default
   * 10.
   */
  readonly attempts?: number | undefined;
  /**
   * Maximum delay before the second attempt or delivery; it doubles each time, up to 30 s. The delay is a random part
   * of it. Default 200 ms.
   */
  readonly delayMs?: number | undefined;
  /** How long an attempt waits for the answer while connected. Default: option `rpcTimeoutMs`. */
  readonly timeoutMs?: number | undefined;
  /**
   * Maximum number of times that the peer's handlers are started if they fail; 1 to 1,000. After that the message is
   * a dead letter on the peer (`onDeadLetter`), and `send` rejects with the last error. Default 1.
   */
  readonly deliveries?: number | undefined;
  /** Cancels the message: `send` rejects with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
  /**
   * For a server with a store: resolve when the message is stored, instead of when its handler has returned. If this
   * server's process ends first, the server or node at which the client's session continues delivers it. Default
   * false.
   */
  readonly stored?: boolean | undefined;
  /** A key of the message, so that it is handled once even if your program sends it again. Default: a new key. */
  readonly once?: string | undefined;
}

const ATTEMPTS = 10;
const DELAY_MS = 200;
const MAX_DELAY_MS = 30_000;

const ACK = new KnownOptions<AckOptions>("send: ack", {
  attempts: true,
  delayMs: true,
  timeoutMs: true,
  deliveries: true,
  signal: true,
  stored: true,
  once: true,
});

/** Checks the option `ack`. @throws ConduitError INVALID_CONFIG */
export function ackOptions(type: string, ack: unknown): AckOptions {
  checkName("message", type);
  if (ack === true) return {};
  const mustBe = (isValid: boolean, option: string, rule: string, value: unknown): void => {
    if (isValid || (value === undefined && option !== "ack")) return;
    const message = `Cannot send '${type}': ${option} must be ${rule}, got ${describeValue(value)}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  };
  mustBe(typeof ack === "object" && ack !== null, "ack", "true or an object of options", ack);
  const options = ack as AckOptions;
  ACK.check(options, type);
  const { attempts, delayMs, deliveries, once, signal, stored, timeoutMs } = options;
  mustBe(isCount(attempts, 1), "ack.attempts", "an integer of 1 or more", attempts);
  mustBe(isCount(delayMs), "ack.delayMs", "an integer of 0 or more", delayMs);
  const isCountOfDeliveries = isCount(deliveries, 1) && deliveries <= MAX_DELIVERIES;
  mustBe(isCountOfDeliveries, "ack.deliveries", `an integer from 1 to ${MAX_DELIVERIES}`, deliveries);
  mustBe(typeof stored === "boolean", "ack.stored", "a boolean", stored);
  mustBe(isOnceKey(once), "ack.once", ONCE_KEY_RULE, once);
  // Checked here as well, because a stored message isn't sent before its sender has been answered.
  checkTimeout(type, timeoutMs ?? 0);
  checkSignal(type, signal);
  return options;
}

/**
 * Sends a message. Resolves when the peer's handler has returned.
 * @param options checked by `ackOptions`. `isTaken`: waiting messages are bounded elsewhere, so a full send queue
 *   doesn't reject it
 */
export async function sendAcknowledged(
  sender: RepeatingSender,
  type: string,
  data: unknown,
  options: AckOptions & Pick<CallSettings, "meta" | "isTaken">,
): Promise<void> {
  const { once: key = crypto.randomUUID(), signal } = options;
  const calls = sender.messageAttempts();
  if (signal?.aborted === true) throw cancelledError(type, signal.reason);
  const message = new OnceMessage(sender.context, key, type, data);
  const { length } = message.params.bytes;
  sender.countUnanswered(length);
  try {
    await attemptMessage(sender, calls, message, type, options);
  } finally {
    sender.countUnanswered(-length);
  }
}

async function attemptMessage(
  sender: RepeatingSender,
  calls: MessageAttempts,
  message: OnceMessage,
  type: string,
  options: AckOptions & Pick<CallSettings, "meta" | "isTaken">,
): Promise<void> {
  const { attempts = ATTEMPTS, delayMs = DELAY_MS, deliveries = 1 } = options;
  const { timeoutMs, signal, meta, isTaken = false } = options;
  let delivery = 1;
  if (deliveries > 1) message.setDelivery(delivery, deliveries);
  // Number of attempts that spent all their time in the send queue, so that the peer received nothing.
  let unsent = 0;
  // Number of attempts that only waited, because an earlier one is in flight over the same connection.
  let waited = 0;
  const attempted = (): number => calls.sent - unsent + waited;
  const overdue: Overdue = (isSent) => {
    if (!isSent) return 0;
    const count = attempted();
    if (count >= attempts) return null;
    waited += 1;
    return Math.random() * backOff(delayMs, count);
  };
  // Whether the peer has started an attempt; undefined if unknown.
  let started: boolean | undefined = false;
  const isGivenUp = (): boolean => signal?.aborted === true;
  for (;;) {
    if (isGivenUp()) throw cancelledError(type, signal?.reason);
    const { sent } = calls;
    try {
      await calls.call(message.params, { timeoutMs, signal, meta, overdue, isTaken: isTaken || sent > 0 });
      return;
    } catch (error) {
      if (isGivenUp() || isRefusedForRoom(error, sent)) throw error;
      const waitMs = retryAfterMs(error, backOff(delayMs, Math.max(1, calls.sent + waited)));
      if (calls.sent === sent) {
        if (!isInstance(error, ConduitError) || REFUSED_HERE.has(codeOf(error))) throw error;
        throw notDelivered(type, attempted(), started, error);
      }
      if (isUnsent(error)) unsent += 1;
      const startedNow = startedIn(error);
      if (started !== true && startedNow !== false) started = startedNow === true ? true : undefined;
      if (waitMs !== null) {
        if (attempted() >= attempts || sender.isOver()) {
          throw notDelivered(type, attempted(), started, asConduitError(error));
        }
        const isUnanswered = !isInstance(error, RpcError);
        if (!calls.mustWait) await sender.pauses.wait(sender.context, waitMs, signal, isUnanswered);
      } else {
        if (delivery >= deliveries || !hasFailedThere(error)) throw error;
        await sender.pauses.wait(sender.context, Math.random() * backOff(delayMs, delivery), signal);
        delivery += 1;
        message.setDelivery(delivery, deliveries);
      }
    }
  }
}

export function noStreamOnce(method: string): ConduitError {
  const message = `Cannot call '${method}': a call with once can't have an input or onProgress`;
  return new ConduitError(ErrorCode.INVALID_CONFIG, message);
}

/**
 * Calls a method with a key. If the connection is lost, repeats the call over the next one, within its time limit;
 * the method still runs once.
 */
export async function callOnce(
  sender: RepeatingSender,
  key: string,
  method: string,
  params: unknown,
  options: CallSettings | undefined,
  validator: Validator<unknown> | null,
): Promise<unknown> {
  checkName("method", method);
  if (!isOnceKey(key)) {
    const message = `Cannot call '${method}': once must be ${ONCE_KEY_RULE}, got ${describeValue(key)}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  const wrapped = onceCall(sender.context, key, method, params);
  const { length } = wrapped.bytes;
  sender.countUnanswered(length);
  try {
    return await attemptCall(sender, wrapped, method, options, validator);
  } finally {
    sender.countUnanswered(-length);
  }
}

async function attemptCall(
  sender: RepeatingSender,
  wrapped: EncodedValue,
  method: string,
  options: CallSettings | undefined,
  validator: Validator<unknown> | null,
): Promise<unknown> {
  const { timeoutMs = 0, signal } = options ?? {};
  const { runtime } = sender.context;
  const startedMs = runtime.now();
  const calls = sender.attempts();
  // The error of the last attempt that may have run.
  let earlier: unknown = null;
  for (let attempt = 1; ; attempt += 1) {
    if (signal?.aborted === true) throw cancelledError(method, signal.reason);
    const leftMs = timeoutMs - (runtime.now() - startedMs);
    const again = timeoutMs > 0 ? { timeoutMs: Math.max(1, Math.ceil(leftMs)), isTaken: true } : { isTaken: true };
    const given = attempt > 1 ? { ...options, ...again } : options;
    try {
      return await calls.call(ONCE_METHOD, wrapped, given, validator);
    } catch (error) {
      if (isRefusedForRoom(error, attempt - 1)) throw error;
      const isTimeout = codeOf(asConduitError(error)) === ErrorCode.TIMEOUT;
      const waitMs = isTimeout ? null : retryAfterMs(error, backOff(DELAY_MS, attempt));
      const isLast = timeoutMs > 0 ? waitMs !== null && waitMs >= leftMs : attempt >= ATTEMPTS;
      const isOver = waitMs === null || isLast || sender.isOver();
      if (startedIn(error) !== false) earlier = error;
      else if (isOver && earlier !== null) throw afterEarlier(error, earlier);
      if (isOver) throw error;
      await sender.pauses.wait(sender.context, waitMs, signal);
    }
  }
}

/** Combines the error of an attempt that wasn't started with that of an earlier one that may have run. */
function afterEarlier(error: unknown, earlier: unknown): ConduitError {
  const last = asConduitError(error);
  const message = `${messageOf(last)}; an earlier attempt may have been carried out: ${messageOf(asConduitError(earlier))}`;
  const { started: _, ...others } = last.details ?? {};
  const started = startedIn(earlier);
  const details = started === undefined ? others : { ...others, started };
  const options = { cause: error, details };
  return isInstance(error, RpcError)
    ? new RpcError(codeOf(last), message, options)
    : new ConduitError(codeOf(last), message, options);
}

function backOff(delayMs: number, count: number): number {
  // 2 to the power of 1024 is Infinity, and 0 times that isn't a number.
  return delayMs === 0 ? 0 : Math.min(delayMs * 2 ** (count - 1), MAX_DELAY_MS);
}

/** Whether the peer's handler failed and may succeed the next time. */
function hasFailedThere(error: unknown): boolean {
  return isInstance(error, RpcError) && isRedeliverable(error);
}

/** Whether the first attempt found the send queue full, which is thrown immediately as for any message. */
function isRefusedForRoom(error: unknown, attemptsBefore: number): boolean {
  const isConduitError = isInstance(error, ConduitError) && !isInstance(error, RpcError);
  return attemptsBefore === 0 && isConduitError && codeOf(error) === ErrorCode.SEND_QUEUE_FULL;
}

/** Errors for a message that can't wait for a connection. */
const REFUSED_HERE: ReadonlySet<number> = new Set<number>([
  ErrorCode.SEND_QUEUE_FULL,
  ErrorCode.MESSAGE_TOO_LARGE,
  ErrorCode.UNSERIALIZABLE,
  ErrorCode.INVALID_CONFIG,
]);

/** Delay before the next attempt; null if the peer has answered, or another attempt would fail in the same way. */
function retryAfterMs(error: unknown, bound: number): number | null {
  const jittered = Math.random() * bound;
  if (isInstance(error, RpcError)) {
    const started = startedIn(error);
    // The attempt timed out, which the peer detected first.
    if (codeOf(error) === ErrorCode.TIMEOUT && started === false) return jittered;
    const waitMs = isRefusal(codeOf(error)) && started !== true ? retryAfterIn(error.details) : null;
    return waitMs === null ? null : waitMs + jittered;
  }
  if (!isInstance(error, ConduitError)) return null;
  switch (codeOf(error)) {
    case ErrorCode.CONNECTION_CLOSED:
    case ErrorCode.CONNECTION_RESET:
    case ErrorCode.SESSION_EXPIRED:
    case ErrorCode.SERVER_STOPPING:
    case ErrorCode.SEND_QUEUE_FULL:
    case ErrorCode.TIMEOUT:
    // From another node of the cluster.
    case ErrorCode.NODE_UNAVAILABLE:
    case ErrorCode.CLUSTER_UNAVAILABLE:
      return jittered;
    default:
      return null;
  }
}

/** Whether an attempt timed out before it was sent. */
function isUnsent(error: unknown): boolean {
  const isOurs = isInstance(error, ConduitError) && !isInstance(error, RpcError);
  return isOurs && codeOf(error) === ErrorCode.TIMEOUT && startedIn(error) === false;
}

/** Whether handlers were started; undefined if unknown. */
function startedIn(error: unknown): unknown {
  const details = isInstance(error, ConduitError) ? error.details : undefined;
  return isMap(details) ? details["started"] : undefined;
}

/** @param started whether a handler was started; undefined if unknown */
function notDelivered(type: string, attempts: number, started: boolean | undefined, cause: ConduitError): ConduitError {
  const tried = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
  const what = attempts === 0 ? "was not sent" : `was not acknowledged in ${tried}`;
  const details = started === undefined ? { attempts } : { attempts, started };
  return new ConduitError(ErrorCode.NOT_DELIVERED, `'${type}' ${what}: ${messageOf(cause)}`, { cause, details });
}
