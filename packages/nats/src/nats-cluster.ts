import type { ClusterDriver, ClusterHost, ClusterLink, ClusterOptions } from "@netconduit/core";
import { NatsLink } from "./nats-link.ts";
import { type NatsClusterOptions, parseNatsOptions } from "./nats-options.ts";

/**
 * Joins a server to a cluster through NATS: `new Server({ cluster: natsCluster({ servers: "nats://…", name: "fleet" }) })`. Make
 * one for each server.
 *
 * `start()` of the server rejects if NATS refuses the login (AUTH_FAILED), forbids subjects (PERMISSION_DENIED), or TLS fails
 * (codes from 8000 on). If NATS can't be reached, the server starts, and joins the cluster when it can.
 * @throws ConduitError INVALID_CONFIG
 */
export function natsCluster(options: NatsClusterOptions): ClusterDriver {
  const config = parseNatsOptions(options);
  const { nodeId, heartbeatMs, nodeTimeoutMs, answerTimeoutMs } = options;
  const ofCluster: ClusterOptions = { nodeId, heartbeatMs, nodeTimeoutMs, answerTimeoutMs };
  return {
    name: "nats",
    options: ofCluster,
    async start(host: ClusterHost): Promise<ClusterLink> {
      const link = new NatsLink(config, host);
      await link.start();
      return link;
    },
  };
}
