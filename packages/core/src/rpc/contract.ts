/**
 * Types for contracts. A contract is a value that describes the methods and messages of both directions with their
 * schemas. `Server` and `Client` are generic over its type; the default describes nothing and accepts everything.
 * With the option `contract`, the value's schemas also validate received data.
 */

import type { InferInput, InferOutput, Schema } from "./schema.ts";

/** One RPC method: schemas of its parameters and its result. */
export interface MethodContract {
  /** Default: any map. */
  readonly params?: Schema;
  /** Validated by the sender and the receiver, so the schema must accept its own output. Default: any value. */
  readonly result?: Schema;
  /** Items sent by callers, validated on both sides. Default: the method has no input. */
  readonly input?: Schema;
  /**
   * Values for `context.progress`. Validated on both sides, so the schema must accept its own output; must be
   * synchronous. Default: any value.
   */
  readonly progress?: Schema;
  /** Servers only: users with one of these roles may call it. Default: all. */
  readonly roles?: readonly string[];
}

/** A method that returns a stream of items. */
export interface StreamContract {
  /** Default: any map. */
  readonly params?: Schema;
  /** Items for the caller. Validated on both sides, so the schema must accept its own output. Default: any value. */
  readonly output?: Schema;
  /** Items sent by callers, validated on both sides. Default: the stream has no input. */
  readonly input?: Schema;
  /** As for a method. */
  readonly progress?: Schema;
  /** Servers only: users with one of these roles may call it. Default: all. */
  readonly roles?: readonly string[];
}

/** A message to a server, or a topic, with an optional schema and required roles. */
export interface DataContract {
  /** Default: any data. */
  readonly data?: Schema;
  /** Users with one of these roles may send the message, or subscribe and publish to the topic. Default: all. */
  readonly roles?: readonly string[];
}

/** A folder served by one side. */
export interface FolderContract {
  /** Servers only: users with one of these roles may use it. Default: all. */
  readonly roles?: readonly string[];
}

/** One side's part: its methods, streams, messages and folders. */
export interface SideContract {
  readonly methods?: Readonly<Record<string, MethodContract>>;
  readonly streams?: Readonly<Record<string, StreamContract>>;
  readonly messages?: Readonly<Record<string, Schema | DataContract>>;
  readonly files?: Readonly<Record<string, FolderContract>>;
}

/** Methods and messages of both sides. */
export interface Contract {
  readonly server?: SideContract;
  /** The part of all clients. */
  readonly client?: SideContract;
  /**
   * The additional part of each kind of clients, by kind. A client is of each kind that is one of its user's roles. A
   * method or stream that several kinds have must be the same object in all of them. Clients use `forClient(contract,
   * kind)`.
   */
  readonly clients?: Readonly<Record<string, SideContract>>;
  /** Schemas of the server's topics. A name with a `*`, such as `room:*`, is a pattern. */
  readonly topics?: Readonly<Record<string, Schema | DataContract>>;
}

/** Either end of a connection. */
export type Side = "server" | "client";

type MethodsOf<C extends Contract, S extends Side> = NonNullable<NonNullable<C[S]>["methods"]>;
type StreamsOf<C extends Contract, S extends Side> = NonNullable<NonNullable<C[S]>["streams"]>;
type MessagesOf<C extends Contract, S extends Side> = NonNullable<NonNullable<C[S]>["messages"]>;
type FoldersOf<C extends Contract, S extends Side> = NonNullable<NonNullable<C[S]>["files"]>;
/**
 * Resolves to the names themselves, because the compiler would show an intersection as an alias with the whole
 * contract.
 */
type NamesOf<T> = keyof T & string extends infer N extends string ? N : never;

/** Names of the methods that a contract lists for a side; `never` if it lists none, `string` for the open contract. */
export type MethodName<C extends Contract, S extends Side> = NamesOf<MethodsOf<C, S>>;
/** Names of the streams that a contract lists for a side; `never` if it lists none, `string` for the open contract. */
export type StreamName<C extends Contract, S extends Side> = NamesOf<StreamsOf<C, S>>;
/** Types of the messages that a contract lists for a side; `never` if it lists none, `string` for the open contract. */
export type MessageType<C extends Contract, S extends Side> = NamesOf<MessagesOf<C, S>>;
/** Names of the folders that a contract lists for a side; `never` if it lists none, `string` for the open contract. */
export type FolderName<C extends Contract, S extends Side> = NamesOf<FoldersOf<C, S>>;

