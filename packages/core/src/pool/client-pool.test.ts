import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import type { Server } from "../server/server.ts";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { trackKeepAlive } from "../test-support/kept-alive.ts";
import { outcome, testPool, testServer } from "../test-support/peers.ts";

const { AUTH_FAILED, CONNECTION_CLOSED, CONNECTION_REFUSED, INVALID_STATE, SERVER_STOPPING } = ErrorCode;

/** Starts a server whose method `who` returns its port and whose method `hang` never returns. */
async function whoServer(runtime: FakeRuntime, port: number, prepare?: (server: Server) => void): Promise<Server> {
  const { server } = await testServer(runtime, { port }, (made) => {
    made.rpc("who", () => port);
    made.rpc("hang", () => new Promise(() => {}));
    prepare?.(made);
  });
  return server;
}

function refusal(promise: Promise<unknown>): Promise<ConduitError> {
  return promise.then(
    () => {
      throw new Error("It resolved");
    },
    (error: ConduitError) => error,
  );
}

async function itemsOf(stream: AsyncIterable<unknown> | undefined): Promise<unknown[]> {
  const items: unknown[] = [];
  for await (const item of stream ?? []) items.push(item);
  return items;
}

describe("connect", () => {
  test("resolves when one server is connected; the others are tried again by themselves", async () => {
    const runtime = fakeRuntime();
    await whoServer(runtime, 1);
    const { pool, errors } = testPool(runtime, [1, 2]);
    await pool.connect();
    expect(pool.stats.servers.map(({ connected }) => connected)).toEqual([1, 0]);
    await runtime.settle();
    expect(errors.map(({ code, stage }) => [code, stage])).toEqual([[CONNECTION_REFUSED, "reconnect"]]);
    await whoServer(runtime, 2);
    await runtime.advance(100);
    expect(pool.stats.servers.map(({ connected }) => connected)).toEqual([1, 1]);
  });

  test("reports unreached servers to onReconnectAttemptFailed, and then not to onError", async () => {
    const runtime = fakeRuntime();
    await whoServer(runtime, 1);
    const { pool, errors } = testPool(runtime, [1, 2]);
    const failed: unknown[] = [];
    pool.onReconnectAttemptFailed((client, { error }) => {
      failed.push([client === pool.clients[1], (error as ConduitError).code]);
    });
    await pool.connect();
    await runtime.advance(250);
    expect(failed).toEqual(Array(3).fill([true, CONNECTION_REFUSED]));
    expect(errors).toEqual([]);
  });

  test("rejects if no server can be reached, names them all, and tries nothing again", async () => {
    const runtime = fakeRuntime();
    const { pool } = testPool(runtime, [1, 2]);
    const error = await refusal(pool.connect());
    expect(error.code).toBe(CONNECTION_REFUSED);
    expect(error.message).toContain("2 of 2 connections failed:\n- 127.0.0.1:1: ");
    expect(error.details?.["servers"]).toMatchObject([
      { server: "127.0.0.1:1", code: CONNECTION_REFUSED },
      { server: "127.0.0.1:2", code: CONNECTION_REFUSED },
    ]);
    await runtime.advance(60_000);
    expect(runtime.dials).toHaveLength(2);
    await whoServer(runtime, 2);
    await pool.connect();
    expect(await pool.call("who")).toBe(2);
  });

  test("of a pool of one rejects with the client's own error", async () => {
    const { pool } = testPool(fakeRuntime(), [1]);
    expect((await refusal(pool.connect())).message).toContain("Nothing listens at port 1");
  });

  test("with all resolves when every server is connected", async () => {
    const runtime = fakeRuntime();
    await whoServer(runtime, 1);
    await whoServer(runtime, 2);
    const { pool } = testPool(runtime, [1, 2], { size: 2 });
    await pool.connect({ all: true });
    expect(pool.stats).toMatchObject({ connectedServers: 2, servers: [{ connected: 2 }, { connected: 2 }] });
  });

  test("with all rejects naming those that failed; the others stay connected", async () => {
    const runtime = fakeRuntime();
    await whoServer(runtime, 1);
    const { pool } = testPool(runtime, [1, 2]);
    const error = await refusal(pool.connect({ all: true }));
    expect(error.details?.["servers"]).toMatchObject([{ server: "127.0.0.1:2" }]);
    expect(await pool.call("who")).toBe(1);
  });

  test("rejects if disconnect() is called meanwhile, also during a look-up", async () => {
    const runtime = fakeRuntime();
    const found = Promise.withResolvers<readonly string[]>();
    runtime.names.set("db.test", found.promise);
    const { pool } = testPool(runtime, [], { servers: [{ host: "db.test", port: 1 }] });
    const connecting = refusal(pool.connect());
    await runtime.settle();
    await pool.disconnect();
    found.resolve([]);
    expect((await connecting).code).toBe(CONNECTION_CLOSED);
    expect(runtime.dials).toEqual([]);
    expect(runtime.timers.count).toBe(0);
  });

  test("after disconnect() connects again, also while the connect() before it still fails", async () => {
    const runtime = fakeRuntime();
    await whoServer(runtime, 1);
    const { pool } = testPool(runtime, [1]);
    const first = refusal(pool.connect());
    const closed = pool.disconnect();
    const second = pool.connect();
    expect((await first).code).toBe(CONNECTION_CLOSED);
    await closed;
    await second;
    expect(await pool.call("who")).toBe(1);
  });

  test("of a pool that is connected already succeeds, and dials nothing", async () => {
    const runtime = fakeRuntime();
    await whoServer(runtime, 1);
    const { pool } = testPool(runtime, [1]);
    await pool.connect();
    await pool.connect();
    expect([pool.isConnected, runtime.dials.length]).toEqual([true, 1]);
  });

  test("rejects if disconnect() is called while it dials, and the next one connects", async () => {
    const runtime = fakeRuntime();
    await whoServer(runtime, 1);
    const { pool } = testPool(runtime, [1]);
    runtime.dialBehaviours.push(() => new Promise(() => {}));
    const connecting = refusal(pool.connect());
    await runtime.settle();
    await pool.disconnect();
    expect((await connecting).code).toBe(CONNECTION_CLOSED);
    await pool.connect();
    expect(await pool.call("who")).toBe(1);
  });

  test("rejects if a hook calls disconnect() as the first server is connected", async () => {
    const runtime = fakeRuntime();
    const server = await whoServer(runtime, 1);
    const { pool } = testPool(runtime, [1]);
    pool.onConnect(() => {
      void pool.disconnect();
    });
    expect((await refusal(pool.connect())).code).toBe(CONNECTION_CLOSED);
    await runtime.settle();
    expect([pool.isConnected, server.connectionCount]).toEqual([false, 0]);
  });

  test("doesn't report or try again the servers that failed if the pool doesn't reconnect", async () => {
    const runtime = fakeRuntime();
    await whoServer(runtime, 1);
    const { pool, errors } = testPool(runtime, [1, 2], { reconnect: { enabled: false } });
    await pool.connect();
    await runtime.advance(60_000);
    expect([errors, runtime.dials.length]).toEqual([[], 2]);
  });

  test("called twice at once connects once", async () => {
    const runtime = fakeRuntime();
    await whoServer(runtime, 1);
    const { pool } = testPool(runtime, [1]);
    await Promise.all([pool.connect(), pool.connect()]);
    expect(runtime.dials).toHaveLength(1);
  });
});

