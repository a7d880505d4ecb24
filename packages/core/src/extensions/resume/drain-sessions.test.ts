import { expect, test } from "vitest";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { gate } from "../../test-support/gate.ts";
import { outcome, testClient, testServer } from "../../test-support/peers.ts";

const RECONNECT = { delayMs: 10, maxDelayMs: 10, jitter: false };

async function scene() {
  const runtime = fakeRuntime();
  const { server } = await testServer(runtime, { resume: true });
  const { client } = testClient(runtime, { resume: true, reconnect: RECONNECT });
  await client.connect();
  const cut = (): void => {
    runtime.pairs.at(-1)?.accepted.destroy(null);
  };
  return { runtime, server, client, cut };
}

test("a stopping server loses no data of clients that are cut: they resume and get their answers", async () => {
  const { runtime, server, client, cut } = await scene();
  const open = gate();
  const got: unknown[] = [];
  server.on("n", (_client, n) => void got.push(n));
  server.rpc("slow", async () => {
    await open.promise;
    return "done";
  });
  const call = outcome(client.call("slow", {}, { timeoutMs: 0 }));
  await runtime.settle();
  for (let n = 0; n < 5; n += 1) client.send("n", n);
  cut();
  client.send("n", 5);
  const stopped = outcome(server.stop({ drainMs: 10_000 }));
  await runtime.advance(100);
  open.open();
  await runtime.settle();
  cut();
  await runtime.advance(1000);
  expect(call).toMatchObject({ state: "resolved", value: "done" });
  expect(got).toEqual([0, 1, 2, 3, 4, 5]);
  expect(stopped.state).toBe("resolved");
});

test("a server that stops has clients receive what it sent, also if they are cut before they had it", async () => {
  const { runtime, server, client, cut } = await scene();
  const got: unknown[] = [];
  client.on("n", (n) => void got.push(n));
  cut();
  await runtime.settle();
  for (let n = 0; n < 5; n += 1) server.connections[0]?.send("n", n);
  const stopped = outcome(server.stop({ drainMs: 10_000 }));
  await runtime.advance(1000);
  expect(got).toEqual([0, 1, 2, 3, 4]);
  expect(stopped.state).toBe("resolved");
});

test("a server stops within drainMs although a client with pending answers is disconnected", async () => {
  const runtime = fakeRuntime();
  const { server } = await testServer(runtime, { resume: true });
  const { client } = testClient(runtime, {
    resume: true,
    reconnect: { delayMs: 60_000, maxDelayMs: 60_000, jitter: false },
  });
  await client.connect();
  const reasons: unknown[] = [];
  server.onClientDisconnect((_connection, { codeName, lost }) => void reasons.push([codeName, lost]));
  runtime.pairs.at(-1)?.accepted.destroy(null);
  await runtime.settle();
  server.connections[0]?.send("n", 1);
  const stopped = outcome(server.stop({ drainMs: 2000 }));
  await runtime.advance(1900);
  expect(stopped.state).toBe("pending");
  await runtime.advance(200);
  expect(stopped.state).toBe("resolved");
  expect(reasons).toEqual([["SERVER_STOPPING", 1]]);
});

test("a server that stops doesn't wait for a client that is away if it has nothing for it", async () => {
  const runtime = fakeRuntime();
  const { server } = await testServer(runtime, { resume: true });
  const { client } = testClient(runtime, {
    resume: true,
    reconnect: { delayMs: 60_000, maxDelayMs: 60_000, jitter: false },
  });
  await client.connect();
  runtime.pairs.at(-1)?.accepted.destroy(null);
  await runtime.settle();
  const stopped = outcome(server.stop({ drainMs: 2000 }));
  await runtime.settle();
  expect(stopped.state).toBe("resolved");
});

test("a server that stops refuses new clients, although it may still be reached", async () => {
  const { runtime, server, client } = await scene();
  const open = gate();
  server.rpc("slow", () => open.promise);
  const call = outcome(client.call("slow", {}, { timeoutMs: 0 }));
  await runtime.settle();
  const stopped = outcome(server.stop({ drainMs: 10_000 }));
  await runtime.settle();
  const { client: late } = testClient(runtime, { reconnect: { enabled: false } });
  const connecting = outcome(late.connect());
  await runtime.settle();
  expect(connecting.error?.codeName).toBe("SERVER_STOPPING");
  open.open();
  await runtime.advance(1000);
  expect([call.state, stopped.state]).toEqual(["resolved", "resolved"]);
});

test("messages that a stopping server hasn't accepted are sent to the next one", async () => {
  const { runtime, server, client } = await scene();
  const handled: unknown[] = [];
  const open = gate();
  server.on("n", async (_client, n) => {
    handled.push(n);
    await open.promise;
  });
  const { handlerConcurrency } = server.config;
  const count = handlerConcurrency + 10;
  for (let n = 0; n < count; n += 1) client.send("n", n);
  await runtime.settle();
  expect(handled).toHaveLength(handlerConcurrency);
  await server.stop({ drainMs: 0 });
  const { server: next } = await testServer(runtime, { resume: true });
  const again: unknown[] = [];
  next.on("n", (_client, n) => void again.push(n));
  await runtime.advance(1000);
  expect([...handled, ...again]).toEqual(Array.from({ length: count }, (_, n) => n));
});
