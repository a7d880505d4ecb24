import { describeBehaviour } from "../../../conformance/behaviour/suites.ts";
import { bunRuntime, Client, Server } from "../src/index.ts";

describeBehaviour({
  name: "Bun",
  Server,
  Client,
  runtime: bunRuntime,
  capabilities: { destroyResets: true },
});
