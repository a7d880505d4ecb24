import type { RpcError } from "../errors.ts";
import type { Contract, MethodName, Params, ParamsOutput, ResultInput, Side, Unlisted } from "../rpc/contract.ts";
import type { HandlerContext } from "../rpc/incoming-request.ts";
import type { InferInput, InferOutput, Schema } from "../rpc/schema.ts";

/** A value or a promise of one. */
export type Awaitable<T> = T | PromiseLike<T>;
/** Removes a handler, method or hook. Calling it again has no effect. */
export type Disposer = () => void;

/** Definition of an RPC method, for `rpc`. */
export interface MethodDefinition<
  P extends Schema | undefined = Schema | undefined,
  R extends Schema | undefined = Schema | undefined,
  N extends string = string,
> {
  readonly name: N;
  /** Shown by discovery. Default `""`. */
  readonly description?: string;
  /** Validates the parameters. Default: any object. */
  readonly params?: P;
  /** Validates the return value before it is sent. Default: any serializable value. */
  readonly result?: R;
  /** Shown by discovery. Default true. Changes nothing else: no method can be called before login. */
  readonly requiresAuth?: boolean;
}

type RpcHandler<P, R, Peer> = (params: P, context: HandlerContext<Peer>) => Awaitable<R | RpcError>;
/**
 * The handler of a method with the schemas `P` and `R`, or else those of the contract. Conditional, because the
 * compiler then substitutes the inferred types before it checks the function. With type parameters in a function type,
 * it would widen a returned `"fine"` to string and `[1, 2]` to an array.
 */
export type MethodHandler<
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
  readonly [M in MethodName<C, S>]: MethodHandler<C, S, M, undefined, undefined, Peer>;
};
