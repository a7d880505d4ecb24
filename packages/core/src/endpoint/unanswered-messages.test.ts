import { getEventListeners } from "node:events";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { ClientInit } from "../client/client.ts";
import { type ConduitError, ErrorCode } from "../errors.ts";
import type { Server } from "../server/server.ts";
import { memoryStore } from "../store/memory-store.ts";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { outage } from "../test-support/outage.ts";
import { outcome, testClient, testPool, testServer } from "../test-support/peers.ts";

const RECONNECT = { delayMs: 500, maxDelayMs: 500, jitter: false };
/** Time after which a client that has lost its stream has reconnected. */
const BACK_MS = 1000;
/** Longer than ten attempts take. */
const OUTAGE_MS = 600_000;

function cut(runtime: FakeRuntime): void {
  runtime.pairs.at(-1)?.dialled.destroy(null);
}

/** Starts a client and a server that runs one handler per connection at a time. */
async function scene(options: Partial<ClientInit> = {}, prepare: (server: Server) => void = () => undefined) {
  const runtime = fakeRuntime();
  const handled: unknown[] = [];
  const open = gate();
  const { server } = await testServer(runtime, { handlerConcurrency: 1 }, (made) => {
    made.rpc("block", () => open.promise);
    made.on("order", (_connection, data) => void handled.push(data));
    made.on("note", (_connection, data) => void handled.push(data));
    prepare(made);
  });
  const { client } = testClient(runtime, { reconnect: RECONNECT, ...options });
  await client.connect();
  return { runtime, server, client, handled, unblock: () => open.open() };
}

