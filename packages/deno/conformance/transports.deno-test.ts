import { Client, Server } from "@netconduit/deno";
import { describeTransports } from "../../../conformance/transports/transports.suite.ts";

describeTransports({
  name: "Deno",
  server: (options) => new Server(options),
  client: (options) => new Client(options),
  capabilities: { tlsProtocol: false, clientCertificates: false, setTls: false },
});