describe("calls", () => {
  test("go to the servers in turn, on each of their connections", async () => {
    const runtime = fakeRuntime();
    await whoServer(runtime, 1);
    await whoServer(runtime, 2);
    const { pool } = testPool(runtime, [1, 2], { size: 2 });
    await pool.connect({ all: true });
    const answers: unknown[] = [];
    for (let n = 0; n < 8; n += 1) answers.push(await pool.call("who"));
    expect(answers.slice(0, 2).sort()).toEqual([1, 2]);
    expect(answers.filter((port) => port === 1)).toHaveLength(4);
    expect(pool.clients.map(({ stats }) => stats?.messagesSent)).toEqual([2, 2, 2, 2]);
  });

  test("that the server never started when it stopped move to another server with the rest of their time", async () => {
    const runtime = fakeRuntime();
    const started = gate();
    const { server: first } = await testServer(runtime, { port: 1, handlerConcurrency: 1 }, (made) => {
      made.rpc("hang", () => {
        started.open();
        return new Promise(() => {});
      });
    });
    const { pool } = testPool(runtime, [1, 2]);
    await pool.connect();
    const running = outcome(pool.call("hang"));
    await started.promise;
    const waiting = outcome(pool.call("hang", {}, { timeoutMs: 1000 }));
    await runtime.advance(90);
    await whoServer(runtime, 2);
    await runtime.advance(200);
    await first.stop({ drainMs: 0 });
    await runtime.settle();
    expect(running).toMatchObject({ state: "rejected", error: { details: { started: true } } });
    expect(pool.stats.movedCalls).toBe(1);
    // 290 of the 1,000 ms elapsed before it moved.
    await runtime.advance(709);
    expect(waiting.state).toBe("pending");
    await runtime.advance(20);
    expect(waiting).toMatchObject({ state: "rejected", error: { code: ErrorCode.TIMEOUT } });
  });

  test("that were sent reject when the connection breaks, and aren't sent again", async () => {
    const runtime = fakeRuntime();
    let runs = 0;
    for (const port of [1, 2]) {
      await whoServer(runtime, port, (made) => {
        made.rpc("pay", () => {
          runs += 1;
          return new Promise(() => {});
        });
      });
    }
    const { pool } = testPool(runtime, [1, 2]);
    await pool.connect({ all: true });
    const paying = outcome(pool.call("pay"));
    await runtime.settle();
    for (const { accepted } of runtime.pairs) accepted.destroy(new Error("cut"));
    await runtime.settle();
    expect(paying.error?.code).toBe(CONNECTION_CLOSED);
    expect(runs).toBe(1);
  });

  test("aren't repeated when a handler hands on the refusal of a server that it called", async () => {
    const runtime = fakeRuntime();
    let runs = 0;
    for (const port of [1, 2]) {
      await whoServer(runtime, port, (made) => {
        made.rpc("forward", () => {
          runs += 1;
          throw new RpcError(SERVER_STOPPING, "The other one is stopping", { details: { started: false } });
        });
      });
    }
    const { pool } = testPool(runtime, [1, 2]);
    await pool.connect({ all: true });
    expect(await refusal(pool.call("forward"))).toMatchObject({ code: SERVER_STOPPING, details: { started: true } });
    expect(runs).toBe(1);
  });

  test("avoid a server that is draining, whose calls under way finish", async () => {
    const runtime = fakeRuntime();
    const go = gate();
    const slow = (made: Server): void => {
      made.rpc("slow", async () => {
        await go.promise;
        return "finished";
      });
    };
    const first = await whoServer(runtime, 1, slow);
    const { pool } = testPool(runtime, [1, 2]);
    await pool.connect();
    const running = pool.call("slow");
    await runtime.settle();
    await whoServer(runtime, 2, slow);
    await runtime.advance(100);
    const stopped = first.stop({ drainMs: 10_000 });
    await runtime.settle();
    expect(pool.stats.servers).toMatchObject([
      { connected: 0, isDraining: true, pendingCalls: 1 },
      { connected: 1, isDraining: false },
    ]);
    for (let n = 0; n < 4; n += 1) expect(await pool.call("who")).toBe(2);
    go.open();
    expect(await running).toBe("finished");
    await stopped;
  });

  test("reject while no server takes them, and name the servers' states", async () => {
    const runtime = fakeRuntime();
    const server = await whoServer(runtime, 1);
    const { pool } = testPool(runtime, [1]);
    const before = await refusal(pool.call("who"));
    expect(before).toMatchObject({ code: CONNECTION_CLOSED, details: { started: false } });
    expect(before.message).toContain("call connect() first");
    await pool.connect();
    await server.stop();
    await runtime.settle();
    const lost = refusal(pool.call("who"));
    await runtime.advance(50);
    expect((await lost).message).toBe("Cannot send 'who': no server takes it now (127.0.0.1:1 is closed)");
    expect(() => pool.send("note")).toThrow("no server takes it now");
  });
});

