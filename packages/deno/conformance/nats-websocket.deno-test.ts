import { Client, ClientPool, denoRuntime, fileStore, Server } from "@netconduit/deno";
import { describeNatsByWebSockets } from "../../../conformance/nats/websocket.suite.ts";

await describeNatsByWebSockets({
  name: "Deno",
  Server,
  Client,
  ClientPool,
  fileStore,
  runtime: denoRuntime,
  capabilities: { destroyResets: false },
});
