import { Client, nodeRuntime, Server } from "@netconduit/node";
import { describeBehaviour } from "./suites.ts";

describeBehaviour({
  name: "Node",
  Server,
  Client,
  runtime: nodeRuntime,
  capabilities: { destroyResets: true },
});
