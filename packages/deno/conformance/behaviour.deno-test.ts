import { Client, ClientPool, denoRuntime, Server } from "@netconduit/deno";
import { describeBehaviour } from "../../../conformance/behaviour/suites.ts";

describeBehaviour({
  name: "Deno",
  Server,
  Client,
  ClientPool,
  runtime: denoRuntime,
  capabilities: { destroyResets: false },
});
