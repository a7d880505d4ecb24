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

/** What one side answers: its methods, and the messages it takes. */
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

type SideOf<C extends Contract, S extends Side> = NonNullable<C[S]>;
type MethodsOf<C extends Contract, S extends Side> = NonNullable<SideOf<C, S>["methods"]>;
type MessagesOf<C extends Contract, S extends Side> = NonNullable<SideOf<C, S>["messages"]>;
/** The compiler shows the names themselves: an intersection would be shown by its alias, with the whole contract. */
type NamesOf<T> = keyof T & string extends infer N extends string ? N : never;
/** `None` where there are no names at all, for all that depends on a value to be `unknown` and not `never`. */
type ValueOf<T, K extends string, None> = [K & keyof T] extends [never] ? None : K extends keyof T ? T[K] : never;
type MethodOf<C extends Contract, S extends Side, M extends string> = ValueOf<
  MethodsOf<C, S>,
  M,
  Required<MethodContract>
>;
type MessageOf<C extends Contract, S extends Side, T extends string> = ValueOf<MessagesOf<C, S>, T, Schema>;

/** Names of the methods that a contract lists for a side; `never` if it lists none, `string` for the open contract. */
export type MethodName<C extends Contract, S extends Side> = NamesOf<MethodsOf<C, S>>;
/** Types of the messages that a contract lists for a side; `never` if it lists none, `string` for the open contract. */
export type MessageType<C extends Contract, S extends Side> = NamesOf<MessagesOf<C, S>>;

/** Parameters of any method that has no schema: a map with string keys. */
export type Params = Readonly<Record<string, unknown>>;

/** What a caller passes. */
export type ParamsInput<C extends Contract, S extends Side, M extends string> =
  MethodOf<C, S, M> extends {
    readonly params: infer P extends Schema;
  }
    ? InferInput<P>
    : Params | undefined;
/** Arguments behind a method's name: parameters may be left out only where the schema lets them. */
export type CallArguments<P, Options> = undefined extends P
  ? [params?: P, options?: Options]
  : [params: P, options?: Options];
/** The same where there are no options. */
export type ParamsArguments<P> = undefined extends P ? [params?: P] : [params: P];
/** What a handler gets. */
export type ParamsOutput<C extends Contract, S extends Side, M extends string> =
  MethodOf<C, S, M> extends {
    readonly params: infer P extends Schema;
  }
    ? InferOutput<P>
    : Params;
/** Schemas that may stand in for the contract's: what they yield fits what the contract says a handler gets. */
export type ParamsSchema<C extends Contract, S extends Side, M extends string> =
  MethodOf<C, S, M> extends {
    readonly params: infer P extends Schema;
  }
    ? Schema<unknown, InferOutput<P>>
    : Schema;
/** What a caller receives. */
export type ResultOutput<C extends Contract, S extends Side, M extends string> =
  MethodOf<C, S, M> extends {
    readonly result: infer R extends Schema;
  }
    ? InferOutput<R>
    : unknown;
/** What a handler returns. */
export type ResultInput<C extends Contract, S extends Side, M extends string> =
  MethodOf<C, S, M> extends {
    readonly result: infer R extends Schema;
  }
    ? InferInput<R>
    : unknown;
/** Schemas that may stand in for the contract's: what they yield fits what the contract says a caller receives. */
export type ResultSchema<C extends Contract, S extends Side, M extends string> =
  MethodOf<C, S, M> extends {
    readonly result: infer R extends Schema;
  }
    ? Schema<unknown, InferOutput<R>>
    : Schema;
/** The type that a caller may state for a result: any without a contract, none with one, which has them. */
export type StatedResult<C extends Contract, S extends Side> = string extends MethodName<C, S> ? unknown : never;
/** What a call resolves with: what the schema `R` yields if one was passed, else the contract's result, else `T`. */
export type CallResult<C extends Contract, S extends Side, T, M extends string, R extends Schema> = [R] extends [never]
  ? string extends MethodName<C, S>
    ? T
    : ResultOutput<C, S, M>
  : InferOutput<R>;

/** What a sender passes with a message. */
export type MessageInput<C extends Contract, S extends Side, T extends string> =
  MessageOf<C, S, T> extends infer M extends Schema ? InferInput<M> : unknown;
/** Arguments behind a message's type: data may be left out only where the schema lets it. */
export type MessageArguments<M> = undefined extends M ? [data?: M] : [data: M];
/** The same with options behind the data. */
export type MessageWithOptions<M, Options> = undefined extends M
  ? [data?: M, options?: Options]
  : [data: M, options?: Options];
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
/** What a message handler gets. */
export type MessageOutput<C extends Contract, S extends Side, T extends string> =
  MessageOf<C, S, T> extends infer M extends Schema ? InferOutput<M> : unknown;
/** Schemas that may stand in for the contract's: what they yield fits what the contract says a handler gets. */
export type MessageSchema<C extends Contract, S extends Side, T extends string> =
  MessageOf<C, S, T> extends infer M extends Schema ? Schema<unknown, InferOutput<M>> : Schema;
