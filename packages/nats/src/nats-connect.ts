import { connect, type NatsConnection, type NodeConnectionOptions } from "@nats-io/transport-node";

/**
 * The `connect` function of a nats.js transport. Its types aren't used in this package's declarations, because they
 * don't compile with `exactOptionalPropertyTypes`.
 */
export type NatsConnect = (options: never) => Promise<object>;

/** Connects with the application's transport, or with the one for Node.js, which also runs on Bun and Deno. */
export function connectBy(own: NatsConnect | undefined, options: NodeConnectionOptions): Promise<NatsConnection> {
  return own === undefined ? connect(options) : (own(options as never) as Promise<NatsConnection>);
}

/** The transport of a connection, for which nats.js has no public type. */
interface OverTransport {
  readonly protocol?: {
    readonly transport?: {
      close?(error: Error): Promise<void>;
      readonly closedNotification?: { resolve?(error: Error): void };
    };
  };
}

/**
 * Ends a connection's transport immediately, after which nats.js reconnects. By itself, nats.js waits until the data is
 * written, and a WebSocket until the server has answered, which may be never. A nats.js with other internals does that.
 */
export function abortTransport(connection: NatsConnection, error: Error): void {
  const transport = (connection as unknown as OverTransport).protocol?.transport;
  void transport?.close?.(error);
  transport?.closedNotification?.resolve?.(error);
}
