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

/** The context of a middleware, distinguished by `kind`. */
export type MiddlewareContext<Peer> = RequestContext<Peer> | HookContext<Peer>;

/** Not exported, so that only `next` can create a `Passed`. */
declare const ADDED: unique symbol;

/** The result of `next`. Its type only records the fields that the middleware adds to the context. */
export interface Passed<Fields> {
  readonly [ADDED]: Fields;
}

/**
 * Runs the rest of the chain: the next middleware, or the handler. Resolves with its result, rejects with its error.
 * May be called once.
 * @param fields added to the context of the rest of the chain
 * @throws ConduitError INVALID_STATE (called twice), INVALID_CONFIG (the context has a field of this name)
 */
export type Next = <Fields extends object = object>(fields?: Fields) => Promise<Passed<Fields>>;

/**
 * Runs around handlers. Its return value becomes the result, and its error the error. If it doesn't call `next`, the
 * handler doesn't run.
 */
export type Middleware<Peer, Fields = unknown, Result = unknown> = (
  context: MiddlewareContext<Peer> & Fields,
  next: Next,
) => Result;

type PassedFields<Result> = Result extends Passed<infer Fields> ? Fields : never;
/** The fields that a middleware with this result adds to the context by passing them to `next`. */
export type AddedFields<Result> = [PassedFields<Awaited<Result>>] extends [never]
  ? unknown
  : PassedFields<Awaited<Result>>;

/** Any middleware in a list; types are checked where it is added. */
export type AnyMiddleware<Peer> = Middleware<Peer, never>;

/** A context with the names of the fields added by middlewares, which may be replaced. */
type GrowingContext<Peer> = MiddlewareContext<Peer> & { addedNames: ReadonlySet<string> | null };

/**
 * Runs a handler's middlewares, in order, around one call of it. Without async functions, which would cost another
 * half microsecond per call.
 */
export class MiddlewareRun<Peer> {
  readonly #middlewares: readonly AnyMiddleware<Peer>[];
  readonly #context: GrowingContext<Peer>;
  readonly #handler: () => unknown;
  /** Number of middlewares that have called `next`; each is called by the previous one. */
  #begun = 0;
  /** The handler's return value. */
  #returned: unknown;
  /** The result of the last `next`, and the promise of it that was returned. */
  #result: unknown;
  #passed: Promise<unknown> | null = null;

  constructor(middlewares: readonly AnyMiddleware<Peer>[], context: GrowingContext<Peer>, handler: () => unknown) {
    this.#middlewares = middlewares;
    this.#context = context;
    this.#handler = handler;
  }

  /** Runs the chain. Returns the return value of the first middleware. */
  start(): unknown {
    return this.#runFrom(0);
  }

  /**
   * Checks a result that a caller waits for, which a middleware must not lose by returning nothing.
   * @param value the awaited return value of the first middleware
   * @returns `value`, or a promise that rejects with INVALID_STATE if the handler's result was lost
   */
  checked(value: unknown): unknown {
    if (value !== undefined || this.#returned === undefined) return value;
    return mustBeNothing(this.#returned, this.#context.method);
  }

  #runFrom(index: number): unknown {
    const middleware = this.#middlewares[index];
    if (middleware === undefined) {
      this.#returned = this.#handler();
      return this.#returned;
    }
    const next = (fields?: object): Promise<unknown> => this.#next(index, fields);
    const returned = middleware(this.#context as never, next as Next);
    // If a middleware returns the promise of `next` itself, a synchronous result can be sent immediately.
    const handsOn = this.#passed !== null && returned === this.#passed;
    return handsOn && !isThenable(this.#result) ? this.#result : returned;
  }

  /** `next` of the middleware at `index`. */
  #next(index: number, fields: object | undefined): Promise<unknown> {
    try {
      const { method } = this.#context;
      if (index < this.#begun) {
        throw new ConduitError(ErrorCode.INVALID_STATE, `A middleware of '${method}' called next() twice`);
      }
      this.#begun = index + 1;
      if (fields !== undefined) addFields(this.#context, fields);
      const result = this.#runFrom(index + 1);
      this.#result = result;
      this.#passed = Promise.resolve(result);
      return this.#passed;
    } catch (error) {
      return Promise.reject(error);
    }
  }
}

/** @throws ConduitError INVALID_STATE if the handler has a result, which the middlewares didn't return */
async function mustBeNothing(returned: unknown, method: string): Promise<undefined> {
  let value: unknown;
  try {
    value = await returned;
  } catch {
    // The middlewares also got this error, and handled it.
    return;
  }
  if (value !== undefined) throw droppedResult(method);
}

/** The error of a middleware that returned nothing although there is a result. */
export function droppedResult(method: string): ConduitError {
  const message = `A middleware of '${method}' dropped the result: it should "return await next()", or else null`;
  return new ConduitError(ErrorCode.INVALID_STATE, message);
}

/** @throws ConduitError INVALID_CONFIG unless the argument of `use` is a function */
export function checkMiddleware(middleware: unknown): void {
  if (typeof middleware === "function") return;
  const message = "use() takes a function: use(async (context, next) => await next())";
  throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
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

  /** The middlewares for handlers registered at this time; null for none. */
  get current(): readonly AnyMiddleware<Peer>[] | null {
    return this.#list;
  }

  /** @throws ConduitError INVALID_CONFIG */
  add(middleware: AnyMiddleware<Peer>): void {
    checkMiddleware(middleware);
    this.#list = [...(this.#list ?? []), middleware];
  }

  /** Wraps a hook with these middlewares. */
  around<Args extends readonly [Peer, ...unknown[]]>(
    name: string,
    hook: (...args: Args) => unknown,
  ): (...args: Args) => unknown {
    checkFunction("A hook", hook);
    const list = this.#list;
    if (list === null) return hook;
    return (...args) => {
      const context: GrowingContext<Peer> = { kind: "hook", client: args[0], method: name, addedNames: null };
      return new MiddlewareRun(list, context, () => hook(...args)).start();
    };
  }
}
