import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { findNatsServer, NatsServer } from "./nats-server.ts";

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), "find-nats-"));
  onTestFinished(() => rm(made, { recursive: true, force: true }));
  return made;
}

test("finds an executable nats-server in the first folder that has one", async () => {
  const [empty, full] = [await folder(), await folder()];
  const program = join(full, "nats-server");
  expect(findNatsServer([empty, full])).toBeNull();
  await writeFile(program, "");
  expect(findNatsServer([empty, full])).toBeNull();
  await chmod(program, 0o700);
  expect(findNatsServer([empty, full])).toBe(program);
});

test("reports why nats-server didn't start, and ends it on close", { timeout: 60_000 }, async ({ skip }) => {
  if (findNatsServer() === null) skip("nats-server is not installed");
  const limits = { tls: null, maxConnections: 4 };
  await expect(NatsServer.start({ ...limits, maxPayloadBytes: 2 ** 40 })).rejects.toThrow(/did not start:\n.+/);

  const server = await NatsServer.start({ ...limits, maxPayloadBytes: 1024 });
  expect(await server.connectionCount()).toBe(0);
  await server.close();
  expect(() => process.kill(server.processId, 0)).toThrow("ESRCH");
  await expect(server.connectionCount()).rejects.toThrow();
});
