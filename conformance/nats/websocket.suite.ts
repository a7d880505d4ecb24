import { createRequire } from "node:module";
import type { NatsConnect } from "@netconduit/nats";
import { NatsProcess } from "../../scripts/lib/nats-process.ts";
import { describeClusterDriver } from "../many-nodes/driver.suite.ts";
import { describeManyNodes } from "../many-nodes/nodes.suite.ts";
import type { Subject } from "../support/subject.ts";
import { type NatsWay, natsSubject } from "./nats-subject.ts";
import { describeWithNats } from "./with-nats.ts";

const require = createRequire(new URL("../../packages/nats/package.json", import.meta.url));
/** The driver's copy of nats.js. */
const { wsconnect } = createRequire(require.resolve("@nats-io/transport-node"))("@nats-io/nats-core") as {
  readonly wsconnect: NatsConnect;
};

const OVER_WEBSOCKETS: NatsWay = {
  name: "over NATS by WebSockets",
  start: (nats) => NatsProcess.start(nats, { takesWebSockets: true }),
  portOf: ({ webSocketPort }) => webSocketPort,
  options: (port) => ({ servers: `ws://127.0.0.1:${port}`, connect: wsconnect }),
};

/** The driver over another transport of nats.js, chosen by the option `connect`. */
export function describeNatsByWebSockets(runtime: Subject): Promise<void> {
  return describeWithNats(`NATS by WebSockets on ${runtime.name}`, (nats) => {
    const subject = natsSubject(nats, OVER_WEBSOCKETS);
    describeClusterDriver(subject);
    describeManyNodes(runtime, subject);
  });
}
