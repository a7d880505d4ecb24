import { Client, ClientPool, denoRuntime, fileStore, Server } from "@netconduit/deno";
import { describeWire } from "../../../conformance/wire/wire.suite.ts";

const subject = {
  name: "Deno",
  Server,
  Client,
  ClientPool,
  fileStore,
  runtime: denoRuntime,
  capabilities: { destroyResets: false },
};

describeWire(subject, { clientCertificates: false });
