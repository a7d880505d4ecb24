import { Client, Server } from "@netconduit/node";
import { expect, onTestFinished, test } from "vitest";

test("before the first heartbeat neither end knows a latency", async () => {
  const server = new Server({ host: "127.0.0.1", port: 0, password: "secret" });
  await server.start();
  onTestFinished(() => server.stop({ drainMs: 0 }));
  const client = new Client({ host: "127.0.0.1", port: server.address.port, password: "secret" });
  onTestFinished(() => client.disconnect());
  await client.connect();
  expect(client.latencyMs).toBeNull();
  expect(server.connections[0]?.latencyMs).toBeNull();
});
