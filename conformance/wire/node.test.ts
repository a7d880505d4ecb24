import { Client, ClientPool, nodeRuntime, Server } from "@netconduit/node";
import { describeWire } from "./wire.suite.ts";

describeWire({
  name: "Node",
  Server,
  Client,
  ClientPool,
  runtime: nodeRuntime,
  capabilities: { destroyResets: false },
});
