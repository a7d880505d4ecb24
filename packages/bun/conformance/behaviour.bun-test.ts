import { describeBehaviour } from "../../../conformance/behaviour/suites.ts";
import { bunRuntime, Client, ClientPool, fileStore, Server } from "../src/index.ts";

describeBehaviour({
  name: "Bun",
  Server,
  Client,
  ClientPool,
  fileStore,
  runtime: bunRuntime,
  capabilities: { destroyResets: true },
});
