import type { RpcError } from "../errors.ts";
import type { Contract, MethodName, Params, ParamsOutput, ResultInput, Side, Unlisted } from "../rpc/contract.ts";
import type { HandlerContext } from "../rpc/incoming-request.ts";
import type { InferInput, InferOutput, Schema } from "../rpc/schema.ts";

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
