/** The two error classes, and what is known of an error. The codes are in error-codes.ts. */

import { ErrorCode, errorCodeName } from "./error-codes.ts";
import { describeValue } from "./text/describe-value.ts";
import { unknownOptions } from "./text/unknown-options.ts";

export { ErrorCode, errorCodeName };

const temporary: ReadonlySet<number> = new Set([
  ErrorCode.SERVER_FULL,
  ErrorCode.AUTH_TIMEOUT,
  ErrorCode.FILE_CHANGED,
  ErrorCode.CHECKSUM_MISMATCH,
  ErrorCode.CONNECTION_ERROR,
  ErrorCode.TIMEOUT,
  ErrorCode.CONNECTION_CLOSED,
  ErrorCode.CONNECTION_REFUSED,
  ErrorCode.HOST_UNREACHABLE,
  ErrorCode.CONNECTION_RESET,
  ErrorCode.HEARTBEAT_TIMEOUT,
  ErrorCode.SLOW_CONSUMER,
  ErrorCode.SEND_QUEUE_FULL,
  ErrorCode.SERVER_STOPPING,
  ErrorCode.ADDRESS_IN_USE,
  ErrorCode.CONNECT_TIMEOUT,
  ErrorCode.RECONNECT_FAILED,
  ErrorCode.FRAME_TIMEOUT,
  ErrorCode.SESSION_EXPIRED,
  ErrorCode.NOT_DELIVERED,
  ErrorCode.RATE_LIMITED,
  ErrorCode.BUFFER_LIMIT,
  ErrorCode.TOO_MANY_STREAMS,
]);

/** Sets defaults on the prototype, so that they aren't printed with every error. */
function inherit(prototype: Error, values: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(values)) {
    Object.defineProperty(prototype, key, { value, writable: true, configurable: true });
  }
}

/** Options of the error classes. */
export interface ConduitErrorOptions {
  /** Machine-readable facts. String keys, and values that MessagePack can encode if the error is sent to a peer. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
  /** The method or message type that failed, if known. */
  readonly method?: string | undefined;
  /** The cause of this error. It is never sent to a peer. */
  readonly cause?: unknown;
}

const KNOWN_OPTIONS: ReadonlySet<string> = new Set<keyof ConduitErrorOptions>(["details", "method", "cause"]);

/**
 * A misspelled option would be ignored.
 * @throws ConduitError INVALID_CONFIG
 */
