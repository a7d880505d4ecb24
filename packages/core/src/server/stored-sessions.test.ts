import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { memoryStore } from "../store/memory-store.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { mortalStore } from "../test-support/mortal-store.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";
import type { Server } from "./server.ts";

const RECONNECT = { delayMs: 10, maxDelayMs: 10, jitter: false };
/** A client is connected again by then. */
const BACK_MS = 1000;

/** A server with a store, its client, and a way to have the server's process end and another begin. */
async function scene(prepare: (server: Server) => void, resume: { maxBytes?: number } = {}) {
  const runtime = fakeRuntime();
  const store = memoryStore({ now: () => runtime.wallClock() });
  const users = { ada: { password: "one password" }, bob: { password: "another one" } };
  let view = mortalStore(store);
  const begin = (how: (server: Server) => void) =>
    testServer(runtime, { resume: { store: view, windowMs: 60_000 }, users, closeTimeoutMs: 100 }, how);
  let current = await begin(prepare);
  const ada = { username: "ada", password: "one password", resume, reconnect: RECONNECT };
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
    /** The process of the server ends as by `kill -9`. */
    async kill(): Promise<void> {
      view.isDead = true;
      for (const { accepted } of runtime.pairs) accepted.destroy(null);
      // It waits in vain for its last writes.
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

describe("a session whose server was started anew", () => {
  test("goes on: what was handled isn't handled again, and what wasn't is, in order", async () => {
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
    // The call had been refused: no such method.
    expect(second).toEqual([3, 4, 5]);
    expect(unfinished).toEqual({ unfinished: 3 });
    expect(resumed).toEqual([{ replayed: 3, lost: 0, restarted: true }]);
    expect(expired).toEqual([]);
  });

  test("goes on several times, also with what is sent meanwhile", async () => {
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

  test("tells the client what was lost, if more than maxBytes weren't handled", async () => {
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

  test("ends its calls with CONNECTION_CLOSED, and is told to the client's hooks as a new connection", async () => {
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

  test("isn't another user's, and a store that fails makes it a new one", async () => {
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

  test("leaves nothing in the store when its client has closed it", async () => {
    const scenery = await scene(() => undefined);
    expect(await scenery.view.keys("session/", 10)).toHaveLength(1);
    await scenery.client.disconnect();
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
