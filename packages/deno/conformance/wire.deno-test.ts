import { Client, ClientPool, denoRuntime, fileStore, Server } from "@netconduit/deno";
import { describeWire } from "../../../conformance/wire/wire.suite.ts";

describeWire({
  name: "Deno",
  Server,
  Client,
  ClientPool,
  fileStore,
  runtime: denoRuntime,
  capabilities: { destroyResets: false },
});
