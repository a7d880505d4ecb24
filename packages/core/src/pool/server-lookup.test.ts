import { describe, expect, test } from "vitest";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { type LookupSettings, type PoolServer, ServerLookup } from "./server-lookup.ts";

const db = { host: "db.test", port: 5000 };

function lookup(runtime: FakeRuntime, settings: Partial<LookupSettings> = {}) {
  const reports: (readonly PoolServer[])[] = [];
  const all = { servers: [db], ipv6: false, lookupIntervalMs: 30_000, connectTimeoutMs: 10_000, ...settings };
  const found = new ServerLookup(runtime, all, (servers) => reports.push(servers));
  return { found, addresses: () => reports.at(-1)?.map(({ address }) => address), reports };
}

describe("a name", () => {
  test("is one server until it has been looked up", () => {
    expect(lookup(fakeRuntime()).reports).toEqual([[{ address: "db.test:5000", target: db, name: null }]]);
  });

  test("with several addresses is a server at each, each once", async () => {
    const runtime = fakeRuntime();
    runtime.names.set("db.test", ["10.0.0.1", "10.0.0.2", "10.0.0.1"]);
    const { found, reports } = lookup(runtime);
    await found.start();
    found.stop();
    expect(reports.at(-1)).toEqual([
      { address: "10.0.0.1:5000", target: { host: "10.0.0.1", port: 5000 }, name: "db.test" },
      { address: "10.0.0.2:5000", target: { host: "10.0.0.2", port: 5000 }, name: "db.test" },
    ]);
  });

  test("with one address stays one server, by its name", async () => {
    const runtime = fakeRuntime();
    runtime.names.set("db.test", ["10.0.0.1", "::1", "::2"]);
    const { found, addresses } = lookup(runtime);
    await found.start();
    found.stop();
    expect(addresses()).toEqual(["db.test:5000"]);
  });

  test("has its IPv6 addresses if there are no others, or if only those are wanted", async () => {
    for (const [ipv6, names] of [
      [false, ["::1", "::2"]],
      [true, ["10.0.0.1", "10.0.0.2", "::1", "::2"]],
    ] as const) {
      const runtime = fakeRuntime();
      runtime.names.set("db.test", names);
      const { found, addresses } = lookup(runtime, { ipv6 });
      await found.start();
      found.stop();
      expect(addresses()).toEqual(["[::1]:5000", "[::2]:5000"]);
    }
  });

  test("keeps its servers while it can't be looked up", async () => {
    const runtime = fakeRuntime();
    runtime.names.set("db.test", ["10.0.0.1", "10.0.0.2"]);
    const { found, addresses } = lookup(runtime);
    await found.start();
    runtime.names.delete("db.test");
    await runtime.advance(30_000);
    expect(runtime.lookups).toBeGreaterThan(1);
    found.stop();
    expect(addresses()).toEqual(["10.0.0.1:5000", "10.0.0.2:5000"]);
  });

  test("that takes too long to look up isn't waited for", async () => {
    const runtime = fakeRuntime();
    runtime.names.set("db.test", new Promise(() => {}));
    const { found, addresses } = lookup(runtime);
    let isReady = false;
    void found.start().then(() => {
      isReady = true;
    });
    await runtime.advance(9999);
    expect(isReady).toBe(false);
    await runtime.advance(1);
    expect(isReady).toBe(true);
    expect(addresses()).toEqual(["db.test:5000"]);
    found.stop();
  });
});

test("addresses and paths aren't looked up", async () => {
  const runtime = fakeRuntime();
  const servers = [{ host: "127.0.0.1", port: 1 }, { host: "::1", port: 1 }, { path: "/run/app.sock" }];
  const { found, addresses } = lookup(runtime, { servers });
  await found.start();
  expect(runtime.lookups).toBe(0);
  expect(runtime.timers.count).toBe(0);
  expect(addresses()).toEqual(["127.0.0.1:1", "[::1]:1", "unix:/run/app.sock"]);
});

test("with lookupIntervalMs 0 names aren't looked up", async () => {
  const runtime = fakeRuntime();
  const { found } = lookup(runtime, { lookupIntervalMs: 0 });
  await found.start();
  expect(runtime.lookups).toBe(0);
});

test("an address that two entries stand for is one server", async () => {
  const runtime = fakeRuntime();
  runtime.names.set("db.test", ["10.0.0.1", "10.0.0.2"]);
  const { found, addresses } = lookup(runtime, { servers: [db, { host: "10.0.0.2", port: 5000 }] });
  await found.start();
  found.stop();
  expect(addresses()).toEqual(["10.0.0.1:5000", "10.0.0.2:5000"]);
});

describe("names are looked up again", () => {
  async function running() {
    const runtime = fakeRuntime();
    runtime.names.set("db.test", ["10.0.0.1", "10.0.0.2"]);
    const { found, addresses } = lookup(runtime);
    await found.start();
    runtime.names.set("db.test", ["10.0.0.3", "10.0.0.2"]);
    return { runtime, found, addresses };
  }

  test("after lookupIntervalMs", async () => {
    const { runtime, found, addresses } = await running();
    await runtime.advance(29_999);
    expect(addresses()).toEqual(["10.0.0.1:5000", "10.0.0.2:5000"]);
    await runtime.advance(1);
    expect(addresses()).toEqual(["10.0.0.3:5000", "10.0.0.2:5000"]);
    found.stop();
  });

  test("when a server was lost, 5 seconds after the last look-up at the earliest", async () => {
    const { runtime, found, addresses } = await running();
    await runtime.advance(1000);
    found.lookUpSoon();
    found.lookUpSoon();
    await runtime.advance(3999);
    expect(addresses()).toEqual(["10.0.0.1:5000", "10.0.0.2:5000"]);
    await runtime.advance(1);
    expect(addresses()).toEqual(["10.0.0.3:5000", "10.0.0.2:5000"]);
    found.stop();
  });

  test("by a timer that doesn't keep the process running, until it stops", async () => {
    const { runtime, found } = await running();
    expect(runtime.timers).toEqual({ count: 1, keepingAlive: 0 });
    found.stop();
    found.lookUpSoon();
    expect(runtime.timers.count).toBe(0);
  });

  test("not if it stopped during a look-up", async () => {
    const { runtime, found, addresses } = await running();
    const late = Promise.withResolvers<readonly string[]>();
    runtime.names.set("db.test", late.promise);
    await runtime.advance(30_000);
    expect(runtime.lookups).toBe(2);
    found.stop();
    late.resolve(["10.0.0.3", "10.0.0.4"]);
    await runtime.settle();
    expect(runtime.timers.count).toBe(0);
    expect(addresses()).toEqual(["10.0.0.1:5000", "10.0.0.2:5000"]);
  });
});
