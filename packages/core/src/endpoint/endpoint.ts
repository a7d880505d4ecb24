import { ConduitError, ErrorCode, type RpcError } from "../errors.ts";
import type {
  Contract,
  MethodName,
  NameBound,
  Params,
  ParamsOutput,
  ParamsSchema,
  ResultInput,
  ResultSchema,
  Side,
  SideContract,
  Unlisted,
} from "../rpc/contract.ts";
import type { HandlerContext } from "../rpc/incoming-request.ts";
import type { MessageEntry, MessageHandler } from "../rpc/registry.ts";
import { type InferInput, type InferOutput, isSchema, SCHEMA_RULE, type Schema } from "../rpc/schema.ts";
import { describeParams, describeResult } from "../rpc/type-names.ts";
import { Validator } from "../rpc/validation.ts";
import { agreedOn } from "./contract-option.ts";
import type { EndpointCore, ErrorContext } from "./endpoint-core.ts";

/** A value, or a promise of it. */
export type Awaitable<T> = T | PromiseLike<T>;
/** Removes what was added. Calling it again changes nothing. */
export type Disposer = () => void;

/** Describes an RPC method; the long form of `rpc`. */
export interface MethodDefinition<
  P extends Schema | undefined = Schema | undefined,
  R extends Schema | undefined = Schema | undefined,
  N extends string = string,
> {
  readonly name: N;
  /** What discovery tells of it. Default `""`. */
  readonly description?: string;
  /** Validates the parameters. Default: any map. */
  readonly params?: P;
  /** Validates what the handler returns, before it is sent. Default: anything MessagePack can carry. */
  readonly result?: R;
  /** As discovery reports it. Default true; before login no method can be called in any case. */
  readonly requiresAuth?: boolean;
}

type RpcHandler<P, R, Peer> = (params: P, context: HandlerContext<Peer>) => Awaitable<R | RpcError>;
/**
 * The handler of a method with schemas `P` and `R`, else those of the contract. Conditional, because of such a type the
 * compiler puts in what it has inferred before it looks at a function; of a function type with type parameters in it, it
 * would take a returned `"fine"` for any string and `[1, 2]` for no tuple.
 */
type HandlerOf<
  C extends Contract,
  S extends Side,
  M extends string | Unlisted,
  P extends Schema | undefined,
  R extends Schema | undefined,
  Peer,
> = Unlisted extends M
  ? RpcHandler<Params, unknown, Peer>
  : RpcHandler<
      P extends Schema ? InferOutput<P> : ParamsOutput<C, S, M>,
      R extends Schema ? InferInput<R> : ResultInput<C, S, M>,
      Peer
    >;

/** A handler for each method that a contract lists for a side. */
export type MethodHandlers<C extends Contract, S extends Side, Peer> = {
  readonly [M in MethodName<C, S>]: HandlerOf<C, S, M, undefined, undefined, Peer>;
};

/** What `Server` and `Client` have in common: methods, hooks, and the machinery below their connections. */
export abstract class Endpoint<C extends Contract, S extends Side, Peer> {
  /** @internal The machinery below; left out of the published declarations. */
  protected readonly core: EndpointCore<Peer>;
  /** This side's part of the contract, if its value was given. */
  readonly #agreed: SideContract | undefined;

  /** @internal */
  protected constructor(core: EndpointCore<Peer>, agreed: SideContract | undefined) {
    this.core = core;
    this.#agreed = agreed;
  }

