import { Client, denoRuntime, Server } from "@netconduit/deno";
import { describeBehaviour } from "../../../conformance/behaviour/suites.ts";

describeBehaviour({
  name: "Deno",
  Server,
  Client,
  runtime: denoRuntime,
  capabilities: { destroyResets: false },
});
