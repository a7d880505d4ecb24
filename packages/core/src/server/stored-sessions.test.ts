import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import type { ConnectionSession } from "../extensions/resume/resume.ts";
import { AnsweringStore } from "../store/answering-store.ts";
import { memoryStore } from "../store/memory-store.ts";
import type { Store } from "../store/store.ts";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { mortalStore } from "../test-support/mortal-store.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";
import { TimerWheel } from "../util/timer-wheel.ts";
import { utf8 } from "../util/utf8.ts";
import type { Server } from "./server.ts";
import { keyOf, StoredSessions } from "./stored-sessions.ts";

const RECONNECT = { delayMs: 10, maxDelayMs: 10, jitter: false };
/** Time after which a client has reconnected. */
const BACK_MS = 1000;

type Closing = { close(request: { code: number; message: string; reconnect: boolean }): Promise<void> };

/** Rejects with the signal's reason. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

/** Starts a server with a store and a client. `kill` ends the server's process. */
async function scene(prepare: (server: Server) => void, resume: { maxBytes?: number } = {}, options = {}) {
  const runtime = fakeRuntime();
  const store = memoryStore({ now: () => runtime.wallClock() });
  const users = { ada: { password: "one password" }, bob: { password: "another one" } };
  let view = mortalStore(store);
  const begin = (how: (server: Server) => void) =>
    testServer(runtime, { resume: { store: view, windowMs: 60_000 }, users, closeTimeoutMs: 100 }, how);
  let current = await begin(prepare);
  const ada = { username: "ada", password: "one password", resume, reconnect: RECONNECT, ...options };
  const { client, errors } = testClient(runtime, ada);
  const resumed: unknown[] = [];
  const expired: unknown[] = [];
  client.onResume((session) => void resumed.push(session));
  client.onSessionExpired(({ lost }) => void expired.push(lost));
  await client.connect();
  await runtime.settle();
  return {
    runtime,
    client,
    errors,
    resumed,
    expired,
    get server() {
      return current.server;
    },
    get view() {
      return view;
    },
    get serverErrors() {
      return current.errors;
    },
    /** Ends the server's process as by `kill -9`. */
    async kill(): Promise<void> {
      view.isDead = true;
      for (const { accepted } of runtime.pairs) accepted.destroy(null);
      // Its last writes never complete.
      const stopped = current.server.stop({ drainMs: 0 });
      await runtime.advance(200);
      await stopped;
    },
    async start(how: (server: Server) => void): Promise<void> {
      view = mortalStore(store);
      current = await begin(how);
      await runtime.advance(BACK_MS);
    },
  };
}

function sessionsIn(store: Store, runtime: FakeRuntime): StoredSessions {
  return new StoredSessions({
    store: new AnsweringStore(store, new TimerWheel(runtime)),
    codec: {
      encode: (value) => utf8(JSON.stringify(value)),
      decode: (bytes) => JSON.parse(new TextDecoder().decode(bytes)),
    },
    windowMs: 60_000,
    maxBytes: 1_000_000,
    place: () => null,
    sha256: (bytes) => runtime.crypto.sha256(bytes),
    newToken: () => "fedcba9876543210".repeat(4),
    every: () => () => undefined,
    wallClock: () => runtime.wallClock(),
    storeFailed: () => undefined,
    undelivered: () => undefined,
  });
}

describe("a session that another node takes over", () => {
  /** Creates a session that has handled five messages since the store was last updated. */
  async function behind() {
    const runtime = fakeRuntime();
    const view = mortalStore(memoryStore({ now: () => runtime.wallClock() }));
    const sessions = sessionsIn(view, runtime);
    const handled = { handled: 0, handledAbove: [], unfinished: 0 };
    const session = { handled, tellHandled: () => undefined } as unknown as ConnectionSession;
    const token = "0123456789abcdef".repeat(4);
    sessions.begin(session, "ada", token, null, () => sessions.ended(session, true));
    await sessions.settled();
    handled.handled = 5;
    const release = () => sessions.release(keyOf(token));
    const recall = () => sessions.recall({ token, received: 0 }, "ada", 1000);
    return { view, release, recall };
  }

  test("is saved again if the store failed for a moment", async () => {
    const { view, release, recall } = await behind();
    const { put } = view;
    view.put = () => {
      view.put = put;
      return Promise.reject(new Error("Connection reset"));
    };
    expect(await release()).toBe(true);
    expect(await recall()).toMatchObject({ handled: 5 });
  });

  test("isn't called released if the store doesn't have its last state", async () => {
    const { view, release, recall } = await behind();
    view.failing.add("put");
    expect(await release()).toBe(false);
    expect(await recall()).toMatchObject({ handled: 0 });
  });
});

