/** Middleware around handlers, composed as in koa. */

import { ConduitError, ErrorCode } from "../errors.ts";
import { describeValue } from "../text/describe-value.ts";
import { checkFunction } from "../util/check-function.ts";
import { isThenable } from "../util/is-thenable.ts";
import type { HandlerContext } from "./incoming-request.ts";

/** The context of middleware around a hook. */
export interface HookContext<Peer> {
  readonly kind: "hook";
  readonly client: Peer;
  /** The hook's name, such as `onClientConnect`. */
  readonly method: string;
}

/** The context of middleware around a call, a stream or a message. */
export interface RequestContext<Peer> extends HandlerContext<Peer> {
  readonly kind: "call" | "stream" | "message";
  /** The parameters or data as they arrived. They are validated after the middleware, before the handler. */
  readonly value: unknown;
}

/** The context of a middleware. `kind` tells which it is. */
export type MiddlewareContext<Peer> = RequestContext<Peer> | HookContext<Peer>;

/** Not exported, so that only `next` can make a `Passed`. */
declare const ADDED: unique symbol;

/** The result of what comes after a middleware. Its type only says which fields the middleware adds to the context. */
export interface Passed<Fields> {
  readonly [ADDED]: Fields;
}

/**
 * Runs what comes after this middleware: the next one, at last the handler. Resolves with its result, rejects with its
 * error. A middleware may call it once.
 * @param fields are added to the context of what comes after
 * @throws ConduitError INVALID_STATE (called twice), INVALID_CONFIG (the context has a field of this name)
 */
export type Next = <Fields extends object = object>(fields?: Fields) => Promise<Passed<Fields>>;

/**
 * Runs around handlers. Its return value is the result, its error the error. If it doesn't call `next`, the handler
 * doesn't run.
 */
export type Middleware<Peer, Fields = unknown, Result = unknown> = (
  context: MiddlewareContext<Peer> & Fields,
  next: Next,
) => Result;

type PassedFields<Result> = Result extends Passed<infer Fields> ? Fields : never;
/** The fields that a middleware with this result adds to the context: those that it gives to `next`. */
export type AddedFields<Result> = [PassedFields<Awaited<Result>>] extends [never]
  ? unknown
  : PassedFields<Awaited<Result>>;

/** Any middleware of a list; types are checked where it is added. */
export type AnyMiddleware<Peer> = Middleware<Peer, never>;

/** A context, and the names of the fields that middlewares have added to it, which may be replaced. */
type GrowingContext<Peer> = MiddlewareContext<Peer> & { addedNames: ReadonlySet<string> | null };

/**
 * Runs the middlewares around a handler, in their order. Returns what the first one returns. No async functions, which
 * would cost another half microsecond per call.
 * @param isWanted whether somebody waits for the result: a middleware must not lose it by returning nothing
 */
export function runThrough<Peer>(
  middlewares: readonly AnyMiddleware<Peer>[],
  context: GrowingContext<Peer>,
  handler: () => unknown,
  isWanted: boolean,
): unknown {
  if (!isWanted) return runFrom(middlewares, 0, context, handler);
  let returned: unknown;
  const result = runFrom(middlewares, 0, context, () => {
    returned = handler();
    return returned;
  });
  if (result === undefined) return returned === undefined ? undefined : mustBeNothing(returned, context.method);
  if (!isThenable(result)) return result;
  return result.then((value) => (value === undefined ? mustBeNothing(returned, context.method) : value));
}

/** @throws ConduitError INVALID_STATE if the handler has a result, which the middlewares didn't return */
async function mustBeNothing(returned: unknown, method: string): Promise<undefined> {
  let value: unknown;
  try {
    value = await returned;
  } catch {
    // The middlewares had this error, too, and made nothing of it.
    return;
  }
  if (value === undefined) return;
  const message = `A middleware of '${method}' dropped the result: it should "return await next()", or else null`;
  throw new ConduitError(ErrorCode.INVALID_STATE, message);
}

function runFrom<Peer>(
  middlewares: readonly AnyMiddleware<Peer>[],
  index: number,
  context: GrowingContext<Peer>,
  handler: () => unknown,
): unknown {
  const middleware = middlewares[index];
  if (middleware === undefined) return handler();
  let isCalled = false;
  let result: unknown;
  let passed: Promise<unknown> | null = null;
  const next = (fields?: object): Promise<unknown> => {
    try {
      if (isCalled) {
        throw new ConduitError(ErrorCode.INVALID_STATE, `A middleware of '${context.method}' called next() twice`);
      }
      isCalled = true;
      if (fields !== undefined) addFields(context, fields);
      result = runFrom(middlewares, index + 1, context, handler);
      passed = Promise.resolve(result);
      return passed;
    } catch (error) {
      return Promise.reject(error);
    }
  };
  const returned = middleware(context as never, next as Next);
  // A middleware that hands on what it got waits for nothing: then the result of a synchronous handler leaves at once.
  return returned === passed && !isThenable(result) ? result : returned;
}

function addFields(context: GrowingContext<unknown>, fields: object): void {
  if (typeof fields !== "object" || fields === null || Array.isArray(fields)) {
    const message = `A middleware of '${context.method}' gave next() ${describeValue(fields)}: it takes an object of fields`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  const added = new Set(context.addedNames);
  for (const name of Object.keys(fields)) {
    if (!added.has(name) && name in context) {
      const message = `A middleware of '${context.method}' can't add '${name}': the context has a field of this name`;
      throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
    }
    added.add(name);
  }
  Object.assign(context, fields);
  context.addedNames = added;
}

/** The middlewares of a server, a client or a group. */
export class MiddlewareList<Peer> {
  #list: readonly AnyMiddleware<Peer>[] | null;

  constructor(list: readonly AnyMiddleware<Peer>[] | null = null) {
    this.#list = list;
  }

  /** The middlewares around handlers that are registered now; null for none. */
  get current(): readonly AnyMiddleware<Peer>[] | null {
    return this.#list;
  }

  /** @throws ConduitError INVALID_CONFIG */
  add(middleware: AnyMiddleware<Peer>): void {
    if (typeof middleware !== "function") {
      const message = "use() takes a function: use(async (context, next) => await next())";
      throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
    }
    this.#list = [...(this.#list ?? []), middleware];
  }

  /** The hook with these middlewares around it. */
  around<Args extends readonly [Peer, ...unknown[]]>(
    name: string,
    hook: (...args: Args) => unknown,
  ): (...args: Args) => unknown {
    checkFunction("A hook", hook);
    const list = this.#list;
    if (list === null) return hook;
    return (...args) => {
      const context: GrowingContext<Peer> = { kind: "hook", client: args[0], method: name, addedNames: null };
      return runThrough(list, context, () => hook(...args), false);
    };
  }
}
