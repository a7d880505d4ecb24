import { Client, ClientPool, fileStore, nodeRuntime, Server } from "@netconduit/node";
import { describeNats } from "./suites.ts";

await describeNats({
  name: "Node",
  Server,
  Client,
  ClientPool,
  fileStore,
  runtime: nodeRuntime,
  capabilities: { destroyResets: true },
});
