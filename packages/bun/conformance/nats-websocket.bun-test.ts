import { describeNatsByWebSockets } from "../../../conformance/nats/websocket.suite.ts";
import { bunRuntime, Client, ClientPool, fileStore, Server } from "../src/index.ts";

await describeNatsByWebSockets({
  name: "Bun",
  Server,
  Client,
  ClientPool,
  fileStore,
  runtime: bunRuntime,
  capabilities: { destroyResets: true },
});
