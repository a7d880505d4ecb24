import { describeWire } from "../../../conformance/wire/wire.suite.ts";
import { bunRuntime, Client, ClientPool, fileStore, Server } from "../src/index.ts";

const subject = {
  name: "Bun",
  Server,
  Client,
  ClientPool,
  fileStore,
  runtime: bunRuntime,
  capabilities: { destroyResets: true },
};

describeWire(subject, { clientCertificates: true });
