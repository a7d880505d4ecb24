import { Client, ClientPool, denoRuntime, Server } from "@netconduit/deno";
import { describeWire } from "../../../conformance/wire/wire.suite.ts";

describeWire({
  name: "Deno",
  Server,
  Client,
  ClientPool,
  runtime: denoRuntime,
  capabilities: { destroyResets: false },
});
