import { natsCluster } from "@netconduit/nats";
import { NatsProcess } from "../../scripts/lib/nats-process.ts";
import type { NatsInstallation } from "../../scripts/lib/nats-server.ts";
import type { ClusterSubject } from "../many-nodes/subject.ts";
import { Relay } from "../support/relay.ts";

/** A test makes at most so many nodes. */
const RELAYS = 8;

/** The driver over a nats-server of each test, with a relay between it and each node. */
export function natsSubject(nats: NatsInstallation): ClusterSubject {
  return {
    name: "over NATS",
    async make() {
      const server = await NatsProcess.start(nats);
      const free: Relay[] = [];
      const started: Relay[] = [];
      for (let count = 0; count < RELAYS; count++) {
        const relay = new Relay(server.port);
        await relay.start();
        free.push(relay);
        started.push(relay);
      }
      const relays = new Map<string, Relay>();
      const relayOf = (nodeId: string): Relay => {
        const relay = relays.get(nodeId) ?? free.pop();
        if (relay === undefined) throw new Error(`A test makes more than ${RELAYS} nodes`);
        relays.set(nodeId, relay);
        return relay;
      };
      return {
        driver(options) {
          const { port } = relayOf(options.nodeId ?? `unnamed ${relays.size}`).address;
          return natsCluster({ ...options, servers: `nats://127.0.0.1:${port}`, name: "fleet", pingIntervalMs: 1000 });
        },
        cut: (nodeId) => relayOf(nodeId).kill(),
        heal: (nodeId) => relayOf(nodeId).start(),
        async close() {
          for (const relay of started) await relay.kill();
          await server[Symbol.asyncDispose]();
        },
      };
    },
    capabilities: { logs: true, records: true },
  };
}
