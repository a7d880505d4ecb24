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
