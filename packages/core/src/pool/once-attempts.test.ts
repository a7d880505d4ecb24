import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { Server } from "../server/server.ts";
import { memoryStore } from "../store/memory-store.ts";
import type { Store } from "../store/store.ts";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { outage } from "../test-support/outage.ts";
import { outcome, testPool, testServer } from "../test-support/peers.ts";
import type { PoolInit } from "./client-pool.ts";

const { CONNECTION_CLOSED, OUTCOME_UNKNOWN } = ErrorCode;

/** Cuts a pool's connection to its n-th server. */
function cut(runtime: FakeRuntime, n: number): void {
  runtime.pairs[n - 1]?.accepted.destroy(new Error("cut"));
}

/** Starts servers on ports 1 and 2 whose method `pay` and message `order` run `handle`, and a pool for both. */
async function twoServers(
  handle: (runtime: FakeRuntime, port: number) => unknown,
  store: () => Store | undefined = () => undefined,
  given: Partial<PoolInit> = {},
) {
  const runtime = fakeRuntime();
  const runs: number[] = [];
  const start = async (port: number): Promise<Server> => {
    const kept = store();
    const options = kept === undefined ? { port } : { port, resume: { store: kept } };
    const { server } = await testServer(runtime, options, (made) => {
      const run = (): unknown => {
        runs.push(port);
        return handle(runtime, port);
      };
      made.rpc("pay", run);
      made.on("order", run);
    });
    return server;
  };
  const servers = [await start(1), await start(2)] as const;
  const { pool } = testPool(runtime, [1, 2], given);
  await pool.connect({ all: true });
  return { runtime, runs, servers, start, pool };
}

/** Starts a server with the store on port 1, whose method `pay` loses its answer, and a pool for it. */
async function paidOnce(store: (runtime: FakeRuntime, kept: Store) => Store) {
  const runtime = fakeRuntime();
  const kept = store(runtime, bound(memoryStore()));
  const start = async (): Promise<Server> => {
    const { server } = await testServer(runtime, { port: 1, resume: { store: kept } }, (made) => {
      made.rpc("pay", () => {
        runtime.pairs.at(-1)?.accepted.destroy(new Error("cut"));
        return "paid";
      });
    });
    return server;
  };
  const { pool } = testPool(runtime, [1]);
  return { runtime, start, pool };
}

const never = (): Promise<unknown> => new Promise(() => undefined);
/** Longer than ten attempts take. */
const OUTAGE_MS = 300_000;

