import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { memoryStore } from "../store/memory-store.ts";
import type { Store } from "../store/store.ts";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { mortalStore } from "../test-support/mortal-store.ts";
import { outage } from "../test-support/outage.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";

const STORED = { ack: { stored: true } } as const;
const RECONNECT = { delayMs: 10, maxDelayMs: 10, jitter: false };
/** Time after which a client has reconnected. */
const BACK_MS = 1000;

/** Starts a server with a store, and a client whose handlers are completed by the test. */
async function scene(resume: { maxBytes?: number } = {}) {
  const runtime = fakeRuntime();
  const store: Store = memoryStore({ now: () => runtime.wallClock() });
  let view = mortalStore(store);
  /** Number of logins whose answers are lost with the streams. */
  let lostAnswers = 0;
  let isLost = false;
  const connectionData = (): Record<string, unknown> => {
    isLost = lostAnswers > 0;
    if (isLost) {
      lostAnswers -= 1;
      runtime.pairs.at(-1)?.dialled.destroy(null);
    }
    return {};
  };
  const options = { resume: { windowMs: 60_000, ...resume }, closeTimeoutMs: 100, connectionData };
  let hasHook = false;
  const begin = () =>
    testServer(runtime, { ...options, resume: { ...options.resume, store: view } }, (server) => {
      if (hasHook) server.onClientConnect(() => (isLost ? new Promise(() => undefined) : undefined));
    });
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
      const connection = current.server.connections.at(-1);
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
    loseAnswers: (count: number) => {
      lostAnswers = count;
    },
    /** Later servers have a connect hook. */
    addHook: () => {
      hasHook = true;
    },
    /** Ends the server's process as by `kill -9` and starts another. @param prepare changes its view of the store */
    async restart(prepare: () => void = () => undefined): Promise<void> {
      view.isDead = true;
      for (const { accepted } of runtime.pairs) accepted.destroy(null);
      const stopped = current.server.stop({ drainMs: 0 });
      await runtime.advance(200);
      await stopped;
      view = mortalStore(store);
      prepare();
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

test("The next process delivers what the previous one had stored, in order, once for each key", async () => {
  const { runtime, connection, handled, cut, restart, stored } = await scene();
  cut();
  for (const n of [1, 2, 3]) await connection.send("n", n, STORED);
  expect(handled).toEqual([]);
  await restart();
  expect(handled).toEqual([1, 2, 3]);
  await runtime.settle();
  expect(await stored()).toEqual([]);
});

test("Their order is that of sending, also if the system's clock is set back", async () => {
  const bench = await scene();
  const { runtime, handled, stored } = bench;
  const wallClock = runtime.wallClock.bind(runtime);
  const setBack = (seconds: number): void => {
    runtime.wallClock = () => wallClock() - seconds * 1000;
  };
  const { connection } = bench;
  bench.cut();
  for (const n of [1, 2, 3]) {
    setBack(n);
    await connection.send("n", n, STORED);
  }
  await bench.restart();
  expect(handled).toEqual([1, 2, 3]);
  bench.hold();
  await bench.connection.send("n", 4, STORED);
  const [fourth] = await stored();
  await bench.restart();
  setBack(10);
  await bench.connection.send("n", 5, STORED);
  expect((await stored()).indexOf(String(fourth))).toBe(0);
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

test("A message that was handled while the store failed is removed from it later", async () => {
  const all = await scene();
  all.view.failing.add("delete");
  for (const n of [1, 2]) await all.connection.send("n", n, STORED);
  await all.runtime.advance(5000);
  expect([all.handled, await all.stored()]).toEqual([
    [1, 2],
    [expect.any(String), expect.any(String)],
  ]);
  all.view.failing.delete("delete");
  await all.runtime.advance(1500);
  expect(await all.stored()).toEqual([]);
  // Longer than the client remembers the keys.
  await all.runtime.advance(180_000);
  await all.restart();
  expect(all.handled).toEqual([1, 2]);
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

test.each([false, true])(
  "A client that doesn't get the answer to its login comes again for them (hooks: %s)",
  async (hooks) => {
    const all = await scene();
    const { runtime, connection, handled, stored } = all;
    all.cut();
    for (const n of [1, 2, 3]) await connection.send("n", n, STORED);
    if (hooks) all.addHook();
    all.loseAnswers(3);
    await all.restart();
    expect(handled).toEqual([1, 2, 3]);
    await all.connection.send("n", 4, STORED);
    await runtime.advance(61_000);
    expect(handled).toEqual([1, 2, 3, 4]);
    expect([await stored(), all.errors]).toEqual([[], []]);
  },
);

test("Messages continue to a third process", async () => {
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

test("A server that stops reports stored messages of connected clients, whose sessions end, and removes them", async () => {
  const all = await scene();
  const { errors } = all;
  all.hold();
  await all.connection.send("n", 1, STORED);
  await all.runtime.settle();
  const stopped = all.stop();
  await all.runtime.advance(200);
  await stopped;
  expect(errors.map(({ code }) => code)).toContain(ErrorCode.NOT_DELIVERED);
  expect(await all.stored()).toEqual([]);
  all.release();
  await all.start();
  expect([all.handled, all.client.isConnected]).toEqual([[1], true]);
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

test("A message that is refused because the store didn't answer well isn't delivered by the next process", async () => {
  const all = await scene();
  await all.connection.send("n", 0, STORED);
  const { put } = all.view;
  all.view.put = async (key, value, ttlMs) => {
    await put(key, value, ttlMs);
    if (key.startsWith("outbox/")) throw new Error("Connection reset");
  };
  all.cut();
  await expect(all.connection.send("n", 1, STORED)).rejects.toMatchObject({ code: ErrorCode.STORE_FAILED });
  await all.restart();
  expect(all.handled).toEqual([0]);
  expect(await all.stored()).toEqual([]);
});

test("A signal gives a message up until the store has it", async () => {
  const all = await scene();
  await all.connection.send("n", 0, STORED);
  await all.runtime.settle();
  const controller = new AbortController();
  const { signal } = controller;
  const sent = outcome(all.connection.send("n", 1, { ack: { stored: true, signal } }));
  controller.abort();
  await all.runtime.settle();
  expect(sent.error?.code).toBe(ErrorCode.CANCELLED);
  const late = all.connection.send("n", 2, { ack: { stored: true, signal } });
  await expect(late).rejects.toMatchObject({ code: ErrorCode.CANCELLED });
  await all.runtime.settle();
  expect(all.handled).toEqual([0]);
  expect(await all.stored()).toEqual([]);
});

/** Makes reads of stored messages wait for `open`. */
function holdReads(all: Awaited<ReturnType<typeof scene>>) {
  const reading = gate();
  const { get } = all.view;
  all.view.get = async (key) => {
    if (key.startsWith("outbox/")) await reading.promise;
    return get(key);
  };
  return reading;
}

test("Messages of a former process are reported and removed if the session ends while they are read", async () => {
  const all = await scene();
  all.cut();
  for (const n of [1, 2, 3]) await all.connection.send("n", n, STORED);
  let reading = gate();
  await all.restart(() => {
    reading = holdReads(all);
  });
  expect(all.handled).toEqual([]);
  await all.client.close();
  await all.runtime.advance(100);
  reading.open();
  await all.runtime.settle();
  expect(all.errors).toContainEqual(expect.objectContaining({ code: ErrorCode.NOT_DELIVERED }));
  expect(await all.stored()).toEqual([]);
  expect(all.handled).toEqual([]);
});

test("Messages of a former process stay in the store if the server stops while they are read and the client is away", async () => {
  const all = await scene();
  all.cut();
  await all.connection.send("n", 1, STORED);
  let reading = gate();
  await all.restart(() => {
    reading = holdReads(all);
  });
  all.cut();
  await all.runtime.settle();
  const stopped = all.stop();
  reading.open();
  await all.runtime.advance(200);
  await stopped;
  expect([all.handled, await all.stored()]).toEqual([[], [expect.any(String)]]);
  await all.start();
  expect(all.handled).toEqual([1]);
});

test("Messages of a former process are delivered later if the store can't be read at first", async () => {
  const all = await scene();
  all.cut();
  for (const n of [1, 2]) await all.connection.send("n", n, STORED);
  await all.restart(() => {
    const { get } = all.view;
    let reads = 0;
    all.view.get = async (key) => {
      if (key.startsWith("outbox/")) reads += 1;
      if (reads === 2) throw new Error("Connection reset");
      return get(key);
    };
  });
  await all.runtime.advance(2000);
  expect(all.handled).toEqual([1, 2]);
  expect(await all.stored()).toEqual([]);
});

test("A message of a former process that can't be read is reported, and those behind it are delivered", async () => {
  const all = await scene();
  all.cut();
  for (const n of [1, 2, 3]) await all.connection.send("n", n, STORED);
  const [, broken] = await all.stored();
  await all.view.put(broken ?? "", new Uint8Array([0xc1]), 60_000);
  await all.restart();
  expect(all.handled).toEqual([1, 3]);
  await all.runtime.advance(5000);
  expect(all.errors.map(({ code, message }) => [code, message])).toEqual([
    [ErrorCode.STORE_FAILED, "A stored message can't be read"],
  ]);
  expect(await all.stored()).toEqual([broken]);
});

test("A message of a former process that is gone when it is read is left out", async () => {
  const all = await scene();
  all.cut();
  for (const n of [1, 2]) await all.connection.send("n", n, STORED);
  const [first] = await all.stored();
  await all.restart(() => {
    const { get } = all.view;
    all.view.get = async (key) => (key === first ? null : get(key));
  });
  expect([all.handled, all.errors]).toEqual([[2], []]);
});

test("A stored message that the client has no handler for is reported, and removed", async () => {
  const all = await scene();
  await all.connection.send("nobody", 1, STORED);
  await all.runtime.advance(100);
  expect(all.errors).toContainEqual(
    expect.objectContaining({
      code: ErrorCode.NOT_DELIVERED,
      message: expect.stringContaining("A stored message 'nobody' was not delivered"),
      stage: "send",
      name: "nobody",
    }),
  );
  expect(await all.stored()).toEqual([]);
});

test("A message that is being stored when the session ends rejects, and isn't reported as well", async () => {
  const all = await scene();
  await all.connection.send("n", 0, STORED);
  await all.runtime.settle();
  const writing = gate();
  const { put } = all.view;
  all.view.put = async (key, value, ttlMs) => {
    if (key.startsWith("outbox/")) await writing.promise;
    await put(key, value, ttlMs);
  };
  const sent = outcome(all.connection.send("n", 1, STORED));
  await all.runtime.settle();
  await all.client.close();
  await all.runtime.advance(200);
  writing.open();
  await all.runtime.settle();
  expect(sent.error?.code).toBe(ErrorCode.CONNECTION_CLOSED);
  expect(all.errors).toEqual([]);
  expect(await all.stored()).toEqual([]);
});

describe("a session that continues at another server, while the former one still has it", () => {
  async function sharing(runtime: FakeRuntime, store: Store, port: number) {
    const view = Object.assign(mortalStore(store), { isShared: true });
    const { server, errors } = await testServer(runtime, { port, resume: { store: view, windowMs: 60_000 } });
    return { server, view, undelivered: () => errors.filter(({ code }) => code === ErrorCode.NOT_DELIVERED) };
  }
  type Sharing = Awaited<ReturnType<typeof sharing>>;

  /**
   * Moves a client from one server to another with the same store, after the first server has stored a message.
   * @param coming called before the client connects to the next server
   */
  async function moved(coming: (former: Sharing, next: Sharing) => unknown = () => undefined) {
    const runtime = fakeRuntime();
    const store = memoryStore({ now: () => runtime.wallClock() });
    const [former, next] = [await sharing(runtime, store, 8080), await sharing(runtime, store, 8081)];
    const { client } = testClient(runtime, { resume: true, reconnect: RECONNECT });
    const handled: unknown[] = [];
    const handling = gate();
    client.on("n", async (n) => {
      handled.push(n);
      await handling.promise;
    });
    await client.connect();
    await runtime.settle();
    const [connection] = former.server.connections;
    runtime.dialBehaviours.push(({ target, signal }) => runtime.connect({ ...target, port: 8081 }, signal));
    runtime.pairs.at(-1)?.accepted.destroy(null);
    await connection?.send("n", 1, STORED);
    coming(former, next);
    await runtime.advance(BACK_MS);
    expect(handled[0]).toBe(1);
    return { runtime, client, connection, former, next, handled, handling, stored: () => store.keys("outbox/", 100) };
  }

  const WINDOW_MS = 61_000;

  test("keeps its messages: the former server neither removes nor reports them", async () => {
    const { runtime, former, next, handling, stored } = await moved();
    await runtime.advance(WINDOW_MS);
    expect(former.server.connectionCount).toBe(0);
    expect([former.undelivered(), await stored()]).toEqual([[], [expect.any(String)]]);
    handling.open();
    await runtime.settle();
    expect([next.undelivered(), await stored()]).toEqual([[], []]);
  });

  test("reports none that was delivered", async () => {
    const { runtime, former, handling } = await moved();
    handling.open();
    await runtime.advance(WINDOW_MS);
    expect(former.undelivered()).toEqual([]);
  });

  test("reports those that the former server has stored since then, as the next one doesn't know them", async () => {
    const { runtime, connection, former, stored } = await moved();
    await connection?.send("late", 2, STORED);
    await runtime.advance(WINDOW_MS);
    expect(former.undelivered().map(({ message }) => message)).toEqual([
      "Not delivered, because the session has ended: 1 stored message ('late')",
    ]);
    expect(await stored()).toHaveLength(1);
  });

  test("reports those, too, if the former server stops before its window is over", async () => {
    const { runtime, connection, former, stored } = await moved();
    await connection?.send("late", 2, STORED);
    const stopped = former.server.stop({ drainMs: 0 });
    await runtime.advance(1000);
    await stopped;
    expect(former.undelivered().map(({ message }) => message)).toEqual([
      "Not delivered, because the session has ended: 1 stored message ('late')",
    ]);
    expect(await stored()).toHaveLength(1);
  });

  test("has none that is still being stored when the former server stops: its sender is told", async () => {
    const { runtime, connection, former, stored } = await moved();
    const writing = gate();
    const { put } = former.view;
    former.view.put = async (key, value, ttlMs) => {
      if (key.startsWith("outbox/")) await writing.promise;
      await put(key, value, ttlMs);
    };
    const sent = outcome(connection?.send("late", 2, STORED) ?? Promise.resolve());
    const stopped = former.server.stop({ drainMs: 0 });
    await runtime.settle();
    writing.open();
    await runtime.advance(1000);
    await stopped;
    expect([sent.error?.code, await stored()]).toEqual([ErrorCode.CONNECTION_CLOSED, [expect.any(String)]]);
  });

  test("gets those that the former server has stored while the next one looked for them", async () => {
    const { runtime, former, handled, handling, stored } = await moved(({ server }, { view }) => {
      const [connection] = server.connections;
      const { keys } = view;
      view.keys = async (prefix, limit) => {
        const found = await keys(prefix, limit);
        view.keys = keys;
        await connection?.send("n", 2, STORED);
        return found;
      };
    });
    handling.open();
    const stopped = former.server.stop({ drainMs: 0 });
    await runtime.advance(1000);
    await stopped;
    expect([handled, former.undelivered(), await stored()]).toEqual([[1, 2], [], []]);
  });

  test("reports those that it has taken over if it ends for good", async () => {
    const { runtime, client, next, stored } = await moved();
    await client.close();
    await runtime.advance(100);
    expect(next.undelivered()).toHaveLength(1);
    expect(await stored()).toEqual([]);
  });

  test("is reported by the former server, if the store can't be asked", async () => {
    const { runtime, former } = await moved();
    former.view.failing.add("get");
    await runtime.advance(WINDOW_MS);
    expect(former.undelivered()).toHaveLength(1);
  });
});

test("At most 10,000 messages wait for one client, as many as the next process looks up", async () => {
  const all = await scene({ maxBytes: 64 * 1024 * 1024 });
  const { connection } = all;
  all.cut();
  for (let n = 0; n < 10_000; n += 1) await connection.send("n", n, STORED);
  await expect(connection.send("n", 0, STORED)).rejects.toMatchObject({ code: ErrorCode.SEND_QUEUE_FULL });
});

test("A stored message isn't given up while the client's session waits, though that takes longer than ten attempts", async () => {
  const runtime = fakeRuntime();
  const windowMs = 1_200_000;
  const { server, errors } = await testServer(runtime, { resume: { store: memoryStore(), windowMs } });
  const { client } = testClient(runtime, { resume: true, reconnect: { ...RECONNECT, delayMs: 500, maxDelayMs: 500 } });
  const handled: unknown[] = [];
  client.on("n", (n) => void handled.push(n));
  await client.connect();
  const endOutage = outage(runtime);
  runtime.pairs.at(-1)?.accepted.destroy(null);
  await runtime.settle();
  await server.connections[0]?.send("n", 1, STORED);
  await runtime.advance(windowMs / 2);
  endOutage();
  await runtime.advance(BACK_MS);
  expect([errors, handled]).toEqual([[], [1]]);
});

test("Stored messages wait for a client that takes few at a time, more than the send queue holds", async () => {
  const runtime = fakeRuntime();
  const store = memoryStore({ now: () => runtime.wallClock() });
  const { server, errors } = await testServer(runtime, { sendQueueSize: 2, resume: { store } });
  const { client } = testClient(runtime, { handlerConcurrency: 1, receiveQueueSize: 1, resume: true });
  const open = gate();
  const handled: number[] = [];
  client.on("n", async (n) => {
    await open.promise;
    handled.push(n as number);
  });
  await client.connect();
  const all = Array.from({ length: 10 }, (_, n) => n);
  for (const n of all) await server.connections[0]?.send("n", n, STORED);
  await runtime.advance(150_000);
  open.open();
  await runtime.advance(60_000);
  const inOrder = handled.sort((a, b) => a - b);
  expect([inOrder, errors, await store.keys("outbox/", 100)]).toEqual([all, [], []]);
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

test("A stored message has the data of the time at which it was sent: later changes aren't sent", async () => {
  const { runtime, connection, handled } = await scene();
  const data = { n: 1 };
  const sent = connection.send("n", data, STORED);
  data.n = 2;
  await sent;
  await runtime.settle();
  expect(handled).toEqual([{ n: 1 }]);
});

test.each([{ timeoutMs: -1 }, { signal: {} as AbortSignal }])(
  "It rejects if an option is invalid, before anything is stored: %j",
  async (option) => {
    const { connection, stored } = await scene();
    const sent = connection.send("n", 1, { ack: { stored: true, ...option } });
    await expect(sent).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
    expect(await stored()).toEqual([]);
  },
);
