/**
 * Types that describe what two peers say to each other. A contract is one value: methods and messages of both
 * directions with their schemas. `Server` and `Client` are generic over its type; the default describes nothing and
 * accepts everything.
 */

import type { InferInput, InferOutput, Schema } from "./schema.ts";

/** One RPC method: schemas of its parameters and its result. */
export interface MethodContract {
  readonly params?: Schema;
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

/** `string` when the contract says nothing of methods; otherwise their names. */
export type MethodName<C extends Contract, S extends Side> = keyof MethodsOf<C, S> & string;
/** `string` when the contract says nothing of messages; otherwise their types. */
export type MessageType<C extends Contract, S extends Side> = keyof MessagesOf<C, S> & string;

/** `string` for an open contract, `never` for one that lists its methods. */
export type OpenMethodName<C extends Contract, S extends Side> = string extends MethodName<C, S> ? string : never;
/** `string` for an open contract, `never` for one that lists its messages. */
export type OpenMessageType<C extends Contract, S extends Side> = string extends MessageType<C, S> ? string : never;

/** Parameters of any method that has no schema: a map with string keys. */
export type Params = Readonly<Record<string, unknown>>;

/** What a caller passes. */
export type ParamsInput<C extends Contract, S extends Side, M extends MethodName<C, S>> = MethodsOf<C, S>[M] extends {
  readonly params: infer P extends Schema;
}
  ? InferInput<P>
  : Params | undefined;
/** Arguments behind a method's name: parameters may be left out only where the schema lets them. */
export type CallArguments<P, Options> = undefined extends P
  ? [params?: P, options?: Options]
  : [params: P, options?: Options];
/** What a handler gets. */
export type ParamsOutput<C extends Contract, S extends Side, M extends MethodName<C, S>> = MethodsOf<C, S>[M] extends {
  readonly params: infer P extends Schema;
}
  ? InferOutput<P>
  : Params;
/** What a caller receives. */
export type ResultOutput<C extends Contract, S extends Side, M extends MethodName<C, S>> = MethodsOf<C, S>[M] extends {
  readonly result: infer R extends Schema;
}
  ? InferOutput<R>
  : unknown;
/** What a handler returns. */
export type ResultInput<C extends Contract, S extends Side, M extends MethodName<C, S>> = MethodsOf<C, S>[M] extends {
  readonly result: infer R extends Schema;
}
  ? InferInput<R>
  : unknown;

/** What a sender passes with a message. */
export type MessageInput<C extends Contract, S extends Side, T extends MessageType<C, S>> = MessagesOf<
  C,
  S
>[T] extends infer M extends Schema
  ? InferInput<M>
  : unknown;
/** Arguments behind a message's type: data may be left out only where the schema lets it. */
export type MessageArguments<M> = unknown extends M ? [data?: unknown] : undefined extends M ? [data?: M] : [data: M];
/** What a message handler gets. */
export type MessageOutput<C extends Contract, S extends Side, T extends MessageType<C, S>> = MessagesOf<
  C,
  S
>[T] extends infer M extends Schema
  ? InferOutput<M>
  : unknown;
