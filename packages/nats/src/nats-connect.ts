import { connect, type NatsConnection, type NodeConnectionOptions } from "@nats-io/transport-node";

/**
 * `connect` of a transport of nats.js. Their types are no part of this package's declarations: they don't compile with
 * `exactOptionalPropertyTypes`.
 */
export type NatsConnect = (options: never) => Promise<object>;

/** Connects by the application's transport, or by that of Node.js, which Bun and Deno run as well. */
export function connectBy(own: NatsConnect | undefined, options: NodeConnectionOptions): Promise<NatsConnection> {
  return own === undefined ? connect(options) : (own(options as never) as Promise<NatsConnection>);
}
