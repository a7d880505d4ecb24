import type {
  CallInput,
  CallProgress,
  Contract,
  MethodName,
  ParamsAndOptions,
  ParamsInput,
  ResultOutput,
  Side,
} from "../rpc/contract.ts";
import type { InferOutput, Schema } from "../rpc/schema.ts";
import type { CallOptions, CallStreamOptions, TypedCallOptions } from "./call-options.ts";

/**
 * The methods of a side as functions, nested by the dots of their names: `api.users.list(params, options)` calls
 * `users.list`. Names that JavaScript itself looks up (`then`, `toJSON`, `toString`, `valueOf`) aren't available; use
 * `call` for such methods.
 */
export type Api<C extends Contract, S extends Side> =
  IsAny<C> extends true ? AnyApi : string extends MethodName<C, S> ? OpenApi : ApiBelow<C, S, "">;

type IsAny<T> = 0 extends 1 & T ? true : false;
/** The methods of a peer with any contract, as in `AnyClient`. */
// biome-ignore lint/suspicious/noExplicitAny: no other type is compatible with the API of every contract
type AnyApi = any;

/** The methods of a peer without a contract: any name, any parameters. */
export interface OpenApi {
  readonly [name: string]: OpenApiMethod;
}

/** A method of a peer without a contract, and the methods whose names start with its name and a dot. */
export interface OpenApiMethod extends OpenApi {
  /** `T` states the type of the result, which isn't validated; a schema `result` validates and types it. */
  <T = unknown, R extends Schema = never>(
    params?: unknown,
    options?: (CallOptions | TypedCallOptions<R>) & CallStreamOptions<unknown>,
  ): Promise<[R] extends [never] ? NoInfer<T> : InferOutput<R>>;
}

/** A method of the contract. Options are those of `call`. */
export type ApiMethod<P, Result, Input = never, Progress = unknown> = <R extends Schema = never>(
  ...paramsAndOptions: ParamsAndOptions<P, (CallOptions | TypedCallOptions<R>) & CallStreamOptions<Input, Progress>>
) => Promise<[R] extends [never] ? Result : InferOutput<R>>;

/** First segments of the names that start with `Prefix`, which is empty or ends with a dot. */
type NameSegment<Names extends string, Prefix extends string> = Names extends `${Prefix}${infer Rest}`
  ? Rest extends `${infer First}.${string}`
    ? First
    : Rest
  : never;

/** Conditional, so that the compiler shows the names instead of an alias with the whole contract. */
type ApiBelow<C extends Contract, S extends Side, Prefix extends string> =
  Exclude<NameSegment<MethodName<C, S>, Prefix>, Reserved> extends infer Names extends string
    ? { readonly [K in Names]: ApiAt<C, S, `${Prefix}${K}`> }
    : never;

/** A name may be a method, a prefix of other names, or both. */
type ApiAt<C extends Contract, S extends Side, Name extends string> = [
  NameSegment<MethodName<C, S>, `${Name}.`>,
] extends [never]
  ? ApiMethod<ParamsInput<C, S, Name>, ResultOutput<C, S, Name>, CallInput<C, S, Name>, CallProgress<C, S, Name>>
  : Name extends MethodName<C, S>
    ? ApiMethod<ParamsInput<C, S, Name>, ResultOutput<C, S, Name>, CallInput<C, S, Name>, CallProgress<C, S, Name>> &
        ApiBelow<C, S, `${Name}.`>
    : ApiBelow<C, S, `${Name}.`>;

type Reserved = "then" | "toJSON" | "toString" | "valueOf";
const RESERVED: ReadonlySet<string> = new Set<Reserved>(["then", "toJSON", "toString", "valueOf"]);

type Call = (method: string, params?: unknown, options?: CallOptions) => Promise<unknown>;

/** Creates functions for the methods that `call` can call. */
export function apiOf<C extends Contract, S extends Side>(call: Call): Api<C, S> {
  return below(call, {}, "") as Api<C, S>;
}

/** Wraps `target` so that every property is a function. */
function below(call: Call, target: object, prefix: string): object {
  return new Proxy(target, {
    get(_target, key) {
      if (typeof key !== "string" || RESERVED.has(key)) return undefined;
      const name = prefix + key;
      return below(call, (params?: unknown, options?: CallOptions) => call(name, params, options), `${name}.`);
    },
    set: () => false,
  });
}
