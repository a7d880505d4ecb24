import { describeNats } from "../../../conformance/nats/suites.ts";
import { bunRuntime, Client, ClientPool, fileStore, Server } from "../src/index.ts";

await describeNats({
  name: "Bun",
  Server,
  Client,
  ClientPool,
  fileStore,
  runtime: bunRuntime,
  capabilities: { destroyResets: true },
});
