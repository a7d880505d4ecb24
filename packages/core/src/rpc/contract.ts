/**
 * Types that describe what two peers say to each other. A contract is one value: methods and messages of both
 * directions with their schemas. `Server` and `Client` are generic over its type; the default describes nothing and
 * accepts everything. Given as option `contract`, the value's schemas also check what arrives.
 */

import type { InferInput, InferOutput, Schema } from "./schema.ts";

/** One RPC method: schemas of its parameters and its result. */
export interface MethodContract {
  /** Default: any map. */
  readonly params?: Schema;
  /** Checked where it is sent and where it arrives, so the schema must accept what it yields. Default: anything. */
  readonly result?: Schema;
}

/** One side's part: methods it answers, messages it handles. */
export interface SideContract {
  readonly methods?: Readonly<Record<string, MethodContract>>;
  readonly messages?: Readonly<Record<string, Schema>>;
}

/** Both directions: what the server answers, and what the client answers. */
export interface Contract {
  readonly server?: SideContract;
  readonly client?: SideContract;
}

/** Either end of a connection. */
export type Side = "server" | "client";

type MethodsOf<C extends Contract, S extends Side> = NonNullable<NonNullable<C[S]>["methods"]>;
type MessagesOf<C extends Contract, S extends Side> = NonNullable<NonNullable<C[S]>["messages"]>;
/** The names themselves: the compiler would show an intersection by its alias, with the whole contract. */
type NamesOf<T> = keyof T & string extends infer N extends string ? N : never;

/** Names of the methods that a contract lists for a side; `never` if it lists none, `string` for the open contract. */
export type MethodName<C extends Contract, S extends Side> = NamesOf<MethodsOf<C, S>>;
/** Types of the messages that a contract lists for a side; `never` if it lists none, `string` for the open contract. */
export type MessageType<C extends Contract, S extends Side> = NamesOf<MessagesOf<C, S>>;

declare const unlisted: unique symbol;
/** Stands for a name that the contract doesn't list. */
export type Unlisted = typeof unlisted;
/**
 * The bound of a type parameter `M` for names `N`; the argument itself is an `M & string`. Where the compiler infers no
 * listed name, because it is misspelt or still being typed, it takes the whole bound for `M`. The types below see that
 * by `Unlisted` and ask for no schema: errors then speak of the name alone, and completion doesn't wait for the schemas
 * of all names.
 */
export type NameBound<N extends string> = string extends N ? N : N | Unlisted;
type Name = string | Unlisted;

type MethodOf<C extends Contract, S extends Side, M extends Name> = M extends keyof MethodsOf<C, S>
  ? MethodsOf<C, S>[M]
  : MethodContract;
type MessageOf<C extends Contract, S extends Side, T extends Name> = T extends keyof MessagesOf<C, S>
  ? MessagesOf<C, S>[T]
  : Schema;

/** Parameters of any method that has no schema: a map with string keys. */
export type Params = Readonly<Record<string, unknown>>;

/** Parameters as a caller passes them. */
export type ParamsInput<C extends Contract, S extends Side, M extends Name> =
  MethodOf<C, S, M> extends { readonly params: infer P extends Schema } ? InferInput<P> : Params | undefined;
/** Parameters as a handler gets them. */
export type ParamsOutput<C extends Contract, S extends Side, M extends Name> =
  MethodOf<C, S, M> extends { readonly params: infer P extends Schema } ? InferOutput<P> : Params;
/** A result as a handler returns it. */
export type ResultInput<C extends Contract, S extends Side, M extends Name> =
  MethodOf<C, S, M> extends { readonly result: infer R extends Schema } ? InferInput<R> : unknown;
/** A result as a caller receives it. */
export type ResultOutput<C extends Contract, S extends Side, M extends Name> =
  MethodOf<C, S, M> extends { readonly result: infer R extends Schema } ? InferOutput<R> : unknown;