describe("after a lost connection", () => {
  test("a call with once continues at the server that began it, and never at one that doesn't know its key", async () => {
    let finish: (value: string) => void = () => undefined;
    const answer = new Promise<string>((resolve) => {
      finish = resolve;
    });
    const { runtime, runs, pool } = await twoServers(() => answer);
    const paying = outcome(pool.call("pay", {}, { once: "k1" }));
    await runtime.settle();
    const [home = 0] = runs;
    cut(runtime, home);
    finish("paid");
    await runtime.advance(10_000);
    expect(paying.error?.message ?? "").toBe("");
    expect(paying).toMatchObject({ state: "resolved", value: "paid" });
    expect(runs.length).toBe(1);
  });

  test("a call isn't begun on another server while the first one is gone", async () => {
    const { runtime, runs, servers, pool } = await twoServers(never);
    const paying = outcome(pool.call("pay", {}, { once: "k1", timeoutMs: 8000 }));
    await runtime.settle();
    const [home = 0] = runs;
    // Its process is killed, so it isn't known which calls were started.
    cut(runtime, home);
    await servers[home - 1]?.stop({ drainMs: 0 });
    await runtime.advance(10_000);
    expect(paying.state).toBe("rejected");
    expect(paying.error).toMatchObject({ code: CONNECTION_CLOSED, details: undefined });
    expect(paying.error?.message).toContain("no connected one knows its keys");
    expect(runs.length).toBe(1);
  });

  test("a message with ack waits for the server that may have begun it, and continues there", async () => {
    let finish: (value: null) => void = () => undefined;
    const answer = new Promise<null>((resolve) => {
      finish = resolve;
    });
    const { runtime, runs, pool } = await twoServers(() => answer);
    const sent = outcome(pool.send("order", {}, { ack: { attempts: 2 } }));
    await runtime.settle();
    const endOutage = outage(runtime);
    cut(runtime, runs[0] ?? 0);
    await runtime.advance(OUTAGE_MS);
    expect([sent.state, pool.isConnected]).toEqual(["pending", true]);
    endOutage();
    finish(null);
    await runtime.advance(1000);
    expect([sent.state, runs.length]).toEqual(["resolved", 1]);
  });

  test("the outcome of a message with ack that waits is unknown when its server is back without its keys", async () => {
    const { runtime, runs, servers, start, pool } = await twoServers(never);
    const sent = outcome(pool.send("order", {}, { ack: true }));
    await runtime.settle();
    const [home = 0] = runs;
    cut(runtime, home);
    await servers[home - 1]?.stop({ drainMs: 0 });
    await runtime.advance(OUTAGE_MS);
    expect(sent.state).toBe("pending");
    await start(home);
    await runtime.advance(1000);
    expect(sent).toMatchObject({ state: "rejected", error: { code: OUTCOME_UNKNOWN } });
    expect(runs.length).toBe(1);
  });

  test("the outcome of a message with ack that waits is unknown when its server won't come back", async () => {
    const { runtime, runs, pool } = await twoServers(never, undefined, {
      reconnect: { attempts: 2, delayMs: 100, maxDelayMs: 100, jitter: false },
    });
    const sent = outcome(pool.send("order", {}, { ack: true }));
    await runtime.settle();
    const endOutage = outage(runtime);
    cut(runtime, runs[0] ?? 0);
    await runtime.advance(1000);
    expect([sent.error?.code, pool.isConnected]).toEqual([OUTCOME_UNKNOWN, true]);
    endOutage();
  });

  test("messages with ack wait while no server is connected, without attempts, and leave in order", async () => {
    const { runtime, runs, servers, pool } = await twoServers(() => null);
    await Promise.all(servers.map((server) => server.stop({ drainMs: 0 })));
    const order: unknown[] = [];
    for (const server of servers) server.on("note", (_connection, data) => void order.push(data));
    const sent = [1, 2, 3].map((n) => outcome(pool.send("note", n, { ack: { attempts: 1 } })));
    await runtime.advance(OUTAGE_MS);
    expect(sent.map(({ state }) => state)).toEqual(Array(3).fill("pending"));
    await servers[0].start();
    await runtime.advance(1000);
    expect([sent.map(({ state }) => state), order, runs]).toEqual([Array(3).fill("resolved"), [1, 2, 3], []]);
  });

  test("messages with ack that wait fail at once when the pool is closed, and when connect() fails", async () => {
    const runtime = fakeRuntime();
    const { pool } = testPool(runtime, [1, 2]);
    const refused = outcome(pool.connect());
    const waiting = outcome(pool.send("order", 1, { ack: true }));
    await runtime.settle();
    expect(refused.error?.code).toBe(ErrorCode.CONNECTION_REFUSED);
    const { server } = await testServer(runtime, { port: 1 });
    await pool.connect();
    await server.stop({ drainMs: 0 });
    const later = outcome(pool.send("order", 2, { ack: true }));
    await runtime.settle();
    expect(later.state).toBe("pending");
    await pool.close();
    await runtime.settle();
    for (const { error } of [waiting, later]) {
      expect(error).toMatchObject({ code: ErrorCode.NOT_DELIVERED, details: { attempts: 0, started: false } });
    }
  });

  test("the outcome of a message with ack is unknown when its server's name stands for other addresses", async () => {
    const runtime = fakeRuntime();
    runtime.names.set("db.test", ["10.0.0.1"]);
    const { server } = await testServer(runtime, { port: 1 }, (made) => void made.on("order", never));
    const target = { host: "db.test", port: 1 };
    const other = { host: "127.0.0.1", port: 2 };
    const { pool } = testPool(runtime, [], { servers: [target, other], lookupIntervalMs: 1000 });
    await pool.connect();
    const sent = outcome(pool.send("order", 1, { ack: true }));
    await runtime.settle();
    await testServer(runtime, { port: 2 });
    await runtime.advance(1000);
    await server.stop({ drainMs: 0 });
    await runtime.advance(OUTAGE_MS);
    expect([sent.state, pool.isConnected]).toEqual(["pending", true]);
    runtime.names.set("db.test", ["10.0.0.2", "10.0.0.3"]);
    await runtime.advance(2000);
    expect(sent.error).toMatchObject({ code: OUTCOME_UNKNOWN });
  });

  test("messages with ack fail when no server is tried again, also one that was never connected", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, { port: 1 });
    const { pool } = testPool(runtime, [1, 2], { reconnect: { enabled: false } });
    await pool.connect();
    await runtime.settle();
    await server.stop({ drainMs: 0 });
    const sent = outcome(pool.send("order", 1, { ack: true }));
    await runtime.advance(1000);
    expect(sent.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED, details: { attempts: 0, started: false } });
  });

  test("its outcome is unknown as soon as the first server is back without its keys", async () => {
    const { runtime, runs, servers, start, pool } = await twoServers(never);
    const paying = outcome(pool.call("pay", {}, { once: "k1" }));
    await runtime.settle();
    const [home = 0] = runs;
    cut(runtime, home);
    await servers[home - 1]?.stop({ drainMs: 0 });
    await start(home);
    await runtime.advance(10_000);
    expect(paying).toMatchObject({ state: "rejected", error: { code: OUTCOME_UNKNOWN } });
    expect(paying.error?.message).toContain(`the server 127.0.0.1:${home} may have carried it out`);
    expect(runs.length).toBe(1);
  });

  test("it continues at another server that shares the store", async () => {
    const shared = memoryStore();
    const { runtime, runs, servers, pool } = await twoServers(
      (at, port) => {
        // The answer is stored but lost in transit.
        cut(at, port);
        return `paid by ${port}`;
      },
      () => ({ ...bound(shared), isShared: true }),
    );
    const paying = outcome(pool.call("pay", {}, { once: "k1" }));
    await runtime.settle();
    await servers[(runs[0] ?? 0) - 1]?.stop({ drainMs: 0 });
    await runtime.advance(10_000);
    expect(paying).toMatchObject({ state: "resolved", value: `paid by ${runs[0]}` });
    expect(runs.length).toBe(1);
  });

  test("it continues at its server that was restarted, however long the store takes to say which keys it has", async () => {
    let delayMs = 0;
    const { runtime, start, pool } = await paidOnce((at, store) => ({
      ...store,
      get: async (key) => {
        if (delayMs > 0) await new Promise<void>((resolve) => void at.setTimer(resolve, delayMs, false));
        return store.get(key);
      },
    }));
    const first = await start();
    await pool.connect();
    const paying = outcome(pool.call("pay", {}, { once: "k1" }));
    await runtime.settle();
    await first.stop({ drainMs: 0 });
    delayMs = 1000;
    await Promise.all([start(), runtime.advance(10_000)]);
    expect(paying).toMatchObject({ state: "resolved", value: "paid" });
  });

  test("it continues at its server whose store failed first, if the client logged in after the store had answered", async () => {
    let fails = true;
    const { runtime, start, pool } = await paidOnce((_at, store) => ({
      ...store,
      get: (key) => (fails ? Promise.reject(new Error("disk")) : store.get(key)),
    }));
    await start();
    fails = false;
    // The first login requests it again.
    for (let logins = 0; logins < 2; logins += 1) {
      await pool.disconnect();
      await pool.connect();
    }
    const paying = outcome(pool.call("pay", {}, { once: "k1" }));
    await runtime.settle();
    // The delays between attempts are random, so some attempts may happen before the client has reconnected.
    await runtime.advance(10_000);
    expect(paying).toMatchObject({ state: "resolved", value: "paid" });
  });

  test("a call that waited for a connection isn't begun on two servers either", async () => {
    const { runtime, runs, servers, start, pool } = await twoServers(never, undefined, {
      queueWhileDisconnected: "send",
    });
    for (const server of servers) await server.stop({ drainMs: 0 });
    const paying = outcome(pool.call("pay", {}, { once: "k1", timeoutMs: 8000 }));
    const first = await start(1);
    await runtime.advance(500);
    expect(runs).toEqual([1]);
    await start(2);
    await runtime.advance(500);
    for (const { accepted } of runtime.pairs) accepted.destroy(new Error("cut"));
    await first.stop({ drainMs: 0 });
    await runtime.advance(10_000);
    expect(paying.state).toBe("rejected");
    expect(runs).toEqual([1]);
  });

  test("it isn't repeated anywhere if the server's store didn't say which keys it has", async () => {
    const { runtime, runs, pool } = await twoServers(never, () => {
      const store = bound(memoryStore());
      const create: Store["create"] = (key, ...rest) =>
        key === "once-keys" ? Promise.reject(new Error("disk")) : store.create(key, ...rest);
      return { ...store, create };
    });
    const paying = outcome(pool.call("pay", {}, { once: "k1" }));
    await runtime.settle();
    cut(runtime, runs[0] ?? 0);
    await runtime.advance(10_000);
    expect(paying).toMatchObject({ state: "rejected", error: { code: OUTCOME_UNKNOWN } });
    expect(runs.length).toBe(1);
  });

  test.each(["call", "message"])(
    "a %s that its first server never began, and that waited for another one, isn't begun on two",
    async (kind) => {
      const runtime = fakeRuntime();
      const runs: number[] = [];
      const servers: Server[] = [];
      for (const port of [1, 2]) {
        const { server } = await testServer(runtime, { port, handlerConcurrency: 1 }, (made) => {
          made.rpc("block", never);
          const run = (): Promise<unknown> => {
            runs.push(port);
            return never();
          };
          made.rpc("pay", run);
          made.on("order", run);
        });
        servers.push(server);
      }
      const down = new Set<number>();
      const connect = runtime.connect.bind(runtime);
      runtime.connect = async (target, signal) => {
        if (down.has(target.port)) throw new ConduitError(ErrorCode.CONNECTION_REFUSED, "down");
        return connect(target, signal);
      };
      const takeDown = (port: number): void => {
        down.add(port);
        void servers[port - 1]?.connections[0]?.close("moving", { reconnect: true });
      };
      const { pool } = testPool(runtime, [1, 2], { queueWhileDisconnected: "send" });
      await pool.connect({ all: true });
      takeDown(2);
      await runtime.advance(10);
      // Later messages wait behind it.
      void outcome(pool.call("block", {}, { timeoutMs: 0 }));
      const sent = outcome<unknown>(
        kind === "call"
          ? pool.call("pay", {}, { once: "k1", timeoutMs: 0 })
          : pool.send("order", 1, { ack: { timeoutMs: 0 } }),
      );
      await runtime.settle();
      takeDown(1);
      await runtime.advance(1000);
      down.delete(2);
      await runtime.advance(1000);
      expect(runs).toEqual([2]);
      down.delete(1);
      await runtime.advance(1000);
      takeDown(2);
      await runtime.advance(10_000);
      expect(runs).toEqual([2]);
      expect(sent.error?.code).toBe(kind === "call" ? OUTCOME_UNKNOWN : undefined);
    },
  );
});