describe("a message with ack, while its client reconnects", () => {
  test("waits for the next login without a time limit, and uses no attempts", async () => {
    const { runtime, server, client, handled } = await scene();
    await server.stop({ drainMs: 0 });
    await runtime.settle();
    const sent = outcome(client.send("order", 1, { ack: { attempts: 1, timeoutMs: 1000 } }));
    await runtime.advance(OUTAGE_MS);
    expect([sent.state, client.isReconnecting]).toEqual(["pending", true]);
    await server.start();
    await runtime.advance(BACK_MS);
    expect([sent.state, handled]).toEqual(["resolved", [1]]);
  });

  test("is sent again after the login if the connection was lost before its answer", async () => {
    const { runtime, server, client } = await scene();
    const open = gate();
    let runs = 0;
    server.on("slow", () => {
      runs += 1;
      return open.promise;
    });
    const sent = outcome(client.send("slow", 1, { ack: { attempts: 2 } }));
    await runtime.settle();
    const endOutage = outage(runtime);
    cut(runtime);
    await runtime.advance(OUTAGE_MS);
    expect([sent.state, client.isReconnecting]).toEqual(["pending", true]);
    endOutage();
    await runtime.advance(BACK_MS);
    open.open();
    await runtime.settle();
    expect([sent.state, runs]).toEqual(["resolved", 1]);
  });

  test("is sent in the order in which it was first sent, before what is sent later", async () => {
    const { runtime, client, handled } = await scene();
    const blocked = outcome(client.call("block"));
    const first = new AbortController();
    const sent = [outcome(client.send("order", 1, { ack: { signal: first.signal } }))];
    sent.push(outcome(client.send("order", 2, { ack: true })));
    await runtime.settle();
    // Its slot in the table of calls is reused by the next call.
    first.abort();
    await runtime.settle();
    for (const n of [3, 4]) sent.push(outcome(client.send("order", n, { ack: true })));
    await runtime.settle();
    client.onConnect(() => void client.send("note", "in the hook"));
    cut(runtime);
    await runtime.settle();
    for (const n of [5, 6]) sent.push(outcome(client.send("order", n, { ack: true })));
    await runtime.advance(BACK_MS);
    expect(blocked.error?.code).toBe(ErrorCode.CONNECTION_CLOSED);
    expect(sent.map(({ state }) => state)).toEqual(["rejected", ...Array(5).fill("resolved")]);
    expect(handled).toEqual([2, 3, 4, 5, 6, "in the hook"]);
  });

  test("keeps its place among messages that wait as queueWhileDisconnected says", async () => {
    const { runtime, client, handled } = await scene({ queueWhileDisconnected: "send" });
    void outcome(client.call("block"));
    void outcome(client.send("order", 1, { ack: true }));
    await runtime.settle();
    client.onDisconnect(() => void client.send("note", 2));
    cut(runtime);
    await runtime.settle();
    void outcome(client.send("order", 3, { ack: true }));
    client.send("note", 4);
    await runtime.advance(BACK_MS);
    expect(handled).toEqual([1, 2, 3, 4]);
  });

  test("keeps its place if it waited for its next attempt, because there was no answer in time", async () => {
    const random = vi.spyOn(Math, "random").mockReturnValue(0.999);
    onTestFinished(() => random.mockRestore());
    const { runtime, client, handled } = await scene();
    void outcome(client.call("block"));
    const early = outcome(client.send("order", 1, { ack: { timeoutMs: 100, delayMs: 30_000 } }));
    const late = outcome(client.send("order", 2, { ack: true }));
    await runtime.advance(200);
    cut(runtime);
    await runtime.advance(BACK_MS);
    expect([early.state, late.state, handled]).toEqual(["resolved", "resolved", [1, 2]]);
  });

  test("waits for a connect() under way, and fails at once with that, and when the client doesn't connect", async () => {
    const runtime = fakeRuntime();
    const { client } = testClient(runtime, { reconnect: RECONNECT });
    const early = outcome(client.send("order", 1, { ack: true }));
    const refused = outcome(client.connect());
    const waiting = outcome(client.send("order", 2, { ack: true }));
    await runtime.settle();
    expect(refused.error?.code).toBe(ErrorCode.CONNECTION_REFUSED);
    const between = outcome(client.send("order", 3, { ack: true }));
    await runtime.settle();
    for (const { error } of [early, waiting, between]) {
      expect(error).toMatchObject({ code: ErrorCode.NOT_DELIVERED, details: { attempts: 0, started: false } });
    }
    const handled: unknown[] = [];
    await testServer(runtime, {}, (server) => void server.on("order", (_connection, data) => void handled.push(data)));
    const connected = client.connect();
    await client.send("order", 4, { ack: true });
    await connected;
    expect(handled).toEqual([4]);
  });

  test("outlasts a connect() that fails with queueWhileDisconnected: send", async () => {
    const runtime = fakeRuntime();
    const { client } = testClient(runtime, { queueWhileDisconnected: "send" });
    const sent = outcome(client.send("order", 1, { ack: true }));
    await expect(client.connect()).rejects.toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
    await runtime.advance(OUTAGE_MS);
    const handled: unknown[] = [];
    await testServer(runtime, {}, (server) => void server.on("order", (_connection, data) => void handled.push(data)));
    await client.connect();
    await runtime.settle();
    expect([sent.state, handled]).toEqual(["resolved", [1]]);
  });

  test("outlasts an attempt to reconnect that fails in the middle of its login", async () => {
    const { runtime, server, client, handled } = await scene();
    let logins = 0;
    server.onClientConnect(() => {
      logins += 1;
      if (logins < 3) cut(runtime);
    });
    cut(runtime);
    await runtime.settle();
    const sent = outcome(client.send("order", 1, { ack: { attempts: 1 } }));
    await runtime.advance(3000);
    expect([logins, sent.state, handled]).toEqual([3, "resolved", [1]]);
  });

  test("goes to the next server if its own is stopping", async () => {
    const { runtime, server, client, handled } = await scene();
    const blocked = outcome(client.call("block"));
    await runtime.settle();
    const stopping = server.stop({ drainMs: 5000 });
    await runtime.settle();
    expect(client.state).toBe("draining");
    const sent = [1, 2].map((n) => outcome(client.send("order", n, { ack: { attempts: 1 } })));
    await runtime.advance(6000);
    await stopping;
    await server.start();
    await runtime.advance(BACK_MS + 10_000);
    expect(blocked.state).toBe("rejected");
    expect([sent.map(({ state }) => state), handled]).toEqual([
      ["resolved", "resolved"],
      [1, 2],
    ]);
  });

  test("counts lost connections as attempts", async () => {
    const { runtime, server, client } = await scene();
    server.on("slow", () => new Promise(() => undefined));
    const sent = outcome(client.send("slow", 1, { ack: { attempts: 3 } }));
    for (let lost = 0; lost < 3; lost += 1) {
      await runtime.settle();
      expect(sent.state).toBe("pending");
      cut(runtime);
      await runtime.advance(BACK_MS);
    }
    expect(sent.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED, details: { attempts: 3 } });
    expect(sent.error).not.toHaveProperty("details.started");
  });

  test("is given up by its signal, which keeps no listener", async () => {
    const { runtime, server, client } = await scene();
    await server.stop({ drainMs: 0 });
    await runtime.settle();
    const controller = new AbortController();
    const { signal } = controller;
    const sent = outcome(client.send("order", 1, { ack: { signal } }));
    await runtime.advance(OUTAGE_MS);
    controller.abort();
    await runtime.settle();
    expect(sent.error).toMatchObject({ code: ErrorCode.CANCELLED });
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  test("is refused at once when too much waits; what was sent before isn't", async () => {
    const { runtime, client, handled } = await scene({ sendQueueSize: 3 });
    void outcome(client.call("block"));
    const states: { readonly state: string }[] = [];
    for (let n = 0; n < 5; n += 1) {
      states.push(outcome(client.send("order", n, { ack: true })));
      await runtime.settle();
    }
    cut(runtime);
    await runtime.settle();
    const refused = outcome(client.send("order", 5, { ack: true }));
    await runtime.settle();
    expect(refused.error).toMatchObject({ code: ErrorCode.SEND_QUEUE_FULL, details: { started: false } });
    await runtime.advance(BACK_MS);
    expect(handled).toEqual([0, 1, 2, 3, 4]);
    expect(states.map(({ state }) => state)).toEqual(Array(5).fill("resolved"));
  });

  test("finds room at the next server, though that takes fewer messages at once", async () => {
    const { runtime, server, client, handled } = await scene({ sendQueueSize: 2 });
    void outcome(client.call("block"));
    const all = Array.from({ length: 20 }, (_, n) => n);
    const sent = all.map((n) => outcome(client.send("order", n, { ack: { attempts: 2 } })));
    await runtime.settle();
    const endOutage = outage(runtime);
    cut(runtime);
    await server.stop({ drainMs: 0 });
    const open = gate();
    await testServer(runtime, { handlerConcurrency: 1, receiveQueueSize: 2 }, (made) => {
      made.on("order", async (_connection, data) => {
        await open.promise;
        handled.push(data);
      });
    });
    endOutage();
    await runtime.advance(BACK_MS);
    open.open();
    await runtime.advance(BACK_MS);
    expect([sent.map(({ state }) => state), handled]).toEqual([Array(20).fill("resolved"), all]);
  });

  test.each(["disconnects", "gives up"])(
    "fails immediately when the client %s, and reports whether it was started",
    async (end) => {
      const reconnect = { ...RECONNECT, attempts: 3, delayMs: 1000, maxDelayMs: 1000 };
      const { runtime, server, client } = await scene({ reconnect });
      server.on("slow", () => new Promise(() => undefined));
      const begun = outcome(client.send("slow", 1, { ack: true }));
      await runtime.settle();
      const endOutage = outage(runtime);
      cut(runtime);
      await runtime.settle();
      const unsent = outcome(client.send("order", 2, { ack: true }));
      await runtime.advance(2500);
      expect([begun.state, unsent.state]).toEqual(["pending", "pending"]);
      if (end === "disconnects") void client.disconnect();
      else await runtime.advance(1000);
      await runtime.settle();
      const late = outcome(client.send("order", 3, { ack: true }));
      await runtime.settle();
      for (const { error } of [begun, unsent, late]) expect(error).toMatchObject({ code: ErrorCode.NOT_DELIVERED });
      const details = [begun, unsent, late].map(({ error }) => (error as ConduitError).details);
      expect(details).toEqual([{ attempts: 1 }, { attempts: 0, started: false }, { attempts: 0, started: false }]);
      expect(unsent.error?.message).toMatch(/^'order' was not sent: /);
      endOutage();
    },
  );
});

describe("a message with ack that has no answer in time", () => {
  test.each([
    ["client", "in the receive queue", { receiveQueueSize: 100 }],
    ["client", "in the send queue", { receiveQueueSize: 1 }],
    ["server", "in the receive queue", { receiveQueueSize: 100 }],
    ["server", "in the send queue", { receiveQueueSize: 1 }],
  ])("of a %s keeps its place %s, among earlier and later ones", async (side, _where, queue) => {
    const runtime = fakeRuntime();
    const open = gate();
    const handled: unknown[] = [];
    const options = { handlerConcurrency: 1, ...queue };
    const { server } = await testServer(runtime, options);
    const { client } = testClient(runtime, options);
    await client.connect();
    const [connection] = server.connections;
    const sender = side === "client" ? client : connection;
    if (sender === undefined) throw new Error("Nobody is connected");
    server.rpc("block", () => open.promise);
    client.rpc("block", () => open.promise);
    server.on("order", (_connection, data) => void handled.push(data));
    client.on("order", (data) => void handled.push(data));
    void outcome(sender.call("block", {}, { timeoutMs: 0 }));
    // Each has a shorter timeout than the previous message, and a shorter delay.
    const random = vi.spyOn(Math, "random");
    onTestFinished(() => random.mockRestore());
    for (let n = 0; n < 20; n += 1) random.mockReturnValueOnce(1 - n / 20);
    const sent: ReturnType<typeof outcome>[] = [];
    for (const n of [1, 2, 3, 4, 5, 6]) {
      const ack = { timeoutMs: 2000 - 100 * n, delayMs: 1000, attempts: 100 };
      sent.push(outcome(sender.send("order", n, { ack }) as unknown as Promise<void>));
      await runtime.settle();
    }
    await runtime.advance(2500);
    open.open();
    await runtime.advance(20_000);
    expect([handled, sent.map(({ state }) => state)]).toEqual([[1, 2, 3, 4, 5, 6], Array(6).fill("resolved")]);
  });

  test("keeps its place if the connection is lost later, and the next one is slow as well", async () => {
    const { runtime, client, handled, unblock } = await scene();
    void outcome(client.call("block"));
    const ack = { timeoutMs: 100, delayMs: 300, attempts: 100 };
    const sent = [1, 2, 3, 4].map((n) => outcome(client.send("order", n, { ack })));
    await runtime.advance(500);
    client.onConnect(() => void outcome(client.call("block")));
    cut(runtime);
    await runtime.advance(BACK_MS);
    sent.push(outcome(client.send("order", 5, { ack })));
    await runtime.advance(5000);
    expect(handled).toEqual([1, 2, 3, 4]);
    unblock();
    await runtime.advance(5000);
    expect([handled, sent.map(({ state }) => state)]).toEqual([[1, 2, 3, 4, 5], Array(5).fill("resolved")]);
  });
});

describe("a message with ack, and a call with once, while the send queue is full", () => {
  test.each(["client", "server"])("of a %s is refused at once, and nothing of it is sent", async (side) => {
    const runtime = fakeRuntime();
    const open = gate();
    const small = { handlerConcurrency: 1, receiveQueueSize: 1, sendQueueSize: 2 };
    const { server } = await testServer(runtime, small);
    const { client } = testClient(runtime, small);
    await client.connect();
    const sender = side === "client" ? client : server.connections[0];
    if (sender === undefined) throw new Error("Nobody is connected");
    const handled: unknown[] = [];
    const handle = async (data: unknown): Promise<void> => {
      await open.promise;
      handled.push(data);
    };
    server.on("order", (_connection, data) => handle(data));
    client.on("order", handle);
    const accepted: ReturnType<typeof outcome>[] = [];
    let refused: ReturnType<typeof outcome> | null = null;
    for (let n = 0; refused === null; n += 1) {
      const sent = outcome(sender.send("order", n, { ack: true }) as unknown as Promise<void>);
      await runtime.settle();
      if (sent.state === "pending") accepted.push(sent);
      else refused = sent;
    }
    const call = outcome(sender.call("pay", {}, { once: "k" }));
    await runtime.settle();
    for (const { error } of [refused, call]) {
      expect(error).toMatchObject({ code: ErrorCode.SEND_QUEUE_FULL, details: { started: false } });
    }
    open.open();
    await runtime.settle();
    expect(accepted.map(({ state }) => state)).toEqual(Array(handled.length).fill("resolved"));
    expect(handled).toEqual(Array.from({ length: accepted.length }, (_, n) => n));
  });

  test("has room after the next login, as all that waited, behind what a server that was restarted gets again", async () => {
    const runtime = fakeRuntime();
    const store = memoryStore({ now: () => runtime.wallClock() });
    const handled = new Set<unknown>();
    const open = gate();
    const nextServer = (): Promise<{ server: Server }> => {
      const options = { handlerConcurrency: 1, receiveQueueSize: 4, closeTimeoutMs: 100, resume: { store } };
      return testServer(runtime, options, (made) => {
        made.on("order", async (_connection, data) => {
          await open.promise;
          handled.add(data);
        });
      });
    };
    const { server } = await nextServer();
    const { client, errors } = testClient(runtime, {
      resume: true,
      sendQueueSize: 4,
      queueWhileDisconnected: "send",
      reconnect: RECONNECT,
    });
    await client.connect();
    for (let n = 0; n < 8; n += 1) client.send("order", n);
    const endOutage = outage(runtime);
    cut(runtime);
    const stopping = server.stop({ drainMs: 0 });
    await runtime.advance(200);
    await stopping;
    const sent: ReturnType<typeof outcome>[] = [];
    client.onDisconnect(() => {
      client.send("order", "plain");
      sent.push(outcome(client.send("order", "acknowledged", { ack: { attempts: 1 } })));
    });
    await nextServer();
    endOutage();
    await runtime.advance(BACK_MS);
    open.open();
    await runtime.advance(BACK_MS);
    expect([...handled]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, "plain", "acknowledged"]);
    expect([sent.map(({ state }) => state), errors]).toEqual([["resolved"], []]);
  });
});