/** Data as a sender passes it. */
export type MessageInput<C extends Contract, S extends Side, T extends Name> = InferInput<MessageOf<C, S, T>>;
/** Data as a handler gets it. */
export type MessageOutput<C extends Contract, S extends Side, T extends Name> = Unlisted extends T
  ? unknown
  : InferOutput<MessageOf<C, S, T>>;

/** Schemas that may stand in for that of a method's parameters: they yield what its handlers get. */
export type ParamsSchema<C extends Contract, S extends Side, M extends Name> = Unlisted extends M
  ? Schema
  : Schema<unknown, ParamsOutput<C, S, M>>;
/** Schemas that may stand in for that of a method's result: they yield what its callers receive. */
export type ResultSchema<C extends Contract, S extends Side, M extends Name> = Unlisted extends M
  ? Schema
  : Schema<unknown, ResultOutput<C, S, M>>;
/** Schemas that may stand in for that of a message: they yield what its handlers get. */
export type MessageSchema<C extends Contract, S extends Side, T extends Name> = Unlisted extends T
  ? Schema
  : Schema<unknown, MessageOutput<C, S, T>>;

/** Arguments behind a method's name. Parameters may be left out only where the schema lets them. */
export type CallArguments<C extends Contract, S extends Side, M extends Name, Options> = Unlisted extends M
  ? [params?: unknown, options?: Options]
  : undefined extends ParamsInput<C, S, M>
    ? [params?: ParamsInput<C, S, M>, options?: Options]
    : [params: ParamsInput<C, S, M>, options?: Options];
/** The same without options. */
export type ParamsArguments<C extends Contract, S extends Side, M extends Name> = Unlisted extends M
  ? [params?: unknown]
  : undefined extends ParamsInput<C, S, M>
    ? [params?: ParamsInput<C, S, M>]
    : [params: ParamsInput<C, S, M>];
/** Arguments behind a message's type. Data may be left out only where the schema lets it. */
export type MessageArguments<C extends Contract, S extends Side, T extends Name, Options> = Unlisted extends T
  ? [data?: unknown, options?: Options]
  : undefined extends MessageInput<C, S, T>
    ? [data?: MessageInput<C, S, T>, options?: Options]
    : [data: MessageInput<C, S, T>, options?: Options];
/** The same without options. */
export type DataArguments<C extends Contract, S extends Side, T extends Name> = Unlisted extends T
  ? [data?: unknown]
  : undefined extends MessageInput<C, S, T>
    ? [data?: MessageInput<C, S, T>]
    : [data: MessageInput<C, S, T>];

/** The type that a caller may state for a result: any without a contract, none with one, which has them. */
export type StatedResult<C extends Contract, S extends Side> = string extends MethodName<C, S> ? unknown : never;
/** A call resolves with the output of the schema `R` if one was passed, else the contract's result, else `T`. */
export type CallResult<C extends Contract, S extends Side, T, M extends Name, R extends Schema> = Unlisted extends M
  ? unknown
  : [R] extends [never]
    ? string extends MethodName<C, S>
      ? T
      : ResultOutput<C, S, M>
    : InferOutput<R>;

/** The type of a reply that nobody stated; with a contract `never`, by which `StatedRequest` knows that. */
export type UnstatedReply<C extends Contract, S extends Side> = string extends MessageType<C, S> ? unknown : never;
/**
 * Arguments of a request whose reply is stated to be a `T`. The compiler then infers no further type, so with a contract
 * there is one list of arguments for each message. Where no `T` was stated, a list that no request has: the overload
 * behind is meant, and errors should speak of that alone.
 */
export type StatedRequest<C extends Contract, S extends Side, T, Options> =
  string extends MessageType<C, S>
    ? [type: string, data?: unknown, options?: Options & { readonly result?: never }]
    : [T] extends [never]
      ? [never, never, never, never]
      : RequestOf<C, S, MessageType<C, S>, Options>;
type RequestOf<C extends Contract, S extends Side, T extends string, Options> = T extends string
  ? undefined extends MessageInput<C, S, T>
    ? [type: T, data?: MessageInput<C, S, T>, options?: Options]
    : [type: T, data: MessageInput<C, S, T>, options?: Options]
  : never;
