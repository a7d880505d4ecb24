import { Client, Server } from "@netconduit/node";
import { describeTransports } from "./transports.suite.ts";

describeTransports({
  name: "Node",
  server: (options) => new Server(options),
  client: (options) => new Client(options),
  capabilities: { tlsProtocol: true, clientCertificates: true, setTls: true },
});
