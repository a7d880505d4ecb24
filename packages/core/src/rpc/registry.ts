import { ConduitError, ErrorCode } from "../errors.ts";
import type { MethodDescription } from "../netconduit/discovery.ts";
import type { Access } from "./access.ts";
import type { HandlerContext } from "./incoming-request.ts";
import type { AnyMiddleware } from "./middleware.ts";
import type { Validator } from "./validation.ts";

/** The result of `listall`. */
export interface Discovery {
  readonly methods: readonly MethodDescription[];
  readonly count: number;
}

/** A method's items. */
export interface Items {
  readonly check: Validator<unknown> | null;
}

/** A registered RPC method. */
export interface MethodEntry<Peer> {
  readonly info: MethodDescription;
  /** Describes the parameters like netconduit's own server. Called when a netconduit client first requests it. */
  readonly describeToNetconduit: () => Readonly<Record<string, string>>;
  /** Roles that may call it; null, the default, for all. */
  readonly access?: Access | null;
  readonly params: Validator<unknown> | null;
  readonly result: Validator<unknown> | null;
  /** The validator of input items; null, the default, if callers may not send any. */
  readonly input?: Items | null;
  /** Validates its progress. */
  readonly progress?: Validator<unknown> | null;
  /** The validator of output items; null, the default, if the method returns a result. */
  readonly output?: Items | null;
  /** Run around the handler. Default: none. */
  readonly middlewares?: readonly AnyMiddleware<Peer>[] | null;
  readonly handler: (params: never, context: HandlerContext<Peer, never>) => unknown;
}

/** Creates an entry for a method of the library itself, which has no schemas and isn't listed. */
export function builtInMethod<Peer>(
  name: string,
  description: string,
  handler: MethodEntry<Peer>["handler"],
): MethodEntry<Peer> {
  return {
    info: { name, description, parameters: {}, return_type: "Any", requires_auth: true },
    describeToNetconduit: () => ({}),
    params: null,
    result: null,
    handler,
  };
}

/**
 * A registered message handler. A server's handlers take `(connection, data, context)`, a client's `(data, context)`.
 */
export type MessageEntry<Peer> = {
  readonly type: string;
  /** Roles that may send it; null, the default, for all. */
  readonly access?: Access | null;
  readonly data: Validator<unknown> | null;
  /** Run around the handler. Default: none. */
  readonly middlewares?: readonly AnyMiddleware<Peer>[] | null;
} & MessageHandler<Peer>;

/** A message handler as registered, without a wrapper. Handlers of a client don't take the peer, because it has only one. */
export type MessageHandler<Peer> =
  | { readonly takesPeer: true; readonly handler: (peer: Peer, data: never, context: HandlerContext<Peer>) => unknown }
  | { readonly takesPeer: false; readonly handler: (data: never, context: HandlerContext<Peer>) => unknown };

/** Methods and message handlers by name. Maps instead of objects, because peers choose the names to look up. */
export class Registry<Peer> {
  /** Created on first use, like the next one, because many clients have none. */
  #methods: Map<string, MethodEntry<Peer>> | null = null;
  #handlers: Map<string, readonly MessageEntry<Peer>[]> | null = null;
  #builtIn: {
    readonly ours: Map<string, MethodEntry<Peer>>;
    readonly netconduit: Map<string, MethodEntry<Peer>>;
  } | null = null;
  #netconduitHandlers: Map<string, readonly MessageEntry<Peer>[]> | null = null;
  /** The result of `listall` until a method is added or removed. */
  #discovery: Discovery | null = null;
  #netconduitDiscovery: Discovery | null = null;
  /** Called when the handlers of a type change. */
  onHandlersChange: () => void = () => undefined;

  /**
   * @returns a function that removes the method
   * @throws ConduitError INVALID_STATE if the name is taken
   */
  addMethod(entry: MethodEntry<Peer>): () => void {
    const name = entry.info.name;
    if (name === "listall") {
      throw new ConduitError(
        ErrorCode.INVALID_STATE,
        "Cannot register RPC method 'listall': the name is reserved for discovery",
      );
    }
    if (this.builtIn(name, false) !== undefined) {
      throw new ConduitError(
        ErrorCode.INVALID_STATE,
        `Cannot register RPC method '${name}': the library has it for itself; choose another name`,
      );
    }
    this.#methods ??= new Map();
    const methods = this.#methods;
    if (methods.has(name)) {
      throw new ConduitError(
        ErrorCode.INVALID_STATE,
        `RPC method '${name}' is already registered: first call what rpc() or stream() returned`,
      );
    }
    methods.set(name, entry);
    this.#methodsChanged();
    return () => {
      if (methods.get(name) !== entry) return;
      methods.delete(name);
      this.#methodsChanged();
    };
  }

  #methodsChanged(): void {
    this.#discovery = null;
    this.#netconduitDiscovery = null;
  }

  /** Adds a handler. All handlers of a type run, in registration order. Returns a function that removes this one. */
  addHandler(entry: MessageEntry<Peer>): () => void {
    this.#handlers ??= new Map();
    const handlers = this.#handlers;
    handlers.set(entry.type, [...(handlers.get(entry.type) ?? []), entry]);
    this.onHandlersChange();
    return () => {
      const rest = (handlers.get(entry.type) ?? []).filter((other) => other !== entry);
      if (rest.length === 0) handlers.delete(entry.type);
      else handlers.set(entry.type, rest);
      this.onHandlersChange();
    };
  }

  method(name: string): MethodEntry<Peer> | undefined {
    return this.#methods?.get(name);
  }

  handlers(type: string): readonly MessageEntry<Peer>[] | undefined {
    return this.#handlers?.get(type);
  }

  methodNames(): Iterable<string> {
    return this.#methods?.keys() ?? [];
  }

  messageTypes(): Iterable<string> {
    return this.#handlers?.keys() ?? [];
  }

  /** Adds an unlisted method of this library, either for netconduit peers or for our own. */
  addBuiltIn(entry: MethodEntry<Peer>, isForNetconduit: boolean): void {
    this.#builtIn ??= { ours: new Map(), netconduit: new Map() };
    (isForNetconduit ? this.#builtIn.netconduit : this.#builtIn.ours).set(entry.info.name, entry);
  }

  /** The library's method with this name for this kind of peer. */
  builtIn(name: string, isForNetconduit: boolean): MethodEntry<Peer> | undefined {
    return (isForNetconduit ? this.#builtIn?.netconduit : this.#builtIn?.ours)?.get(name);
  }

  /** Adds a handler of this library for netconduit messages without another handler. */
  addNetconduitHandler(entry: MessageEntry<Peer>): void {
    this.#netconduitHandlers ??= new Map();
    this.#netconduitHandlers.set(entry.type, [entry]);
  }

  netconduitHandlers(type: string): readonly MessageEntry<Peer>[] | undefined {
    return this.#netconduitHandlers?.get(type);
  }

  /** The result of `listall`; the same object until a method is added or removed. */
  discovery(): Discovery {
    this.#discovery ??= this.#listed((entry) => entry.info);
    return this.#discovery;
  }

  /** The result of `listall` for a netconduit client. */
  netconduitDiscovery(): Discovery {
    this.#netconduitDiscovery ??= this.#listed((entry) => ({
      ...entry.info,
      parameters: entry.describeToNetconduit(),
    }));
    return this.#netconduitDiscovery;
  }

  #listed(describe: (entry: MethodEntry<Peer>) => MethodDescription): Discovery {
    const methods = Array.from(this.#methods?.values() ?? [], describe);
    return { methods, count: methods.length };
  }
}
