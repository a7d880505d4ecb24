import { Client, ClientPool, fileStore, nodeRuntime, Server } from "@netconduit/node";
import { describeNatsByWebSockets } from "./websocket.suite.ts";

await describeNatsByWebSockets({
  name: "Node",
  Server,
  Client,
  ClientPool,
  fileStore,
  runtime: nodeRuntime,
  capabilities: { destroyResets: true },
});
