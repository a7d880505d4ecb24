import { Client, ClientPool, denoRuntime, fileStore, Server } from "@netconduit/deno";
import { describeBehaviour } from "../../../conformance/behaviour/suites.ts";

describeBehaviour({
  name: "Deno",
  Server,
  Client,
  ClientPool,
  fileStore,
  runtime: denoRuntime,
  capabilities: { destroyResets: false },
});