declare const unlisted: unique symbol;
/** Marks a name that the contract doesn't list. */
export type Unlisted = typeof unlisted;
/**
 * The constraint of a type parameter `M` for names `N`; the argument's type is `M & string`. If a name is misspelled or
 * incomplete, the compiler infers the whole constraint for `M`. The types below detect that through `Unlisted` and
 * resolve no schema, so that errors mention only the name, and completion doesn't wait for the schemas of all names.
 */
export type NameBound<N extends string> = string extends N ? N : N | Unlisted;
type Name = string | Unlisted;

type MethodOf<C extends Contract, S extends Side, M extends Name> = M extends keyof MethodsOf<C, S>
  ? MethodsOf<C, S>[M]
  : MethodContract;
type MessageOf<C extends Contract, S extends Side, T extends Name> = T extends keyof MessagesOf<C, S>
  ? DataSchema<MessagesOf<C, S>[T]>
  : Schema;
/** The schema of a message's or topic's entry. */
type DataSchema<Entry> = Entry extends Schema
  ? Entry
  : Entry extends { readonly data: infer D extends Schema }
    ? D
    : Schema;

/** Parameters of a method without a schema: a map with string keys. */
export type Params = Readonly<Record<string, unknown>>;

/** Parameters passed by a caller. */
export type ParamsInput<C extends Contract, S extends Side, M extends Name> =
  MethodOf<C, S, M> extends { readonly params: infer P extends Schema } ? InferInput<P> : Params | undefined;
/** Parameters received by a handler. */
export type ParamsOutput<C extends Contract, S extends Side, M extends Name> =
  MethodOf<C, S, M> extends { readonly params: infer P extends Schema } ? InferOutput<P> : Params;
/** The result returned by a handler. */
export type ResultInput<C extends Contract, S extends Side, M extends Name> =
  MethodOf<C, S, M> extends { readonly result: infer R extends Schema } ? InferInput<R> : unknown;
/** The result received by a caller. */
export type ResultOutput<C extends Contract, S extends Side, M extends Name> =
  MethodOf<C, S, M> extends { readonly result: infer R extends Schema } ? InferOutput<R> : unknown;
type StreamOf<C extends Contract, S extends Side, M extends Name> = M extends keyof StreamsOf<C, S>
  ? StreamsOf<C, S>[M]
  : StreamContract;
/** Input items sent by the caller. */
type ItemsInput<Entry, IsOpen> = Entry extends { readonly input: infer I extends Schema }
  ? InferInput<I>
  : IsOpen extends true
    ? unknown
    : never;
/** Input items received by the handler. */
type ItemsOutput<Entry> = Entry extends { readonly input: infer I extends Schema } ? InferOutput<I> : unknown;
type IsOpen<N extends string> = string extends N ? true : false;

/** Items that a method's caller may send; `never` if it has no input. */
export type CallInput<C extends Contract, S extends Side, M extends Name> = Unlisted extends M
  ? never
  : ItemsInput<MethodOf<C, S, M>, IsOpen<MethodName<C, S>>>;
/** Items that a method's handler receives. */
export type HandlerInput<C extends Contract, S extends Side, M extends Name> = ItemsOutput<MethodOf<C, S, M>>;
type ProgressIn<Entry> = Entry extends { readonly progress: infer P extends Schema } ? InferInput<P> : unknown;
type ProgressOut<Entry> = Entry extends { readonly progress: infer P extends Schema } ? InferOutput<P> : unknown;
/** Progress values passed by a method's or stream's handler. */
export type HandlerProgress<C extends Contract, S extends Side, M extends Name> = ProgressIn<MethodOf<C, S, M>>;
export type StreamHandlerProgress<C extends Contract, S extends Side, M extends Name> = ProgressIn<StreamOf<C, S, M>>;
/** Progress values received by the caller. */
export type CallProgress<C extends Contract, S extends Side, M extends Name> = Unlisted extends M
  ? unknown
  : ProgressOut<MethodOf<C, S, M>>;
