import { expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { memoryStore } from "../store/memory-store.ts";
import type { Store } from "../store/store.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { mortalStore } from "../test-support/mortal-store.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";

const STORED = { ack: { stored: true } } as const;
const RECONNECT = { delayMs: 10, maxDelayMs: 10, jitter: false };
/** A client is connected again by then. */
const BACK_MS = 1000;

/** A server with a store, and a client whose handlers end when the test says so. */
async function scene(resume: { maxBytes?: number } = {}) {
  const runtime = fakeRuntime();
  const store: Store = memoryStore({ now: () => runtime.wallClock() });
  let view = mortalStore(store);
  const begin = () =>
    testServer(runtime, { resume: { store: view, windowMs: 60_000, ...resume }, closeTimeoutMs: 100 });
  let current = await begin();
  const { client } = testClient(runtime, { resume: true, reconnect: RECONNECT });
  const handled: unknown[] = [];
  const held: (() => void)[] = [];
  let isHolding = false;
  client.on("n", async (n) => {
    handled.push(n);
    if (isHolding) await new Promise<void>((resolve) => held.push(resolve));
  });
  await client.connect();
  await runtime.settle();
  return {
    runtime,
    client,
    handled,
    stored: () => store.keys("outbox/", 100),
    get view() {
      return view;
    },
    get errors() {
      return current.errors;
    },
    get connection() {
      const [connection] = current.server.connections;
      if (connection === undefined) throw new Error("Nobody is connected");
      return connection;
    },
    hold: () => {
      isHolding = true;
    },
    release: () => {
      isHolding = false;
      for (const resolve of held.splice(0)) resolve();
    },
    cut: () => runtime.pairs.at(-1)?.accepted.destroy(null),
    /** The process of the server ends as by `kill -9`, and another begins. */
    async restart(): Promise<void> {
      view.isDead = true;
      for (const { accepted } of runtime.pairs) accepted.destroy(null);
      const stopped = current.server.stop({ drainMs: 0 });
      await runtime.advance(200);
      await stopped;
      view = mortalStore(store);
      current = await begin();
      await runtime.advance(BACK_MS);
    },
    stop: () => current.server.stop({ drainMs: 0 }),
    start: async () => {
      current = await begin();
      await runtime.advance(BACK_MS);
    },
  };
}

test("A stored message is acknowledged when the store has it, and leaves the store when it was handled", async () => {
  const { runtime, connection, handled, hold, release, stored } = await scene();
  hold();
  await connection.send("n", 1, STORED);
  await runtime.settle();
  expect(handled).toEqual([1]);
  expect(await stored()).toHaveLength(1);
  release();
  await runtime.settle();
  expect(await stored()).toEqual([]);
});

test("The next process delivers what the former one had stored, in order, once for each key", async () => {
  const { runtime, connection, handled, cut, restart, stored } = await scene();
  cut();
  for (const n of [1, 2, 3]) await connection.send("n", n, STORED);
  expect(handled).toEqual([]);
  await restart();
  expect(handled).toEqual([1, 2, 3]);
  await runtime.settle();
  expect(await stored()).toEqual([]);
});

test("A message that was handled isn't handled again, though the former process couldn't remove it", async () => {
  const all = await scene();
  all.view.failing.add("delete");
  await all.connection.send("n", 1, STORED);
  await all.runtime.settle();
  expect(await all.stored()).toHaveLength(1);
  await all.restart();
  expect(all.handled).toEqual([1]);
  expect(await all.stored()).toEqual([]);
});

test("A message whose handler runs comes again with its key, and isn't handled twice", async () => {
  const all = await scene();
  all.hold();
  await all.connection.send("n", 1, STORED);
  await all.runtime.settle();
  expect(all.handled).toEqual([1]);
  await all.restart();
  all.release();
  await all.runtime.settle();
  expect(all.handled).toEqual([1]);
  expect(await all.stored()).toEqual([]);
});

test("Messages go on to a third process", async () => {
  const all = await scene();
  all.hold();
  await all.connection.send("n", 1, STORED);
  await all.restart();
  await all.connection.send("n", 2, STORED);
  await all.restart();
  all.release();
  await all.runtime.settle();
  expect(all.handled).toEqual([1, 2]);
  expect(await all.stored()).toEqual([]);
});

test("A server that stops leaves its stored messages to the next one", async () => {
  const all = await scene();
  all.cut();
  await all.connection.send("n", 1, STORED);
  const stopped = all.stop();
  await all.runtime.advance(200);
  await stopped;
  await all.start();
  expect(all.handled).toEqual([1]);
});

test("Stored messages of a session that ends for good are reported, and removed", async () => {
  const all = await scene();
  const { connection, errors } = all;
  all.cut();
  await all.client.close();
  await connection.send("n", 1, STORED);
  await all.runtime.advance(61_000);
  expect(errors.map(({ code }) => code)).toContain(ErrorCode.NOT_DELIVERED);
  expect(await all.stored()).toEqual([]);
  await expect(connection.send("n", 2, STORED)).rejects.toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
});

test("It rejects if the store fails, and if more than maxBytes wait", async () => {
  const all = await scene({ maxBytes: 65_536 });
  await all.connection.send("n", 0, STORED);
  await all.runtime.settle();
  all.view.failing.add("put");
  await expect(all.connection.send("n", 1, STORED)).rejects.toMatchObject({ code: ErrorCode.STORE_FAILED });
  all.view.failing.delete("put");
  all.cut();
  await all.connection.send("n", "x".repeat(40_000), STORED);
  await expect(all.connection.send("n", "x".repeat(40_000), STORED)).rejects.toMatchObject({
    code: ErrorCode.SEND_QUEUE_FULL,
  });
});

test("It needs a store, a client with a session, and a server's own connection", async () => {
  const runtime = fakeRuntime();
  const plain = await testServer(runtime, { port: 8081 });
  const { client } = testClient(runtime, { port: 8081 });
  await client.connect();
  const sent = plain.server.connections[0]?.send("n", 1, STORED);
  await expect(sent).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  await expect(client.send("n", 1, STORED)).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  const store = memoryStore({ now: () => runtime.wallClock() });
  const keeping = await testServer(runtime, { port: 8082, resume: { store } });
  const other = testClient(runtime, { port: 8082 });
  await other.client.connect();
  const refused = outcome(keeping.server.connections[0]?.send("n", 1, STORED) ?? Promise.resolve());
  await runtime.settle();
  expect(refused.error?.code).toBe(ErrorCode.PEER_UNSUPPORTED);
});
