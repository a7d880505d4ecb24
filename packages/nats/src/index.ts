/** Many netconduit servers as one, through NATS. */

export { natsCluster } from "./nats-cluster.ts";
export type { NatsConnect } from "./nats-connect.ts";
export type { NatsClusterOptions, NatsTlsOptions } from "./nats-options.ts";