export type StreamCallProgress<C extends Contract, S extends Side, M extends Name> = Unlisted extends M
  ? unknown
  : ProgressOut<StreamOf<C, S, M>>;
/** A stream's parameters and items in both directions, for its caller and its handler. */
export type StreamParamsInput<C extends Contract, S extends Side, M extends Name> =
  StreamOf<C, S, M> extends { readonly params: infer P extends Schema } ? InferInput<P> : Params | undefined;
export type StreamParamsOutput<C extends Contract, S extends Side, M extends Name> =
  StreamOf<C, S, M> extends { readonly params: infer P extends Schema } ? InferOutput<P> : Params;
export type StreamCallInput<C extends Contract, S extends Side, M extends Name> = Unlisted extends M
  ? never
  : ItemsInput<StreamOf<C, S, M>, IsOpen<StreamName<C, S>>>;
export type StreamHandlerInput<C extends Contract, S extends Side, M extends Name> = ItemsOutput<StreamOf<C, S, M>>;
export type StreamItemInput<C extends Contract, S extends Side, M extends Name> =
  StreamOf<C, S, M> extends { readonly output: infer O extends Schema } ? InferInput<O> : unknown;
export type StreamItemOutput<C extends Contract, S extends Side, M extends Name> =
  StreamOf<C, S, M> extends { readonly output: infer O extends Schema } ? InferOutput<O> : unknown;

/** Data passed by a sender. */
export type MessageInput<C extends Contract, S extends Side, T extends Name> = InferInput<MessageOf<C, S, T>>;
/** Data received by a handler. */
export type MessageOutput<C extends Contract, S extends Side, T extends Name> = Unlisted extends T
  ? unknown
  : InferOutput<MessageOf<C, S, T>>;

/** Schemas that may replace the one for a method's parameters, with the same output type. */
export type ParamsSchema<C extends Contract, S extends Side, M extends Name> = Unlisted extends M
  ? Schema
  : Schema<unknown, ParamsOutput<C, S, M>>;
/** Schemas that may replace the one for a stream's parameters, with the same output type. */
export type StreamParamsSchema<C extends Contract, S extends Side, M extends Name> = Unlisted extends M
  ? Schema
  : Schema<unknown, StreamParamsOutput<C, S, M>>;
/** Schemas that may replace the one for a stream's items, with the same output type. */
export type StreamItemSchema<C extends Contract, S extends Side, M extends Name> = Unlisted extends M
  ? Schema
  : Schema<unknown, StreamItemOutput<C, S, M>>;
/** Schemas that may replace the one for a method's result, with the same output type. */
export type ResultSchema<C extends Contract, S extends Side, M extends Name> = Unlisted extends M
  ? Schema
  : Schema<unknown, ResultOutput<C, S, M>>;
/** Schemas that may replace the one for a message, with the same output type. */
export type MessageSchema<C extends Contract, S extends Side, T extends Name> = Unlisted extends T
  ? Schema
  : Schema<unknown, MessageOutput<C, S, T>>;

/** Parameters and options. Parameters are optional only if they may be undefined. */
export type ParamsAndOptions<P, Options> = undefined extends P
  ? [params?: P, options?: Options]
  : [params: P, options?: Options];
/** Data and options. Data is optional only if it may be undefined. */
type DataAndOptions<D, Options> = undefined extends D ? [data?: D, options?: Options] : [data: D, options?: Options];

/** Arguments after a method's name. */
export type CallArguments<C extends Contract, S extends Side, M extends Name, Options> = Unlisted extends M
  ? [params?: unknown, options?: Options]
  : ParamsAndOptions<ParamsInput<C, S, M>, Options>;
/** Arguments after a stream's name. */
export type StreamArguments<C extends Contract, S extends Side, M extends Name, Options> = Unlisted extends M
  ? [params?: unknown, options?: Options]
  : ParamsAndOptions<StreamParamsInput<C, S, M>, Options>;
