import { describeBehaviour } from "../../../conformance/behaviour/suites.ts";
import { bunRuntime, Client, ClientPool, Server } from "../src/index.ts";

describeBehaviour({
  name: "Bun",
  Server,
  Client,
  ClientPool,
  runtime: bunRuntime,
  capabilities: { destroyResets: true },
});
