import { describeTransports } from "../../../conformance/transports/transports.suite.ts";
import { Client, Server } from "../src/index.ts";

describeTransports({
  name: "Bun",
  server: (options) => new Server(options),
  client: (options) => new Client(options),
  capabilities: { tlsProtocol: true, clientCertificates: true, setTls: false },
});