describe("a session whose server was restarted", () => {
  test("continues: handled messages aren't handled again, and the others are, in order", async () => {
    const first: unknown[] = [];
    const scenery = await scene((server) => {
      server.on("n", async (_client, n) => {
        first.push(n);
        if ((n as number) >= 3) await new Promise(() => undefined);
      });
    });
    const { runtime, client, kill, start, resumed, expired } = scenery;
    for (let n = 0; n < 6; n += 1) client.send("n", n);
    client.callNoWait("call", { n: 6 });
    await runtime.settle();
    expect(first).toEqual([0, 1, 2, 3, 4, 5]);
    await kill();
    const second: unknown[] = [];
    let unfinished: unknown = null;
    await start((server) => {
      server.onClientConnect(({ restored }) => {
        unfinished = restored;
      });
      server.on("n", (_client, n) => void second.push(n));
      server.rpc("call", ({ n }) => void second.push(n));
    });
    // The call was rejected because the method doesn't exist.
    expect(second).toEqual([3, 4, 5]);
    expect(unfinished).toEqual({ unfinished: 3 });
    expect(resumed).toEqual([{ replayed: 3, lost: 0, restarted: true }]);
    expect(expired).toEqual([]);
  });

  test("loses what the killed server had sent and the client hadn't received", async () => {
    const scenery = await scene(() => undefined);
    const { runtime, client, kill, start, resumed } = scenery;
    const got: unknown[] = [];
    client.on("n", (n) => void got.push(n));
    const [connection] = scenery.server.connections;
    connection?.send("n", 1);
    await runtime.settle();
    runtime.pairs.at(-1)?.accepted.destroy(null);
    connection?.send("n", 2);
    await kill();
    await start((server) => server.onClientConnect((next) => void next.send("n", 3)));
    expect([got, resumed]).toEqual([[1, 3], [{ replayed: 0, lost: 0, restarted: true }]]);
  });

  test("continues several times, also with what is sent meanwhile", async () => {
    const got: unknown[] = [];
    const handle = (server: Server): void => {
      server.on("n", async (_client, n) => {
        if (Math.random() < 0.5) await new Promise((resolve) => setImmediate(resolve));
        got.push(n);
      });
    };
    const { runtime, client, kill, start } = await scene(handle);
    let sent = 0;
    for (let round = 0; round < 5; round += 1) {
      for (let i = 0; i < 10; i += 1) client.send("n", sent++);
      await runtime.settle();
      await runtime.settle();
      await kill();
      for (let i = 0; i < 10; i += 1) client.send("n", sent++);
      await start(handle);
      await runtime.advance(BACK_MS);
    }
    expect([...new Set(got)].sort((a, b) => (a as number) - (b as number))).toEqual(
      Array.from({ length: sent }, (_, n) => n),
    );
  });

  test("reports to the client what was lost if more than maxBytes weren't handled", async () => {
    const { runtime, client, kill, start, resumed } = await scene(
      (server) => server.on("n", () => new Promise(() => undefined)),
      { maxBytes: 65_536 },
    );
    for (let n = 0; n < 100; n += 1) client.send("n", new Uint8Array(1000));
    await runtime.settle();
    await kill();
    let got = 0;
    await start((server) =>
      server.on("n", () => {
        got += 1;
      }),
    );
    await runtime.advance(BACK_MS);
    const [session] = resumed as { replayed: number; lost: number }[];
    expect(session?.replayed).toBe(got);
    expect(got).toBeGreaterThan(50);
    expect((session?.lost ?? 0) + got).toBe(100);
  });

  test("continues with more messages than a function takes arguments", async () => {
    const COUNT = 130_000;
    let hold = true;
    let got = 0;
    const handle = (server: Server): void => {
      server.on("n", async () => {
        got += 1;
        if (hold) await new Promise(() => undefined);
      });
    };
    const options = { sendQueueSize: COUNT, sendQueueBytes: 100 * 1024 * 1024 };
    const { runtime, client, kill, start, resumed } = await scene(handle, { maxBytes: 100 * 1024 * 1024 }, options);
    for (let n = 0; n < COUNT; n += 1) client.send("n", n);
    await runtime.settle();
    await kill();
    [hold, got] = [false, 0];
    await start(handle);
    for (let n = 0; n < 20 && got < COUNT; n += 1) await runtime.advance(BACK_MS);
    expect([resumed, got]).toEqual([[{ replayed: COUNT, lost: 0, restarted: true }], COUNT]);
  });

  test("ends its calls with CONNECTION_CLOSED, and runs the client's hooks for a new connection", async () => {
    const { runtime, client, kill, start } = await scene((server) => server.rpc("slow", () => new Promise(() => {})));
    const events: string[] = [];
    client.onDisconnect((_client, { codeName }) => void events.push(`disconnected: ${codeName}`));
    client.onConnect(() => void events.push("connected"));
    client.onResume(() => void events.push("resumed"));
    const call = outcome(client.call("slow", {}, { timeoutMs: 0 }));
    await runtime.settle();
    await kill();
    await start(() => undefined);
    expect(call.error?.code).toBe(ErrorCode.CONNECTION_CLOSED);
    expect(events).toEqual(["disconnected: SESSION_EXPIRED", "resumed", "connected"]);
  });

  test("isn't another user's", async () => {
    const runtime = fakeRuntime();
    const sessions = sessionsIn(memoryStore({ now: () => runtime.wallClock() }), runtime);
    const session = { handled: null, tellHandled: () => undefined } as unknown as ConnectionSession;
    const token = "0123456789abcdef".repeat(4);
    sessions.begin(session, "ada", token, null, () => undefined);
    await sessions.settled();
    expect(await sessions.recall({ token, received: 0 }, "bob", 1000)).toBeNull();
    expect(await sessions.recall({ token: token.replace(/f$/, "0"), received: 0 }, "ada", 1000)).toBeNull();
    const own = { handled: 0, above: [], unfinished: 0, place: null, outbox: null };
    expect(await sessions.recall({ token, received: 0 }, "ada", 1000)).toEqual(own);
  });

  test("continues after an outage of the store, however often it was resumed meanwhile", async () => {
    const scenery = await scene((server) => server.on("n", () => new Promise(() => undefined)));
    const { runtime, client, kill, start, resumed, view } = scenery;
    const second: unknown[] = [];
    view.failing.add("put");
    for (let round = 0; round < 3; round += 1) {
      for (const { accepted } of runtime.pairs) accepted.destroy(null);
      await runtime.advance(BACK_MS);
    }
    view.failing.clear();
    await runtime.advance(2 * BACK_MS);
    for (const { accepted } of runtime.pairs) accepted.destroy(null);
    await runtime.settle();
    // The client reconnects, and the process ends before the store is updated.
    view.failing.add("put");
    await runtime.advance(BACK_MS);
    client.send("n", 1);
    await runtime.settle();
    await kill();
    await start((server) => server.on("n", (_client, n) => void second.push(n)));
    expect(second).toEqual([1]);
    expect(resumed.at(-1)).toEqual({ replayed: 1, lost: 0, restarted: true });
  });

  test("is a new one if the store fails", async () => {
    const scenery = await scene((server) => server.on("n", () => new Promise(() => undefined)));
    const { runtime, client, kill, start, resumed, expired } = scenery;
    client.send("n", 1);
    await runtime.settle();
    await kill();
    const store = scenery.view;
    await start(() => undefined);
    expect(resumed).toHaveLength(1);
    client.send("n", 2);
    await runtime.settle();
    await kill();
    const begun = start((server) => {
      server.onStartup(() => void scenery.view.failing.add("get"));
    });
    await begun;
    expect(expired).toEqual([expect.any(Number)]);
    expect(resumed).toHaveLength(1);
    expect(scenery.serverErrors).toContainEqual(expect.objectContaining({ stage: "store" }));
    expect(client.isConnected).toBe(true);
    expect(store.isDead).toBe(true);
  });

  test("is a new one if the store doesn't answer within half of authTimeoutMs", async () => {
    const scenery = await scene(() => undefined);
    const { runtime, client, kill, start, resumed, expired } = scenery;
    await kill();
    await start((server) => {
      server.onListening(() => {
        scenery.view.isDead = true;
      });
    });
    await runtime.advance(3900);
    expect(client.isConnected).toBe(false);
    await runtime.advance(200);
    expect([client.isConnected, resumed, expired]).toEqual([true, [], [0]]);
    expect(scenery.serverErrors).toContainEqual(
      expect.objectContaining({ code: ErrorCode.STORE_FAILED, stage: "store" }),
    );
  });

  test("leaves messages whose handlers were interrupted by stop() to the next server", async () => {
    const first: unknown[] = [];
    const { runtime, client, server, start, errors } = await scene((server) => {
      server.on("n", async (_client, n, { signal }) => {
        first.push(n);
        if (n === 0) await new Promise(() => undefined);
        if (n === 2) await aborted(signal);
      });
    });
    for (let n = 0; n < 3; n += 1) client.send("n", n);
    await runtime.settle();
    const stopped = outcome(server.stop({ drainMs: 100 }));
    await runtime.advance(300);
    expect([stopped.state, first]).toEqual(["resolved", [0, 1, 2]]);
    const resumed: unknown[] = [];
    client.onResume((told) => resumed.push(told));
    const second: unknown[] = [];
    const restored: unknown[] = [];
    await start((next) => {
      next.on("n", (_client, n) => void second.push(n));
      next.onClientConnect((connection) => void restored.push(connection.restored));
    });
    expect(second).toEqual([0, 2]);
    expect(errors.filter(({ stage }) => stage === "send")).toEqual([]);
    // stop() has ended the session.
    expect([resumed, restored]).toEqual([[], [null]]);
  });

  test("reports how many messages a server that stopped had not handled and the client couldn't keep", async () => {
    const { runtime, client, server, start, errors } = await scene(
      (server) => server.on("n", () => new Promise(() => undefined)),
      { maxBytes: 65_536 },
    );
    for (let n = 0; n < 100; n += 1) client.send("n", new Uint8Array(1000));
    await runtime.settle();
    const stopped = outcome(server.stop({ drainMs: 100 }));
    await runtime.advance(300);
    expect(stopped.state).toBe("resolved");
    let got = 0;
    await start((next) =>
      next.on("n", () => {
        got += 1;
      }),
    );
    await runtime.advance(BACK_MS);
    expect(got).toBeGreaterThan(50);
    const [report] = errors.filter(({ stage }) => stage === "send");
    expect(report?.code).toBe(ErrorCode.CONNECTION_CLOSED);
    expect(report?.message).toContain(` and ${100 - got} of them can't be sent again`);
  });

  test("doesn't hear a message again whose handler closed the connection", async () => {
    const got: unknown[] = [];
    const { runtime, client } = await scene((server) => {
      server.on("bye", async (connection) => {
        got.push("bye");
        await connection.close("Bye", { reconnect: true });
      });
    });
    client.send("bye", 1);
    await runtime.advance(BACK_MS);
    expect([got, client.isConnected]).toEqual([["bye"], true]);
  });

  test.each([
    ["normally", ErrorCode.CONNECTION_CLOSED],
    ["with the code of servers that stop", ErrorCode.SERVER_STOPPING],
  ])("leaves nothing in the store when its client has closed it %s", async (_how, code) => {
    const scenery = await scene(() => undefined);
    expect(await scenery.view.keys("session/", 10)).toHaveLength(1);
    const { _connection: connection } = scenery.client as unknown as { readonly _connection: Closing };
    await Promise.all([connection.close({ code, message: "Closed", reconnect: false }), scenery.runtime.advance(200)]);
    await scenery.runtime.settle();
    expect(await scenery.view.keys("session/", 10)).toEqual([]);
  });

  test("stays in the store as long as it lives, and expires behind that", async () => {
    const scenery = await scene(() => undefined);
    const { runtime, kill } = scenery;
    const { view } = scenery;
    await runtime.advance(600_000);
    expect(await view.keys("session/", 10)).toHaveLength(1);
    await kill();
    view.isDead = false;
    await runtime.advance(121_000);
    expect(await view.keys("session/", 10)).toEqual([]);
  });
});
