import { Client, ClientPool, denoRuntime, fileStore, Server } from "@netconduit/deno";
import { describeNats } from "../../../conformance/nats/suites.ts";

await describeNats({
  name: "Deno",
  Server,
  Client,
  ClientPool,
  fileStore,
  runtime: denoRuntime,
  capabilities: { destroyResets: false },
});
