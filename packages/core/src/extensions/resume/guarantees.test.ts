import { expect, test } from "vitest";
import { ErrorCode } from "../../errors.ts";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { outcome, testClient, testServer } from "../../test-support/peers.ts";

test("without anything, messages start in order, and none twice", async () => {
  const runtime = fakeRuntime({ maxChunkBytes: 100 });
  const started: unknown[] = [];
  await testServer(runtime, {}, (server) => {
    server.on("n", async (_client, n) => void started.push(n));
    server.rpc("n", (params) => void started.push(params["n"]));
  });
  const { client } = testClient(runtime);
  await client.connect();
  const all = Array.from({ length: 200 }, (_, n) => n);
  for (const n of all) {
    if (n % 3 === 0) client.callNoWait("n", { n });
    else client.send("n", n);
  }
  await runtime.settle();
  expect(started).toEqual(all);
});

test("without anything, a lost stream rejects calls, and messages may be lost", async () => {
  const runtime = fakeRuntime();
  let started = 0;
  const { server } = await testServer(runtime, {});
  server.on("n", () => {
    started += 1;
  });
  server.rpc("slow", () => new Promise(() => undefined));
  const { client } = testClient(runtime);
  await client.connect();
  const call = outcome(client.call("slow"));
  await runtime.settle();
  client.send("n");
  runtime.pairs.at(-1)?.dialled.destroy(null);
  await runtime.settle();
  expect(call.error?.code).toBe(ErrorCode.CONNECTION_CLOSED);
  expect(started).toBe(0);
});
