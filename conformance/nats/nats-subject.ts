import { type NatsClusterOptions, natsCluster } from "@netconduit/nats";
import { NatsProcess } from "../../scripts/lib/nats-process.ts";
import type { NatsInstallation } from "../../scripts/lib/nats-server.ts";
import type { ClusterSubject } from "../many-nodes/subject.ts";
import { Relay } from "../support/relay.ts";

/** Maximum number of nodes in a test. */
const RELAYS = 8;

/** How nodes connect to NATS. */
export interface NatsWay {
  readonly name: string;
  start(nats: NatsInstallation): Promise<NatsProcess>;
  /** Returns the port that nodes connect to. */
  portOf(server: NatsProcess): number;
  /** @param port port of the relay to the server */
  options(port: number): Pick<NatsClusterOptions, "servers" | "connect">;
}

const OVER_TCP: NatsWay = {
  name: "over NATS",
  start: (nats) => NatsProcess.start(nats),
  portOf: ({ port }) => port,
  options: (port) => ({ servers: `nats://127.0.0.1:${port}` }),
};

/** The driver with a nats-server for each test, and a relay between the server and each node. */
export function natsSubject(nats: NatsInstallation, way: NatsWay = OVER_TCP): ClusterSubject {
  return {
    name: way.name,
    async make() {
      const server = await way.start(nats);
      const free: Relay[] = [];
      const started: Relay[] = [];
      for (let count = 0; count < RELAYS; count++) {
        const relay = new Relay(way.portOf(server));
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
          return natsCluster({ ...options, ...way.options(port), name: "fleet", pingIntervalMs: 1000 });
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