function checkOptions(options: unknown, className: string, code: number, errorMessage: string): void {
  const place = (): string => `new ${className}(${describeValue(code)}, ${describeValue(errorMessage)})`;
  if (typeof options !== "object" || options === null) {
    const message = `The options of ${place()} must be an object ({ details, cause }), got ${describeValue(options)}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  for (const name in options) {
    if (KNOWN_OPTIONS.has(name)) continue;
    const unknown = unknownOptions(options, KNOWN_OPTIONS, place);
    if (unknown === null) return;
    const { message, problems } = unknown;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message, { details: { problems } });
  }
}

/** The class of all errors raised by this library. Branch on `code`; the message is for people. */
export class ConduitError extends Error {
  static {
    // biome-ignore lint/complexity/noThisInStatic: for its own name, esbuild renames the class to _ConduitError
    inherit(this.prototype, { name: "ConduitError", details: undefined });
  }

  /**
   * The class and the code's name, `"ConduitError [TIMEOUT]"`. For an uncaught error, Deno prints only `name` and
   * `message`.
   */
  declare readonly name: string;
  /** Stable numeric code, see {@link ErrorCode}. */
  readonly code: number;
  /** Machine-readable facts, or `undefined`. */
  declare readonly details: Readonly<Record<string, unknown>> | undefined;

  /** @throws ConduitError INVALID_CONFIG for an unknown option */
  constructor(code: number, message: string, options: ConduitErrorOptions = {}) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    checkOptions(options, this.name, code, message);
    this.name = `${this.name} [${errorCodeName(code)}]`;
    this.code = code;
    if (options.details !== undefined) this.details = options.details;
  }

  /** The code's name, for logs; the number as text if this library doesn't define the code. */
  get codeName(): string {
    return errorCodeName(this.code);
  }

  /**
   * Whether the same may succeed later, without a change to the program, its options or the user's rights: lost
   * connections, timeouts, limits of the moment. By the code alone: false for codes that this library doesn't define.
   * The failed operation may have been carried out, unless `details.started` is false.
   */
  get isTemporary(): boolean {
    return temporary.has(this.code);
  }
}

/**
 * An error that is sent to the peer. If a handler throws or returns one, the caller receives its code, message and
 * details; on the calling side, the failed call rejects with it. Any other error thrown by a handler reaches the caller
 * as `INTERNAL` with a generic message.
 *
 * Numbers of your own are below 1000 or from 9000 up. A number of {@link ErrorCode} means to the caller what it does
 * there, and `isTemporary` goes by it.
 */
export class RpcError extends ConduitError {
  static {
    // biome-ignore lint/complexity/noThisInStatic: for its own name, esbuild renames the class to _RpcError
    inherit(this.prototype, { name: "RpcError", method: undefined });
  }

  /** On the calling side: the method or message type that was called. */
  declare readonly method: string | undefined;

  /** @throws ConduitError INVALID_CONFIG for an unknown option, or a code that is no integer */
  constructor(code: number, message: string, options: ConduitErrorOptions = {}) {
    super(code, message, options);
    if (!Number.isSafeInteger(code)) throw noCode(code, message);
    if (options.method !== undefined) this.method = options.method;
  }

  /** Id of a failure inside the other side's handler. That side's `onError` got the error with the same id. */
  get failureId(): string | undefined {
    const id = this.details?.["failure_id"];
    return typeof id === "string" ? id : undefined;
  }
}

function noCode(code: unknown, message: unknown): ConduitError {
  const given = `got ${describeValue(code)}${message === undefined ? "" : ` and the message ${describeValue(message)}`}`;
  const text = `The code of an RpcError must be an integer: new RpcError(900, "…") or error("…", { code: 900 }), ${given}`;
  return new ConduitError(ErrorCode.INVALID_CONFIG, text);
}

/** A call that isn't of a method or message of the program's own: `publish to "room:7"`. For messages. */
export class Operation {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toString(): string {
    return this.text;
  }
}

/** A method or message type, or an operation. */
export type Called = string | Operation;

/** As the subject of a message. */
export function quoted(called: Called): string {
  return called instanceof Operation ? called.text : `'${called}'`;
}

/** The beginning of a message: `Cannot send 'add'`, `Cannot publish to "room:7"`. */
export function cannot(verb: string, called: Called): string {
  return called instanceof Operation ? `Cannot ${called.text}` : `Cannot ${verb} '${called}'`;
}

/**
 * The error of a call whose `AbortSignal` fired: TIMEOUT for a signal from `AbortSignal.timeout`, else CANCELLED. The
 * signal's reason is the cause.
 * @param unansweredBy the peer that hasn't answered, for a timeout's message
 */
export function cancelledError(called: Called, reason: unknown, unansweredBy = ""): ConduitError {
  // The latter is the reason of a handler's signal.
  const timedOut =
    isInstance(reason, Error) &&
    (textOf(() => reason.name) === "TimeoutError" || codeOf(reason as ConduitError) === ErrorCode.TIMEOUT);
  const code = timedOut ? ErrorCode.TIMEOUT : ErrorCode.CANCELLED;
  const where = timedOut && unansweredBy !== "" ? `: ${unansweredBy} has not replied` : "";
  const what = timedOut ? "timed out" : "was cancelled";
  return new ConduitError(code, `${quoted(called)} ${what}${where}`, { cause: reason });
}

// Programs throw any value, and return or reject with it: a revoked Proxy throws at `instanceof`, and an Error's message
// may be a Symbol or a getter that throws. The functions below never throw.

/** `value instanceof type`; false if that throws. */
export function isInstance<T>(value: unknown, type: abstract new (...args: never[]) => T): value is T {
  try {
    return value instanceof type;
  } catch {
    return false;
  }
}

/** Converts a thrown value to an Error. Its fields may still be hostile, see {@link messageOf}. */
export function asError(thrown: unknown): Error {
  if (isInstance(thrown, Error)) return thrown;
  const described = textOf(() => messageIn(thrown) ?? thrown);
  return new Error(described ?? "The thrown value can't be converted to text", { cause: thrown });
}

/** The message of an object that is no Error, as programs throw `{ code, message }`. */
function messageIn(thrown: unknown): string | null {
  const { message } = (typeof thrown === "object" ? (thrown ?? {}) : {}) as { readonly message?: unknown };
  return typeof message === "string" && message !== "" ? message : null;
}

/** The message of a thrown value. */
export function messageOf(thrown: unknown): string {
  const error = asError(thrown);
  return textOf(() => error.message) ?? "The error's message can't be converted to text";
}

/** The code of an error of this library; INTERNAL if it isn't a number. */
export function codeOf(error: ConduitError): number {
  try {
    const code: unknown = error.code;
    return typeof code === "number" ? code : ErrorCode.INTERNAL;
  } catch {
    return ErrorCode.INTERNAL;
  }
}

/** The `failureId` of an error; undefined if reading it throws. */
export function failureIdOf(error: RpcError): string | undefined {
  try {
    return error.failureId;
  } catch {
    return undefined;
  }
}

/** The thrown value as an error of this library; INTERNAL if it is none, with the value as its cause. */
export function asConduitError(thrown: unknown): ConduitError {
  if (isInstance(thrown, ConduitError)) return thrown;
  return new ConduitError(ErrorCode.INTERNAL, messageOf(thrown), { cause: thrown });
}

/** A copy of a thrown value that is safe to print: only its name, message and stack, as text. */
export function printableError(thrown: unknown): Error {
  const error = asError(thrown);
  const printable = new Error(messageOf(error));
  printable.name = textOf(() => error.name) ?? "Error";
  const stack = textOf(() => error.stack);
  if (stack !== null && stack !== "undefined") printable.stack = stack;
  return printable;
}

/** The result of `read` as text; null if it throws. */
function textOf(read: () => unknown): string | null {
  try {
    return String(read());
  } catch {
    return null;
  }
}

/**
 * Gives an error of this library the stack of the async function that calls this, which names the functions that await
 * it. The stack it was created with leads to a socket's event.
 */
export function withCallerStack(error: unknown): unknown {
  try {
    if (error instanceof ConduitError) Error.captureStackTrace(error, withCallerStack);
  } catch {
    // A program's own error, whose fields throw, keeps its stack.
  }
  return error;
}

/** Runs what an application awaits: an error names in its stack the functions that do. */
export async function forCaller<T>(run: () => T | Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw withCallerStack(error);
  }
}