describe('with queueWhileDisconnected "send"', () => {
  test("messages and calls wait for whichever server is connected first", async () => {
    const runtime = fakeRuntime();
    const first = await whoServer(runtime, 1);
    const { pool } = testPool(runtime, [1, 2], { queueWhileDisconnected: "send" });
    await pool.connect();
    await first.stop();
    await runtime.settle();
    const notes: unknown[] = [];
    pool.send("note", "kept");
    const answer = pool.call("who");
    expect(pool.stats.queued).toBe(2);
    await whoServer(runtime, 2, (made) => made.on("note", (_client, note) => void notes.push(note)));
    await runtime.advance(200);
    expect(await answer).toBe(2);
    expect(notes).toEqual(["kept"]);
    expect(pool.stats.queued).toBe(0);
  });

  test("calls under way that were never started wait as well when no other server is connected", async () => {
    const runtime = fakeRuntime();
    const started = gate();
    const { server: first } = await testServer(runtime, { port: 1, handlerConcurrency: 1 }, (made) => {
      made.rpc("hang", () => {
        started.open();
        return new Promise(() => {});
      });
      made.rpc("who", async () => 1);
    });
    const { pool } = testPool(runtime, [1, 2], { queueWhileDisconnected: "send" });
    await pool.connect();
    void pool.call("hang").catch(() => {});
    await started.promise;
    const waiting = pool.call("who");
    await runtime.settle();
    await first.stop({ drainMs: 0 });
    await whoServer(runtime, 2);
    await runtime.advance(200);
    expect(await waiting).toBe(2);
  });

  test("what waits rejects on disconnect, and when every client has given up", async () => {
    const runtime = fakeRuntime();
    const { pool, errors } = testPool(runtime, [1, 2], { queueWhileDisconnected: "send", password: "wrong" });
    const first = refusal(pool.call("who"));
    await pool.disconnect();
    expect((await first).code).toBe(CONNECTION_CLOSED);
    expect(() => pool.send("note")).toThrow("call connect() first");

    for (const port of [1, 2]) await whoServer(runtime, port);
    const connecting = refusal(pool.connect());
    const second = refusal(pool.call("who"));
    pool.send("note", 1);
    expect((await connecting).code).toBe(AUTH_FAILED);
    expect((await second).code).toBe(AUTH_FAILED);
    expect(errors.filter(({ name }) => name === "note")).toMatchObject([{ code: AUTH_FAILED, stage: "message" }]);
  });
});

