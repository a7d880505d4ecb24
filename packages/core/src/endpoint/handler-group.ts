import type {
  Contract,
  MessageOutput,
  MessageSchema,
  MessageType,
  MethodName,
  NameBound,
  ParamsSchema,
  ResultSchema,
  Side,
  StreamItemSchema,
  StreamName,
  StreamParamsSchema,
} from "../rpc/contract.ts";
import { type AddedFields, type Middleware, MiddlewareList } from "../rpc/middleware.ts";
import type { InferOutput, Schema } from "../rpc/schema.ts";
import type { HandlerRegistration, HandlerScope } from "./handler-registration.ts";
import type {
  ClientMessageHandler,
  Disposer,
  InputSchema,
  MessageOptions,
  MethodDefinition,
  MethodHandler,
  MethodHandlers,
  ServerMessageHandler,
  StreamDefinition,
  StreamHandler,
} from "./method-types.ts";

type GroupMessageHandler<S extends Side, D, Peer, Fields> = S extends "server"
  ? ClientMessageHandler<D, Peer, Fields>
  : ServerMessageHandler<D, Peer, Fields>;

/** Only groups of a server take options, because only clients have roles. */
type OnOptions<S extends Side> = S extends "server" ? [options?: MessageOptions] : [];

type AnyHandler = (...args: never[]) => unknown;

/**
 * Methods, streams and message handlers that share middleware. `Fields` are the fields that middleware adds to their
 * context.
 */
export class HandlerGroup<C extends Contract, S extends Side, Peer, Fields = unknown> {
  readonly #registration: HandlerRegistration<Peer>;
  readonly #scope: HandlerScope<Peer>;

  /** @internal */
  constructor(registration: HandlerRegistration<Peer>, scope: HandlerScope<Peer>) {
    this.#registration = registration;
    this.#scope = scope;
  }

  /**
   * Adds a middleware around handlers that are registered in this group after it.
   * @returns this group, whose type has the fields that the middleware adds
   * @throws ConduitError INVALID_CONFIG
   */
  use<R>(middleware: Middleware<Peer, Fields, R>): HandlerGroup<C, S, Peer, Fields & AddedFields<R>> {
    this.#scope.middlewares.add(middleware);
    return this as HandlerGroup<C, S, Peer, Fields & AddedFields<R>>;
  }

  /** Creates a group that starts with this one's middleware. Middleware added to either later doesn't affect the other. */
  group(): HandlerGroup<C, S, Peer, Fields> {
    const { middlewares, roles } = this.#scope;
    return new HandlerGroup(this.#registration, { middlewares: new MiddlewareList(middlewares.current), roles });
  }

  /** Registers a method, as `rpc` of the server or client does. */
  rpc<
    M extends NameBound<MethodName<C, S>>,
    P extends ParamsSchema<C, S, M> | undefined = undefined,
    R extends ResultSchema<C, S, M> | undefined = undefined,
    I extends InputSchema = undefined,
    G extends Schema | undefined = undefined,
  >(
    method: (M & string) | MethodDefinition<P, R, M & string, I, G>,
    handler: MethodHandler<C, S, M, P, R, Peer, I, Fields, G>,
  ): Disposer;
  rpc<M extends NameBound<MethodName<C, S>>, P extends ParamsSchema<C, S, M>>(
    name: M & string,
    params: P,
    handler: MethodHandler<C, S, M, P, undefined, Peer, undefined, Fields>,
  ): Disposer;
  rpc(method: string | MethodDefinition, schemaOrHandler: Schema | AnyHandler, maybeHandler?: AnyHandler): Disposer {
    return this.#registration.addMethod(method, schemaOrHandler, maybeHandler, this.#scope);
  }

  /** Registers a method that returns a stream, as `stream` of the server or client does. */
  stream<
    M extends NameBound<StreamName<C, S>>,
    P extends StreamParamsSchema<C, S, M> | undefined = undefined,
    O extends StreamItemSchema<C, S, M> | undefined = undefined,
    I extends InputSchema = undefined,
    G extends Schema | undefined = undefined,
  >(
    stream: (M & string) | StreamDefinition<P, O, M & string, I, G>,
    handler: StreamHandler<C, S, M, P, O, Peer, I, Fields, G>,
  ): Disposer;
  stream<M extends NameBound<StreamName<C, S>>, P extends StreamParamsSchema<C, S, M>>(
    name: M & string,
    params: P,
    handler: StreamHandler<C, S, M, P, undefined, Peer, undefined, Fields>,
  ): Disposer;
  stream(stream: string | StreamDefinition, schemaOrHandler: Schema | AnyHandler, maybeHandler?: AnyHandler): Disposer {
    return this.#registration.addStream(stream, schemaOrHandler, maybeHandler, this.#scope);
  }

  /** Registers a handler for every method and stream of the contract, as `implement` of the server or client does. */
  implement(handlers: MethodHandlers<C, S, Peer, Fields>): Disposer {
    return this.#registration.addMethods(handlers, this.#scope);
  }

  /** Registers a message handler, as `on` of the server or client does. On a server, it also takes roles. */
  on<T extends NameBound<MessageType<C, S>>>(
    type: (T & string) | readonly (T & string)[],
    handler: GroupMessageHandler<S, MessageOutput<C, S, T>, Peer, Fields>,
    ...options: OnOptions<S>
  ): Disposer;
  on<T extends NameBound<MessageType<C, S>>, M extends MessageSchema<C, S, T>>(
    type: (T & string) | readonly (T & string)[],
    schema: M,
    handler: GroupMessageHandler<S, InferOutput<M>, Peer, Fields>,
    ...options: OnOptions<S>
  ): Disposer;
  on(
    type: string | readonly string[],
    schemaOrHandler: Schema | AnyHandler,
    handlerOrOptions?: AnyHandler | MessageOptions,
    maybeOptions?: MessageOptions,
  ): Disposer {
    return this.#registration.addMessageHandler(type, schemaOrHandler, handlerOrOptions, maybeOptions, this.#scope);
  }
}