/** Item type of a stream: the output of the schema `R` if one was passed, else the contract's, else `T`. */
export type StreamItem<C extends Contract, S extends Side, T, M extends Name, R extends Schema> = Unlisted extends M
  ? unknown
  : [R] extends [never]
    ? string extends StreamName<C, S>
      ? T
      : StreamItemOutput<C, S, M>
    : InferOutput<R>;
/** Constraint for an item type stated by the caller: any type without a contract, none with one. */
export type StatedItem<C extends Contract, S extends Side> = string extends StreamName<C, S> ? unknown : never;
/** Arguments after a message's type. */
export type MessageArguments<C extends Contract, S extends Side, T extends Name, Options> = Unlisted extends T
  ? [data?: unknown, options?: Options]
  : DataAndOptions<MessageInput<C, S, T>, Options>;
/** The same without options. */
export type DataArguments<C extends Contract, S extends Side, T extends Name> = Unlisted extends T
  ? [data?: unknown]
  : undefined extends MessageInput<C, S, T>
    ? [data?: MessageInput<C, S, T>]
    : [data: MessageInput<C, S, T>];

/** Constraint for a result type stated by the caller: any type without a contract, none with one. */
export type StatedResult<C extends Contract, S extends Side> = string extends MethodName<C, S> ? unknown : never;
/** Result type of a call: the output of the schema `R` if one was passed, else the contract's result, else `T`. */
export type CallResult<C extends Contract, S extends Side, T, M extends Name, R extends Schema> = Unlisted extends M
  ? unknown
  : [R] extends [never]
    ? string extends MethodName<C, S>
      ? T
      : ResultOutput<C, S, M>
    : InferOutput<R>;

/**
 * Default type of a reply. With a contract it is `never`, by which `StatedRequest` detects that the caller stated no
 * type.
 */
export type UnstatedReply<C extends Contract, S extends Side> = string extends MessageType<C, S> ? unknown : never;
/**
 * Arguments of a request with a stated reply type `T`. No further type parameter is inferred then, so with a contract
 * this is a union of one argument list per message. Without a stated `T`, it is a list that no request matches, so that
 * the next overload applies and errors mention only that one.
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

type TopicsOf<C extends Contract> = NonNullable<C["topics"]>;
/** Names and patterns of the topics that a contract lists; `string` for the open contract. */
export type TopicKey<C extends Contract> = NamesOf<TopicsOf<C>>;
/** Topic names without a `*`. */
export type SingleTopic<C extends Contract> = Exclude<TopicKey<C>, `${string}*${string}`>;
/** Topic patterns with a `*`. */
export type PatternTopic<C extends Contract> =
  string extends TopicKey<C> ? string : Extract<TopicKey<C>, `${string}*${string}`>;
/** The names that match a pattern. */
export type TopicNameOf<P extends string> = P extends `${infer Before}*${infer After}`
  ? `${Before}${string}${After}`
  : P;
/** Names of topics that a contract allows. */
export type TopicName<C extends Contract> = TopicNameOf<TopicKey<C>>;
/** The contract's schema for a topic or pattern. */
export type TopicSchema<C extends Contract, K extends string> = K extends keyof TopicsOf<C>
  ? DataSchema<TopicsOf<C>[K]>
  : Schema;
/** The key of a topic's entry in the contract: its name, or a matching pattern. */
type KeyOfTopic<C extends Contract, N extends string> =
  N extends TopicKey<C> ? N : { [K in TopicKey<C>]: N extends TopicNameOf<K> ? K : never }[TopicKey<C>];
/** Data passed by a publisher. */
export type TopicInput<C extends Contract, N extends string> = InferInput<TopicSchema<C, KeyOfTopic<C, N>>>;
/** Data received by a subscriber. `T` is the type stated by the program, used without a contract. */
export type TopicOutput<C extends Contract, N extends string, T> =
  string extends TopicKey<C> ? T : InferOutput<TopicSchema<C, KeyOfTopic<C, N>>>;
/** Data and options of a publish. */
export type PublishArguments<C extends Contract, N extends string, Options> = DataAndOptions<TopicInput<C, N>, Options>;
