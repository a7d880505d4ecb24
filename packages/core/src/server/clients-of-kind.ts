import type { ConnectionFilter } from "../cluster/connection-filter.ts";
import { HandlerGroup } from "../endpoint/handler-group.ts";
import type { HandlerRegistration } from "../endpoint/handler-registration.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { ClientKind, ForClient } from "../rpc/client-kinds.ts";
import type { Contract, MessageArguments, MessageType, NameBound } from "../rpc/contract.ts";
import { MiddlewareList } from "../rpc/middleware.ts";
import { describeValue } from "../text/describe-value.ts";
import type { BroadcastOptions } from "./broadcast.ts";
import type { Connection } from "./connection.ts";

/** A connection of a client of one kind. */
type OfKind<C extends Contract, D extends object, K extends string> = Connection<ForClient<C, K>, D>;

/** Recipients of a broadcast to clients of one kind. */
export type KindBroadcastOptions<C extends Contract, D extends object> = Omit<BroadcastOptions<C, D>, "where"> & {
  /** As in `BroadcastOptions`, except for the role, which is the kind. */
  readonly where?: Omit<ConnectionFilter, "role"> | ((connection: Connection<C, D>) => boolean) | undefined;
};

/** The server of {@link ClientsOfKind}. */
interface Host<C extends Contract, D extends object> {
  connections(): Connection<C, D>[];
  broadcast(type: string, data: unknown, options: BroadcastOptions<C, D>): number;
}

/**
 * The clients of one kind. Handlers registered here are only for them; other clients get PERMISSION_DENIED. A message
 * type may have one handler for each kind.
 */
export class ClientsOfKind<C extends Contract, D extends object, K extends ClientKind<C>> extends HandlerGroup<
  ForClient<C, K>,
  "server",
  OfKind<C, D, K>
> {
  readonly #host: Host<C, D>;
  readonly #kind: K;

  /** @internal */
  constructor(host: Host<C, D>, registration: HandlerRegistration<Connection<C, D>>, kind: K) {
    const typed = registration as unknown as HandlerRegistration<OfKind<C, D, K>>;
    super(typed, { middlewares: new MiddlewareList(typed.middlewares.current), roles: [kind] });
    this.#host = host;
    this.#kind = kind;
  }

  /** The connections of all logged-in clients of this kind, on this node. */
  get connections(): OfKind<C, D, K>[] {
    return this.#host.connections().filter((connection) => connection.is(this.#kind)) as unknown as OfKind<C, D, K>[];
  }

  /** Sends a message to all clients of this kind, or to those selected by `options`, like the server's `broadcast`. */
  broadcast<T extends NameBound<MessageType<ForClient<C, K>, "client">>>(
    type: T & string,
    ...dataAndOptions: MessageArguments<ForClient<C, K>, "client", T, KindBroadcastOptions<ForClient<C, K>, D>>
  ): number;
  broadcast(type: string, data?: unknown, options: KindBroadcastOptions<ForClient<C, K>, D> = {}): number {
    const { where, ...rest } = options;
    const kind = this.#kind;
    if (typeof where !== "function") {
      if (where !== undefined && "role" in where) throw roleIsKind(kind);
      return this.#host.broadcast(type, data, { ...rest, where: { ...where, role: kind } });
    }
    const chosen = where as unknown as (connection: Connection<C, D>) => boolean;
    return this.#host.broadcast(type, data, {
      ...rest,
      where: (connection) => connection.is(kind) && chosen(connection),
    });
  }
}

function roleIsKind(kind: string): ConduitError {
  const message = `where.role can't be given here: clients(${describeValue(kind)}).broadcast sends to that role; use server.broadcast`;
  return new ConduitError(ErrorCode.INVALID_CONFIG, message);
}