  /**
   * Registers an RPC method.
   *
   * The handler gets the validated parameters and a context (caller, method, `AbortSignal`, deadline). What it
   * returns, or resolves with, is the result; an `RpcError`, thrown or returned, reaches the caller with its code,
   * message and details; any other error reaches it as INTERNAL and goes to `onError` here.
   *
   * Parameters and result are checked by the schemas given here, else by those of option `contract`.
   *
   * @returns a function that removes the method.
   * @throws ConduitError INVALID_STATE when the name is taken; INVALID_CONFIG for a schema that is none.
   */
  rpc<
    M extends NameBound<MethodName<C, S>>,
    P extends ParamsSchema<C, S, M> | undefined = undefined,
    R extends ResultSchema<C, S, M> | undefined = undefined,
  >(method: (M & string) | MethodDefinition<P, R, M & string>, handler: HandlerOf<C, S, M, P, R, Peer>): Disposer;
  rpc<M extends NameBound<MethodName<C, S>>, P extends ParamsSchema<C, S, M>>(
    name: M & string,
    params: P,
    handler: HandlerOf<C, S, M, P, undefined, Peer>,
  ): Disposer;
  rpc(
    what: string | MethodDefinition,
    schemaOrHandler: Schema | ((params: never, context: HandlerContext<Peer>) => unknown),
    maybeHandler?: (params: never, context: HandlerContext<Peer>) => unknown,
  ): Disposer {
    const definition: MethodDefinition = typeof what === "string" ? { name: what } : what;
    const { schema, handler } = splitHandler(definition.name, schemaOrHandler, maybeHandler);
    const agreed = agreedOn(this.#agreed?.methods, definition.name);
    const params =
      schema ?? checkedSchema(definition.params === undefined ? agreed?.params : definition.params, definition.name);
    const result = checkedSchema(definition.result === undefined ? agreed?.result : definition.result, definition.name);
    return this.core.registry.addMethod({
      info: {
        name: definition.name,
        description: definition.description ?? "",
        parameters: describeParams(params),
        return_type: describeResult(result),
        requires_auth: definition.requiresAuth ?? true,
      },
      params: params === null ? null : new Validator(params, "params"),
      result: result === null ? null : new Validator(result, "result"),
      handler,
    });
  }

  /**
   * Registers a handler for every method that the contract lists for this side, by name. It does not compile if one is
   * missing. Register methods one at a time with `rpc` where not all handlers are at hand; option `complete` then checks
   * at the start that none is missing.
   *
   * @returns a function that removes these methods.
   * @throws ConduitError INVALID_STATE when a name is taken or, for a contract given as a value, a handler is missing.
   * Nothing is registered then.
   */
  implement(handlers: MethodHandlers<C, S, Peer>): Disposer {
    this.#mustHaveAll("implement the contract", (name) => Object.hasOwn(handlers, name));
    const disposers: Disposer[] = [];
    const dispose = (): void => {
      for (const one of disposers) one();
    };
    try {
      for (const [name, handler] of Object.entries(handlers)) disposers.push(this.rpc(name as never, handler as never));
    } catch (error) {
      dispose();
      throw error;
    }
    return dispose;
  }

  /** @throws ConduitError INVALID_STATE if a method that the contract lists for this side has no handler */
  protected mustBeComplete(action: string): void {
    this.#mustHaveAll(action, (name) => this.core.registry.method(name) !== undefined);
  }

  #mustHaveAll(action: string, has: (name: string) => boolean): void {
    const missing = Object.keys(this.#agreed?.methods ?? {}).filter((name) => !has(name));
    if (missing.length === 0) return;
    const message = `Cannot ${action}: no handler for ${missing.map((name) => `'${name}'`).join(", ")}`;
    throw new ConduitError(ErrorCode.INVALID_STATE, message, { details: { missing } });
  }

  /** Hears of everything that went wrong and was not thrown to a caller. @returns a function that removes the hook. */
  onError(hook: (error: Error, context: ErrorContext<Peer>) => unknown): Disposer {
    return this.core.errorHooks.add(hook);
  }

  /** Hears of messages whose type no handler is registered for. @returns a function that removes the hook. */
  onUnknown(hook: (client: Peer, type: string, data: unknown) => unknown): Disposer {
    return this.core.unknownHooks.add(hook);
  }

  /** @internal */
  protected addHandler(
    type: string | readonly string[],
    schema: Schema | null,
    { takesPeer, handler }: MessageHandler<Peer>,
  ): Disposer {
    const types = typeof type === "string" ? [type] : type;
    const disposers = types.map((one) => {
      const check = schema ?? checkedSchema(agreedOn(this.#agreed?.messages, one), one);
      const data = check === null ? null : new Validator(check, "data");
      // Behind a spread, properties would stand in memory of their own.
      return this.core.registry.addHandler({ handler, takesPeer, data, type: one } as MessageEntry<Peer>);
    });
    return () => {
      for (const dispose of disposers) dispose();
    };
  }
}

/** Splits `(handler)` and `(schema, handler)`. @throws ConduitError INVALID_CONFIG. */
export function splitHandler<H extends (...args: never[]) => unknown>(
  name: string,
  schemaOrHandler: Schema | H,
  maybeHandler: H | undefined,
): { schema: Schema | null; handler: H } {
  const handler = maybeHandler ?? schemaOrHandler;
  if (typeof handler !== "function") {
    throw new ConduitError(ErrorCode.INVALID_CONFIG, `The handler of '${name}' must be a function`);
  }
  const schema = maybeHandler === undefined ? null : checkedSchema(schemaOrHandler as Schema, name);
  return { schema, handler: handler as H };
}

function checkedSchema(schema: Schema | undefined, name: string): Schema | null {
  if (schema === undefined) return null;
  if (isSchema(schema)) return schema;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, `The schema of '${name}' ${SCHEMA_RULE}`);
}
