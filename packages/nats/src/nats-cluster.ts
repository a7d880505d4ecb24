import type { ClusterDriver, ClusterHost, ClusterLink, ClusterOptions } from "@netconduit/core";
import { NatsLink } from "./nats-link.ts";
import { type NatsClusterOptions, parseNatsOptions } from "./nats-options.ts";

/**
 * Creates a driver that joins a server to a cluster through NATS: `new Server({ cluster: natsCluster({ servers:
 * "nats://…", name: "fleet" }) })`. Each server needs its own.
 *
 * The server's `start()` rejects if NATS rejects the login (AUTH_FAILED) or forbids subjects (PERMISSION_DENIED), or
 * if TLS fails (codes from 8000). If NATS is unreachable, the server starts anyway and joins the cluster later.
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
