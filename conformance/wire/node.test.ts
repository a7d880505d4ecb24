import { Client, ClientPool, fileStore, nodeRuntime, Server } from "@netconduit/node";
import { describeWire } from "./wire.suite.ts";

const subject = {
  name: "Node",
  Server,
  Client,
  ClientPool,
  fileStore,
  runtime: nodeRuntime,
  capabilities: { destroyResets: false },
};

describeWire(subject, { clientCertificates: true });
