import { expect, test } from "vitest";
import { findNatsServer } from "../../../scripts/lib/nats-server.ts";
import { NatsServer } from "./nats-server.ts";

test("reports why nats-server didn't start, and ends it on close", { timeout: 60_000 }, async ({ skip }) => {
  const isRequired = process.env["NETCONDUIT_NATS"] === "required";
  if ((await findNatsServer()) === null && !isRequired) skip("nats-server is not installed");
  const limits = { tls: null, maxConnections: 4 };
  await expect(NatsServer.start({ ...limits, maxPayloadBytes: 2 ** 40 })).rejects.toThrow(/did not start:\n.+/);

  const server = await NatsServer.start({ ...limits, maxPayloadBytes: 1024 });
  expect(await server.connectionCount()).toBe(0);
  await server.close();
  expect(() => process.kill(server.processId, 0)).toThrow("ESRCH");
  await expect(server.connectionCount()).rejects.toThrow();
});