describe("a message with ack, while a session waits for its next stream", () => {
  async function session(options: Partial<ClientInit> = {}) {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, { resume: { windowMs: 2 * OUTAGE_MS } });
    const { client } = testClient(runtime, { resume: true, reconnect: RECONNECT, ...options });
    await client.connect();
    const [connection] = server.connections;
    if (connection === undefined) throw new Error("Nobody is connected");
    return { runtime, server, client, connection };
  }

  test.each(["client", "server"])("of a %s isn't given up, and arrives in order", async (side) => {
    const { runtime, server, client, connection } = await session();
    const handled: unknown[] = [];
    const handle = (data: unknown): void => void handled.push(data);
    server.on("order", (_connection, data) => handle(data));
    client.on("order", handle);
    const sender = side === "client" ? client : connection;
    const endOutage = outage(runtime);
    const ack = { attempts: 1, timeoutMs: 1000 };
    const sent = [outcome(sender.send("order", 1, { ack }) as unknown as Promise<void>)];
    cut(runtime);
    await runtime.settle();
    for (const n of [2, 3]) sent.push(outcome(sender.send("order", n, { ack }) as unknown as Promise<void>));
    await runtime.advance(OUTAGE_MS);
    expect(sent.map(({ state }) => state)).toEqual(Array(3).fill("pending"));
    endOutage();
    await runtime.advance(BACK_MS);
    expect([sent.map(({ state }) => state), handled]).toEqual([Array(3).fill("resolved"), [1, 2, 3]]);
  });

  test("arrives as it was sent if it waited in the send queue, where other calls have their timeouts set", async () => {
    const { runtime, server, client } = await session();
    const handled: unknown[] = [];
    server.on("order", (_connection, data) => void handled.push(data));
    server.on("fill", () => undefined);
    const data = { text: "x".repeat(100), n: 1 };
    const endOutage = outage(runtime);
    cut(runtime);
    await runtime.settle();
    // More than the session keeps, so later messages wait in the queue.
    for (let kept = 0; kept < 150; kept += 1) client.send("fill", new Uint8Array(10_000));
    const sent = outcome(client.send("order", data, { ack: true }));
    await runtime.advance(5000);
    endOutage();
    await runtime.advance(BACK_MS);
    expect([sent.state, handled]).toEqual(["resolved", [data]]);
  });

  test.each(["client", "pool"])(
    "of a %s keeps its place when the next server doesn't know the session",
    async (what) => {
      const runtime = fakeRuntime();
      const handled: unknown[] = [];
      // A pool only resends to servers that know the keys.
      const store = what === "pool" ? { store: memoryStore({ now: () => runtime.wallClock() }) } : {};
      const nextServer = (): Promise<{ server: Server }> =>
        testServer(runtime, { handlerConcurrency: 1, closeTimeoutMs: 100, resume: store }, (made) => {
          made.rpc("block", () => new Promise(() => undefined));
          made.on("order", (_connection, data) => void handled.push(data));
        });
      const { server } = await nextServer();
      const options = { resume: true, reconnect: RECONNECT };
      const sender = what === "pool" ? testPool(runtime, [8080], options).pool : testClient(runtime, options).client;
      await sender.connect();
      const first = new AbortController();
      const send = (n: number, signal?: AbortSignal): ReturnType<typeof outcome> =>
        outcome(sender.send("order", n, { ack: { signal } }) as unknown as Promise<void>);
      void outcome(sender.call("block"));
      const given = send(1, first.signal);
      const sent = [send(2)];
      await runtime.settle();
      // The next call reuses its slot in the table of calls.
      first.abort();
      await runtime.settle();
      sent.push(send(3), send(4));
      await runtime.settle();
      const endOutage = outage(runtime);
      cut(runtime);
      const stopping = server.stop({ drainMs: 0 });
      await runtime.advance(200);
      await stopping;
      await nextServer();
      sent.push(send(5), send(6));
      endOutage();
      await runtime.advance(BACK_MS);
      expect(handled).toEqual([2, 3, 4, 5, 6]);
      expect([given.state, ...sent.map(({ state }) => state)]).toEqual(["rejected", ...Array(5).fill("resolved")]);
    },
  );

  test("fails when the client is closed while it dials, although what else is sent may wait for the next connect()", async () => {
    const { runtime, server, client } = await session({ queueWhileDisconnected: "send" });
    server.on("slow", () => new Promise(() => undefined));
    cut(runtime);
    const sent = outcome(client.send("slow", 1, { ack: true }));
    await runtime.settle();
    client.connect().catch(() => undefined);
    await client.close();
    expect(sent.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED, details: { attempts: 1 } });
  });

  test("has its whole time again when the session continues", async () => {
    const { runtime, server, client } = await session();
    server.on("order", () => new Promise(() => undefined));
    const sent = outcome(client.send("order", 1, { ack: { attempts: 1, timeoutMs: 1000 } }));
    await runtime.settle();
    const endOutage = outage(runtime);
    cut(runtime);
    await runtime.advance(900);
    endOutage();
    await runtime.advance(100);
    expect(client.isConnected).toBe(true);
    await runtime.advance(800);
    expect(sent.state).toBe("pending");
    await runtime.advance(300);
    expect(sent.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED, details: { attempts: 1 } });
  });
});