describe("handlers, methods and hooks", () => {
  test("apply to connections made earlier and later, until they are removed", async () => {
    const runtime = fakeRuntime();
    runtime.names.set("db.test", ["10.0.0.1", "10.0.0.2"]);
    const server = await whoServer(runtime, 1);
    const { pool } = testPool(runtime, [], { servers: [{ host: "db.test", port: 1 }] });
    pool.rpc("early", () => "early");
    const connected: string[] = [];
    pool.onConnect((client) => connected.push(client.config.host));
    await pool.connect({ all: true });
    const remove = pool.rpc("late", () => "late");
    const notes: unknown[] = [];
    pool.on("note", (note, { client }) => notes.push([note, client.config.host]));
    runtime.names.set("db.test", ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    await runtime.advance(30_000);
    expect(server.connections).toHaveLength(3);
    for (const connection of server.connections) {
      expect([await connection.call("early"), await connection.call("late")]).toEqual(["early", "late"]);
      connection.send("note", 7);
    }
    await runtime.settle();
    expect(notes).toEqual([
      [7, "10.0.0.1"],
      [7, "10.0.0.2"],
      [7, "10.0.0.3"],
    ]);
    expect(connected).toEqual(["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    remove();
    for (const connection of server.connections) {
      expect((await refusal(connection.call("late"))).code).toBe(ErrorCode.METHOD_NOT_FOUND);
    }
  });

  test("streams go both ways", async () => {
    const runtime = fakeRuntime();
    const server = await whoServer(runtime, 1, (made) => {
      made.stream("count", async function* ({ to }) {
        for (let n = 1; n <= (to as number); n += 1) yield n;
      });
    });
    const { pool } = testPool(runtime, [1]);
    pool.stream("letters", async function* () {
      yield* ["a", "b"];
    });
    await pool.connect();
    expect(await itemsOf(pool.stream("count", { to: 3 }))).toEqual([1, 2, 3]);
    const [connection] = server.connections;
    expect(await itemsOf(connection?.stream("letters"))).toEqual(["a", "b"]);
  });

  test("a method registered twice is refused", () => {
    const { pool } = testPool(fakeRuntime(), [1, 2]);
    pool.rpc("twice", () => 1);
    expect(() => pool.rpc("twice", () => 2)).toThrow(expect.objectContaining({ code: INVALID_STATE }));
  });

  test("every hook of a client is one of the pool", async () => {
    const runtime = fakeRuntime();
    const server = await whoServer(runtime, 1);
    const { pool } = testPool(runtime, [1]);
    const calls: string[] = [];
    pool.onConnect(() => calls.push("connect"));
    pool.onReconnect(() => calls.push("reconnect"));
    pool.onDisconnect((_client, { codeName }) => calls.push(`disconnect ${codeName}`));
    pool.onDrain(() => calls.push("drain"));
    pool.onUnknown((_client, type) => calls.push(`unknown ${type}`));
    await pool.connect();
    server.broadcast("news");
    await server.stop();
    await server.start();
    await runtime.advance(100);
    expect(calls).toEqual(["connect", "unknown news", "drain", "disconnect SERVER_STOPPING", "connect", "reconnect"]);
  });
});

describe("all servers", () => {
  async function threeServers() {
    const runtime = fakeRuntime();
    const notes: unknown[] = [];
    const note = (made: Server): void => void made.on("note", (_client, data) => void notes.push(data));
    await whoServer(runtime, 1, note);
    await testServer(runtime, { port: 2 }, note);
    const { pool } = testPool(runtime, [1, 2, 3], { size: 2 });
    await pool.connect();
    await runtime.settle();
    return { runtime, pool, notes };
  }

  test("callAll gives the result of each, or its error", async () => {
    const { pool } = await threeServers();
    const results = await pool.callAll("who");
    expect(results).toMatchObject([
      { server: "127.0.0.1:1", ok: true, result: 1 },
      { server: "127.0.0.1:2", ok: false, error: { code: ErrorCode.METHOD_NOT_FOUND } },
      { server: "127.0.0.1:3", ok: false, error: { code: CONNECTION_CLOSED, details: { started: false } } },
    ]);
  });

  test("callAll asks each on the connection that has the fewest calls under way", async () => {
    const runtime = fakeRuntime();
    await whoServer(runtime, 1);
    const { pool } = testPool(runtime, [1], { size: 2 });
    await pool.connect({ all: true });
    const all = [pool.callAll("hang", {}, { timeoutMs: 0 }), pool.callAll("hang", {}, { timeoutMs: 0 })];
    await runtime.settle();
    expect(pool.clients.map((client) => client.health().pendingCalls)).toEqual([1, 1]);
    await pool.disconnect();
    expect((await Promise.all(all)).flat()).toMatchObject([{ ok: false }, { ok: false }]);
  });

  test("callAll rejects if nothing can be sent", async () => {
    const { pool } = await threeServers();
    expect((await refusal(pool.callAll("who", { f: () => 1 }))).code).toBe(ErrorCode.UNSERIALIZABLE);
  });

  test("broadcast sends one message to each, and says which have it", async () => {
    const { runtime, pool, notes } = await threeServers();
    const results = pool.broadcast("note", { n: 1 });
    expect(results).toMatchObject([
      { server: "127.0.0.1:1", ok: true, result: true },
      { server: "127.0.0.1:2", ok: true, result: true },
      { server: "127.0.0.1:3", ok: false, error: { code: CONNECTION_CLOSED } },
    ]);
    await runtime.settle();
    expect(notes).toEqual([{ n: 1 }, { n: 1 }]);
    expect(() => pool.broadcast("note", () => 1)).toThrow(ConduitError);
  });
});

describe("a name with several addresses", () => {
  const servers = [{ host: "db.test", port: 1 }];

  async function namedPool(addresses: readonly string[], options: object = {}) {
    const runtime = fakeRuntime();
    runtime.names.set("db.test", addresses);
    const server = await whoServer(runtime, 1, (made) => {
      made.rpc("slow", () => new Promise((resolve) => runtime.setTimer(() => resolve("finished"), 40_000, false)));
      made.topic("news");
    });
    const { pool } = testPool(runtime, [], { servers, ...options });
    await pool.connect({ all: true });
    return { runtime, server, pool };
  }

  test("is a server at each, whose certificates are those of the name", async () => {
    const tls = { cert: "chain", key: "private" };
    const { runtime, pool } = await namedPool(["10.0.0.1", "10.0.0.2"], { tls });
    expect(runtime.dials.map(({ target }) => [target.host, target.tls?.serverName, target.tls?.key])).toEqual([
      ["10.0.0.1", "db.test", "private"],
      ["10.0.0.2", "db.test", "private"],
    ]);
    expect(pool.stats.servers.map(({ server, name }) => [server, name])).toEqual([
      ["10.0.0.1:1", "db.test"],
      ["10.0.0.2:1", "db.test"],
    ]);
  });

  test("gains and loses servers when it is looked up again; calls under way finish", async () => {
    const { runtime, server, pool } = await namedPool(["10.0.0.1", "10.0.0.2"]);
    const slow = [pool.call("slow", {}, { timeoutMs: 0 }), pool.call("slow", {}, { timeoutMs: 0 })];
    runtime.names.set("db.test", ["10.0.0.2", "10.0.0.3"]);
    await runtime.advance(30_000);
    expect(pool.stats.servers.map(({ server: address }) => address)).toEqual(["10.0.0.2:1", "10.0.0.3:1"]);
    expect(server.connections).toHaveLength(3);
    await runtime.advance(30_000);
    expect(await Promise.all(slow)).toEqual(["finished", "finished"]);
    expect(server.connections).toHaveLength(2);
  });

  test.each([
    ["a server by its name", ["10.0.0.1"]],
    ["servers at other addresses", ["10.0.0.3", "10.0.0.4"]],
  ])("that stands for %s goes on with what it had until the first of them is connected", async (_what, addresses) => {
    const { runtime, server, pool } = await namedPool(["10.0.0.1", "10.0.0.2"]);
    const subscription = pool.subscribe("news");
    await subscription.ready;
    const answer = gate<void>();
    for (const _address of addresses) {
      runtime.dialBehaviours.push((dial) => answer.promise.then(() => runtime.connect(dial.target, dial.signal)));
    }
    runtime.names.set("db.test", addresses);
    await runtime.advance(30_000);
    const asked = outcome(pool.call("who"));
    await runtime.advance(100);
    expect(asked).toMatchObject({ state: "resolved", value: 1 });
    expect([pool.isConnected, subscription.isLive]).toEqual([true, true]);
    answer.open();
    await runtime.settle();
    expect(pool.stats.connectedServers).toBe(addresses.length);
    expect(await pool.call("who")).toBe(1);
    await runtime.advance(30_000);
    expect(server.connections).toHaveLength(addresses.length);
    expect(subscription.isLive).toBe(true);
  });

  test("connects to servers that are found while the first one connects", async () => {
    const runtime = fakeRuntime();
    runtime.names.set("db.test", ["10.0.0.1", "10.0.0.2"]);
    await whoServer(runtime, 1);
    const { pool } = testPool(runtime, [], { servers, lookupIntervalMs: 1000 });
    const answer = gate<void>();
    runtime.dialBehaviours.push(
      (dial) => answer.promise.then(() => runtime.connect(dial.target, dial.signal)),
      (dial) => answer.promise.then(() => runtime.connect(dial.target, dial.signal)),
    );
    const connecting = pool.connect();
    await runtime.settle();
    runtime.names.set("db.test", ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    await runtime.advance(1000);
    answer.open();
    await connecting;
    await runtime.settle();
    expect(pool.stats.servers.map(({ server, connected }) => [server, connected])).toEqual([
      ["10.0.0.1:1", 1],
      ["10.0.0.2:1", 1],
      ["10.0.0.3:1", 1],
    ]);
  });

  test("is looked up again when a server is lost", async () => {
    const { runtime, pool } = await namedPool(["10.0.0.1", "10.0.0.2"]);
    await runtime.advance(10_000);
    runtime.names.set("db.test", ["10.0.0.2", "10.0.0.3"]);
    runtime.pairs[0]?.accepted.destroy(new Error("cut"));
    await runtime.advance(0);
    await runtime.settle();
    expect(pool.stats.servers.map(({ server, connected }) => [server, connected])).toEqual([
      ["10.0.0.2:1", 1],
      ["10.0.0.3:1", 1],
    ]);
  });
});

describe("least-latency", () => {
  test("prefers the server that has answered sooner, by calls and heartbeats", async () => {
    const runtime = fakeRuntime();
    const delays = new Map([
      [1, 50],
      [2, 5],
    ]);
    for (const port of [1, 2]) {
      await testServer(runtime, { port }, (made) => {
        made.rpc("who", async () => {
          await new Promise<void>((resolve) => runtime.setTimer(resolve, delays.get(port) ?? 0, false));
          return port;
        });
      });
    }
    const { pool } = testPool(runtime, [1, 2], { strategy: "least-latency" });
    await pool.connect({ all: true });
    const ask = async (): Promise<unknown> => {
      const answer = pool.call("who");
      await runtime.advance(50);
      return await answer;
    };
    expect([await ask(), await ask()].sort()).toEqual([1, 2]);
    for (let n = 0; n < 5; n += 1) expect(await ask()).toBe(2);
    delays.set(2, 45);
    // The server without calls answers heartbeats quickly, so it gets a call again.
    await runtime.advance(60_000);
    const answers: unknown[] = [];
    for (let n = 0; n < 20; n += 1) answers.push(await ask());
    expect(answers).toContain(1);
  });

  test("counts each heartbeat once, however often the latency is looked at", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime, { port: 1 }, (made) => {
      made.rpc("slow", () => new Promise<void>((resolve) => runtime.setTimer(resolve, 50, false)));
    });
    const { pool } = testPool(runtime, [1], { strategy: "least-latency" });
    await pool.connect();
    const latency = (): number => pool.stats.servers[0]?.latencyMs ?? 0;
    await runtime.advance(60_000);
    const ofHeartbeats = latency();
    const call = pool.call("slow");
    await runtime.advance(50);
    await call;
    const ofBoth = latency();
    expect(ofBoth).toBeGreaterThan(ofHeartbeats);
    expect(latency()).toBe(ofBoth);
  });
});

describe("a process", () => {
  test("may end after unref(), also with connections made later, until ref()", async () => {
    const runtime = fakeRuntime();
    const server = await whoServer(runtime, 1);
    const { pool } = testPool(runtime, [1]);
    await pool.connect();
    expect(pool.unref()).toBe(pool);
    await server.stop();
    await runtime.settle();
    expect(runtime.timers.keepingAlive).toBe(0);
    pool.ref();
    expect(runtime.timers.keepingAlive).toBe(1);
  });

  test("may end while a pool is connected whose unref() was called before connect()", async () => {
    const runtime = fakeRuntime();
    const keeping = trackKeepAlive(runtime, "client");
    await whoServer(runtime, 1);
    runtime.names.set("db.test", ["10.0.0.1"]);
    const { pool } = testPool(runtime, [], { servers: [{ host: "db.test", port: 1 }] });
    await pool.unref().connect();
    expect(keeping).toEqual([false]);
    pool.ref();
    expect(keeping).toEqual([true]);
  });

  test("may end after unref() with connections to addresses that a name gains later", async () => {
    const runtime = fakeRuntime();
    const keeping = trackKeepAlive(runtime, "client");
    await whoServer(runtime, 1);
    runtime.names.set("db.test", ["10.0.0.1", "10.0.0.2"]);
    const { pool } = testPool(runtime, [], { servers: [{ host: "db.test", port: 1 }] });
    await pool.unref().connect({ all: true });
    runtime.names.set("db.test", ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    await runtime.advance(30_000);
    expect(pool.stats.connectedServers).toBe(3);
    expect(keeping).toEqual([false, false, false]);
  });

  test("may end after unref() with a connection that only finishes its calls, because its address is gone", async () => {
    const runtime = fakeRuntime();
    const keeping = trackKeepAlive(runtime, "client");
    const server = await whoServer(runtime, 1);
    const open = gate();
    server.rpc("slow", () => open.promise);
    runtime.names.set("db.test", ["10.0.0.1", "10.0.0.2"]);
    const { pool } = testPool(runtime, [], { servers: [{ host: "db.test", port: 1 }] });
    await pool.connect({ all: true });
    const calls = [1, 2].map(() => pool.call("slow", {}, { timeoutMs: 0 }));
    runtime.names.set("db.test", ["10.0.0.1"]);
    await runtime.advance(30_000);
    expect(pool.stats.servers).toHaveLength(1);
    expect(keeping).toContain(true);
    pool.unref();
    expect(keeping).not.toContain(true);
    open.open();
    await Promise.all(calls);
  });
});

test("await using disconnects at the end of the block", async () => {
  const runtime = fakeRuntime();
  const server = await whoServer(runtime, 1);
  {
    await using pool = testPool(runtime, [1]).pool;
    await pool.connect();
    expect(server.connectionCount).toBe(1);
  }
  await runtime.settle();
  expect(server.connectionCount).toBe(0);
});
