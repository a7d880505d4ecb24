import { describeWire } from "../../../conformance/wire/wire.suite.ts";
import { bunRuntime, Client, ClientPool, fileStore, Server } from "../src/index.ts";

describeWire({
  name: "Bun",
  Server,
  Client,
  ClientPool,
  fileStore,
  runtime: bunRuntime,
  capabilities: { destroyResets: true },
});
