import { Client, nodeRuntime, Server } from "@netconduit/node";
import { describeBehaviour } from "./suites.ts";

describeBehaviour({
  name: "Node",
  Server,
  Client,
  runtime: nodeRuntime,
  // Node 22 reports a reset that meets unread data as a plain end.
  capabilities: { destroyResets: Number.parseInt(process.versions.node, 10) >= 24 },
});