describe("without an answer in time", () => {
  test("a message with ack keeps its place while there is one connection, and goes to another that knows its key", async () => {
    const runtime = fakeRuntime();
    const shared = memoryStore({ now: () => runtime.wallClock() });
    let open = gate();
    const handled: unknown[] = [];
    const start = (port: number, handlerConcurrency: number): Promise<{ server: Server }> => {
      const options = { port, handlerConcurrency, resume: { store: { ...bound(shared), isShared: true } } };
      return testServer(runtime, options, (made) => {
        made.rpc("block", () => open.promise);
        made.on("order", (_connection, data) => void handled.push(`${data} at ${port}`));
      });
    };
    const { pool } = testPool(runtime, [1, 2]);
    const ack = { timeoutMs: 100, delayMs: 300, attempts: 1000 };
    const blockAndSend = async (...orders: number[]): Promise<void> => {
      void outcome(pool.call("block", {}, { timeoutMs: 0 }));
      for (const n of orders) sent.push(outcome(pool.send("order", n, { ack })));
      await runtime.advance(1000);
    };
    const sent: ReturnType<typeof outcome>[] = [];
    await start(1, 1);
    await pool.connect();
    await blockAndSend(1, 2, 3);
    open.open();
    await runtime.settle();
    expect(handled).toEqual(["1 at 1", "2 at 1", "3 at 1"]);
    open = gate();
    await blockAndSend(4, 5);
    expect(handled).toHaveLength(3);
    await start(2, 10);
    await runtime.advance(60_000);
    open.open();
    await runtime.settle();
    expect(handled.slice(3).toSorted()).toEqual(["4 at 2", "5 at 2"]);
    expect(sent.map(({ state }) => state)).toEqual(Array(5).fill("resolved"));
  });
});

/** A store whose methods can be copied. */
function bound(store: Store): Store {
  return {
    isShared: store.isShared,
    get: (key) => store.get(key),
    create: (key, value, ttlMs) => store.create(key, value, ttlMs),
    put: (key, value, ttlMs) => store.put(key, value, ttlMs),
    delete: (key) => store.delete(key),
    keys: (prefix, limit) => store.keys(prefix, limit),
  };
}
