import type { RpcError } from "../errors.ts";
import type {
  Contract,
  HandlerInput,
  HandlerProgress,
  MethodName,
  Params,
  ParamsOutput,
  ResultInput,
  Side,
  StreamHandlerInput,
  StreamHandlerProgress,
  StreamItemInput,
  StreamName,
  StreamParamsOutput,
  Unlisted,
} from "../rpc/contract.ts";
import type { HandlerContext } from "../rpc/incoming-request.ts";
import type { StreamSource } from "../rpc/request-streams.ts";
import type { InferInput, InferOutput, Schema } from "../rpc/schema.ts";
import type { Awaitable } from "../util/awaitable.ts";

/** Removes a handler, method or hook. Calling it again has no effect. */
export type Disposer = () => void;

/** Handles messages of clients, on a server. Middleware adds `Fields` to the context. */
export type ClientMessageHandler<D, Peer, Fields = unknown> = (
  client: Peer,
  data: D,
  context: HandlerContext<Peer> & Fields,
) => Awaitable<unknown>;
/** Handles messages of the server, on a client, which has no other peer. */
export type ServerMessageHandler<D, Peer, Fields = unknown> = (
  data: D,
  context: HandlerContext<Peer> & Fields,
) => Awaitable<unknown>;

/** Definition of an RPC method, for `rpc`. */
export interface MethodDefinition<
  P extends Schema | undefined = Schema | undefined,
  R extends Schema | undefined = Schema | undefined,
  N extends string = string,
  I extends InputSchema = InputSchema,
  G extends Schema | undefined = Schema | undefined,
> {
  readonly name: N;
  /** Shown by discovery. Default `""`. */
  readonly description?: string | undefined;
  /** Validates the parameters. Default: any object. */
  readonly params?: P | undefined;
  /** Validates the return value before it is sent. Default: any serializable value. */
  readonly result?: R | undefined;
  /** On a server: users with one of these roles may call it, if the contract's roles let them. Default: all. */
  readonly roles?: readonly string[] | undefined;
  /** Shown by discovery. Default true. Changes nothing else: no method can be called before login. */
  readonly requiresAuth?: boolean | undefined;
  /** Callers may send items (option `input`): the schema that validates them, or `true`. Default: they may not. */
  readonly input?: I | undefined;
  /** Validates what the handler passes to `context.progress`. Must not be asynchronous. Default: any value. */
  readonly progress?: G | undefined;
}

/** Whether callers may send items, and their schema. */
export type InputSchema = Schema | true | undefined;

/** Definition of a stream, for `stream`. */
export interface StreamDefinition<
  P extends Schema | undefined = Schema | undefined,
  O extends Schema | undefined = Schema | undefined,
  N extends string = string,
  I extends InputSchema = InputSchema,
  G extends Schema | undefined = Schema | undefined,
> {
  readonly name: N;
  /** Shown by discovery. Default `""`. */
  readonly description?: string | undefined;
  /** Validates the parameters. Default: any object. */
  readonly params?: P | undefined;
  /** Validates each item before it is sent. Default: any serializable value. */
  readonly output?: O | undefined;
  /** Callers may send items (option `input`): the schema that validates them, or `true`. Default: they may not. */
  readonly input?: I | undefined;
  /** Validates what the handler passes to `context.progress`. Must not be asynchronous. Default: any value. */
  readonly progress?: G | undefined;
  /** On a server: users with one of these roles may call it, if the contract's roles let them. Default: all. */
  readonly roles?: readonly string[] | undefined;
  /** Shown by discovery. Default true. */
  readonly requiresAuth?: boolean | undefined;
}

/** Options of a message handler, for `on` of a server. */
export interface MessageOptions {
  /** Users with one of these roles may send it, if the contract's roles let them. Default: all. */
  readonly roles?: readonly string[] | undefined;
}

type RpcHandler<P, R, Peer, I, F, G> = (params: P, context: HandlerContext<Peer, I, G> & F) => Awaitable<R | RpcError>;
type ItemsHandler<P, O, Peer, I, F, G> = (
  params: P,
  context: HandlerContext<Peer, I, G> & F,
) => Awaitable<StreamSource<O> | RpcError>;
/** Items that a handler gets: of the schema in its definition, else of the contract. */
type Input<I extends InputSchema, Agreed> = I extends Schema ? InferOutput<I> : Agreed;
/**
 * The handler of a method with the schemas `P` and `R`, or the contract's by default. Conditional, because the
 * compiler then substitutes the inferred types before it checks the function. With type parameters in a function
 * type, it would widen a returned `"fine"` to string and `[1, 2]` to an array. `F` are fields that middleware adds to
 * the context.
 */
export type MethodHandler<
  C extends Contract,
  S extends Side,
  M extends string | Unlisted,
  P extends Schema | undefined,
  R extends Schema | undefined,
  Peer,
  I extends InputSchema = undefined,
  F = unknown,
  G extends Schema | undefined = undefined,
> = Unlisted extends M
  ? RpcHandler<Params, unknown, Peer, unknown, F, unknown>
  : RpcHandler<
      P extends Schema ? InferOutput<P> : ParamsOutput<C, S, M>,
      R extends Schema ? InferInput<R> : ResultInput<C, S, M>,
      Peer,
      Input<I, HandlerInput<C, S, M>>,
      F,
      G extends Schema ? InferInput<G> : HandlerProgress<C, S, M>
    >;
/** The handler of a stream, as {@link MethodHandler}. */
export type StreamHandler<
  C extends Contract,
  S extends Side,
  M extends string | Unlisted,
  P extends Schema | undefined,
  O extends Schema | undefined,
  Peer,
  I extends InputSchema = undefined,
  F = unknown,
  G extends Schema | undefined = undefined,
> = Unlisted extends M
  ? ItemsHandler<Params, unknown, Peer, unknown, F, unknown>
  : ItemsHandler<
      P extends Schema ? InferOutput<P> : StreamParamsOutput<C, S, M>,
      O extends Schema ? InferInput<O> : StreamItemInput<C, S, M>,
      Peer,
      Input<I, StreamHandlerInput<C, S, M>>,
      F,
      G extends Schema ? InferInput<G> : StreamHandlerProgress<C, S, M>
    >;

/** Streams that a contract lists. Without a contract, every name is a method. */
type ListedStream<C extends Contract, S extends Side> = string extends StreamName<C, S> ? never : StreamName<C, S>;

/** A handler for each method and each stream that a contract lists for a side. `F` as in {@link MethodHandler}. */
export type MethodHandlers<C extends Contract, S extends Side, Peer, F = unknown> = {
  readonly [M in MethodName<C, S> | ListedStream<C, S>]: M extends ListedStream<C, S>
    ? StreamHandler<C, S, M, undefined, undefined, Peer, undefined, F>
    : MethodHandler<C, S, M, undefined, undefined, Peer, undefined, F>;
};
