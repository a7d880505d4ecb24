import { describe, expect, test } from "vitest";
import { ErrorCode, RpcError } from "../errors.ts";
import { memoryStore } from "../store/memory-store.ts";
import type { Store } from "../store/store.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { mortalStore } from "../test-support/mortal-store.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";
import type { Server } from "./server.ts";

const RECONNECT = { delayMs: 10, maxDelayMs: 10, jitter: false };
/** Time after which a client has reconnected and repeated failed attempts. */
const BACK_MS = 3000;
/** The same after many failures, when the delay of a message with `ack` is up to 30 s. */
const LATEST_BACK_MS = 31_000;

/** Starts a server with a store and a client. `restart` ends the server's process and starts another. */
async function scene(options: { readonly onceMs?: number; readonly store?: Store } = {}) {
  const runtime = fakeRuntime();
  const { onceMs, store = memoryStore({ now: () => runtime.wallClock() }) } = options;
  let view = mortalStore(store);
  const begin = (prepare: (server: Server) => void) =>
    testServer(
      runtime,
      { closeTimeoutMs: 100, resume: { store: view, ...(onceMs === undefined ? {} : { onceMs }) } },
      prepare,
    );
  let current: Awaited<ReturnType<typeof begin>>;
  const { client } = testClient(runtime, { reconnect: RECONNECT });
  return {
    runtime,
    client,
    store,
    get view() {
      return view;
    },
    get errors() {
      return current.errors;
    },
    async start(prepare: (server: Server) => void): Promise<Server> {
      current = await begin(prepare);
      await client.connect();
      return current.server;
    },
    /** Like `kill -9` and a restart. */
    async restart(prepare: (server: Server) => void): Promise<Server> {
      view.isDead = true;
      for (const { accepted } of runtime.pairs) accepted.destroy(null);
      // Its last writes never complete.
      const stopped = current.server.stop({ drainMs: 0 });
      await runtime.advance(200);
      await stopped;
      view = mortalStore(store);
      current = await begin(prepare);
      return current.server;
    },
  };
}

describe("once with a store", () => {
  test("isn't run again by a restarted server, which gives the same answer", async () => {
    const { client, start, restart, runtime } = await scene();
    let runs = 0;
    const prepare = (server: Server): void => {
      server.rpc("charge", () => ({ runs: ++runs, bytes: new Uint8Array([1, 2]), big: 2n ** 60n }));
    };
    await start(prepare);
    const first = await client.call("charge", {}, { once: "order 1" });
    await restart(prepare);
    const again = outcome(client.call("charge", {}, { once: "order 1" }));
    await runtime.advance(BACK_MS);
    expect(again.value).toEqual(first);
    expect(runs).toBe(1);
  });

  test("doesn't wait for ever for a store that doesn't answer, and is carried out once when it does again", async () => {
    const scenery = await scene();
    const { client, start, runtime } = scenery;
    let runs = 0;
    await start((server) => server.rpc("charge", () => ++runs));
    scenery.view.isDead = true;
    const call = outcome(client.call("charge", {}, { once: "order 1", timeoutMs: 60_000 }));
    await runtime.advance(9000);
    expect(scenery.errors).toEqual([]);
    await runtime.advance(2000);
    expect(scenery.errors).toMatchObject([{ code: ErrorCode.STORE_FAILED, stage: "store" }]);
    scenery.view.isDead = false;
    await runtime.advance(15_000);
    expect([call.value, runs]).toEqual([1, 1]);
  });

  test("is waited for by a server that stops, also if its client has gone, so its answer is kept", async () => {
    const { client, start, restart, runtime } = await scene();
    const open = gate();
    let runs = 0;
    const prepare = (server: Server): void => {
      server.rpc("charge", async () => {
        runs += 1;
        await open.promise;
        return runs;
      });
    };
    const server = await start(prepare);
    const lost = outcome(client.call("charge", {}, { once: "order 1" }));
    await runtime.settle();
    await client.disconnect();
    expect(lost.state).toBe("rejected");
    const stopped = outcome(server.stop({ drainMs: 10_000 }));
    await runtime.advance(1000);
    expect(stopped.state).toBe("pending");
    open.open();
    await runtime.advance(100);
    expect(stopped.state).toBe("resolved");
    await restart(prepare);
    await client.connect();
    expect(await client.call("charge", {}, { once: "order 1" })).toBe(1);
    expect(runs).toBe(1);
  });

  test("isn't waited for longer than drainMs by a server that stops", async () => {
    const { client, start, runtime } = await scene();
    const server = await start((made) => made.rpc("charge", () => new Promise(() => undefined)));
    const lost = outcome(client.call("charge", {}, { once: "order 1" }));
    await runtime.settle();
    await client.disconnect();
    const stopped = outcome(server.stop({ drainMs: 1000 }));
    await runtime.advance(900);
    expect([lost.state, stopped.state]).toEqual(["rejected", "pending"]);
    await runtime.advance(200);
    expect(stopped.state).toBe("resolved");
  });

  test("gives the same error after a restart", async () => {
    const { client, start, restart, runtime } = await scene();
    const prepare = (server: Server): void => {
      server.rpc("charge", () => {
        throw new RpcError(900, "No money", { details: { missing: 5 } });
      });
    };
    await start(prepare);
    await expect(client.call("charge", {}, { once: "order 1" })).rejects.toMatchObject({ code: 900 });
    await restart((server) => server.rpc("charge", () => "paid"));
    const again = outcome(client.call("charge", {}, { once: "order 1" }));
    await runtime.advance(BACK_MS);
    expect(again.error).toMatchObject({ code: 900, message: "No money", details: { missing: 5 } });
  });

  test("rejects with OUTCOME_UNKNOWN if the process ended while the call ran, and doesn't run it again", async () => {
    const { client, start, restart, runtime } = await scene();
    await start((server) => server.rpc("charge", () => new Promise(() => undefined)));
    const call = outcome(client.call("charge", {}, { once: "order 1" }));
    await runtime.settle();
    let runs = 0;
    await restart((server) => server.rpc("charge", () => ++runs));
    await runtime.advance(BACK_MS);
    expect(call.error).toMatchObject({ code: ErrorCode.OUTCOME_UNKNOWN });
    await expect(client.call("charge", {}, { once: "order 1" })).rejects.toMatchObject({
      code: ErrorCode.OUTCOME_UNKNOWN,
    });
    expect(runs).toBe(0);
  });

  test("continues over the next connection, and is answered there", async () => {
    const { client, start, restart, runtime } = await scene();
    await start((server) => server.rpc("charge", () => 1));
    await client.call("charge", {}, { once: "order 1" });
    for (const { accepted } of runtime.pairs) accepted.destroy(null);
    const call = outcome(client.call("charge", {}, { once: "order 2" }));
    await restart((server) => server.rpc("charge", () => 2));
    await runtime.advance(BACK_MS);
    expect(call).toMatchObject({ state: "resolved", value: 2 });
  });

  test("remembers keys for onceMs", async () => {
    const { client, start, restart, runtime } = await scene({ onceMs: 5000 });
    let runs = 0;
    const prepare = (server: Server): void => void server.rpc("charge", () => ++runs);
    await start(prepare);
    await client.call("charge", {}, { once: "order 1" });
    await runtime.advance(5001);
    await restart(prepare);
    const again = outcome(client.call("charge", {}, { once: "order 1" }));
    await runtime.advance(BACK_MS);
    expect(again.value).toBe(2);
  });

  test("runs nothing while the store fails, and the server keeps serving", async () => {
    const scenery = await scene();
    const { client, start, runtime } = scenery;
    let runs = 0;
    await start((server) => {
      server.rpc("charge", () => ++runs);
      server.rpc("ping", () => "pong");
    });
    scenery.view.failing.add("create");
    const call = outcome(client.call("charge", {}, { once: "order 1", timeoutMs: 2000 }));
    await runtime.advance(2000);
    expect(call.error).toMatchObject({ code: ErrorCode.STORE_FAILED, details: { started: false } });
    expect(call.error?.message).not.toContain("create fails");
    expect(runs).toBe(0);
    expect(scenery.errors).toContainEqual(expect.objectContaining({ code: ErrorCode.STORE_FAILED, stage: "store" }));
    expect(await client.call("ping")).toBe("pong");
    scenery.view.failing.clear();
    expect(await client.call("charge", {}, { once: "order 1" })).toBe(1);
  });

  test("answers although the store can't keep the answer, and gives it again as long as the process runs", async () => {
    const scenery = await scene();
    const { client, start } = scenery;
    let runs = 0;
    await start((server) => server.rpc("charge", () => ++runs));
    scenery.view.failing.add("put");
    for (let i = 0; i < 2; i += 1) expect(await client.call("charge", {}, { once: "order 1" })).toBe(1);
    expect(scenery.errors).toContainEqual(expect.objectContaining({ code: ErrorCode.STORE_FAILED, stage: "store" }));
  });

  test("answers MESSAGE_TOO_LARGE after a restart if the answer was too large to be kept", async () => {
    const { client, start, restart, runtime } = await scene();
    const prepare = (server: Server): void => void server.rpc("dump", () => new Uint8Array(300_000));
    await start(prepare);
    for (let i = 0; i < 2; i += 1) {
      expect(await client.call("dump", {}, { once: "1" })).toHaveLength(300_000);
    }
    await restart(prepare);
    const again = outcome(client.call("dump", {}, { once: "1" }));
    await runtime.advance(BACK_MS);
    expect(again.error).toMatchObject({ code: ErrorCode.MESSAGE_TOO_LARGE });
  });

  test("leaves to another server what that one carries out", async () => {
    const runtime = fakeRuntime();
    const store = { ...mortalStore(memoryStore({ now: () => runtime.wallClock() })), isShared: true };
    const open = gate();
    let runs = 0;
    const prepare = (server: Server): void => {
      server.rpc("charge", async () => {
        runs += 1;
        await open.promise;
        return runs;
      });
    };
    await testServer(runtime, { resume: { store } }, prepare);
    await testServer(runtime, { resume: { store }, port: 8081 }, prepare);
    const { client: first } = testClient(runtime);
    const { client: second } = testClient(runtime, { port: 8081 });
    await first.connect();
    await second.connect();
    const a = outcome(first.call("charge", {}, { once: "1", timeoutMs: 120_000 }));
    await runtime.settle();
    const b = outcome(second.call("charge", {}, { once: "1", timeoutMs: 120_000 }));
    // Longer than the first process's lease, which it renews.
    await runtime.advance(50_000);
    expect([a.state, b.state, runs]).toEqual(["pending", "pending", 1]);
    open.open();
    await runtime.advance(60_000);
    expect([a.value, b.value]).toEqual([1, 1]);
  });
});

describe("ack with a store", () => {
  test("is handled once across successive servers", async () => {
    const { client, start, restart, runtime } = await scene();
    const got: unknown[] = [];
    const prepare = (server: Server): void => void server.on("order", (_client, data) => void got.push(data));
    await start(prepare);
    await client.send("order", 1, { ack: { once: "order 1" } });
    await restart(prepare);
    const again = outcome(client.send("order", 1, { ack: { once: "order 1" } }));
    await runtime.advance(BACK_MS);
    expect(again.state).toBe("resolved");
    expect(got).toEqual([1]);
  });

  test("is delivered again if the process ended while the handler ran, which sees the count", async () => {
    const { client, start, restart, runtime } = await scene();
    await start((server) => server.on("order", () => new Promise(() => undefined)));
    const sent = outcome(client.send("order", 1, { ack: { once: "order 1" } }));
    await runtime.settle();
    const deliveries: unknown[] = [];
    await restart((server) => server.on("order", (_client, _data, { delivery }) => void deliveries.push(delivery)));
    await runtime.advance(BACK_MS);
    expect(sent.state).toBe("resolved");
    expect(deliveries).toEqual([{ key: "order 1", count: 2 }]);
  });

  test("is a dead letter when it has ended the process three times", async () => {
    const { client, start, restart, runtime } = await scene();
    const letters: unknown[] = [];
    let runs = 0;
    const prepare = (server: Server): void => {
      server.onDeadLetter((letter) => void letters.push(letter));
      server.on("poison", () => {
        runs += 1;
        return new Promise(() => undefined);
      });
    };
    await start(prepare);
    const sent = outcome(client.send("poison", { id: 1 }, { ack: { once: "p", attempts: 100 } }));
    await runtime.settle();
    let server: Server | null = null;
    for (let i = 0; i < 3; i += 1) {
      server = await restart(prepare);
      await runtime.advance(LATEST_BACK_MS);
    }
    expect(runs).toBe(3);
    expect(sent.error).toMatchObject({ code: ErrorCode.OUTCOME_UNKNOWN, details: { deliveries: 3 } });
    const letter = { type: "poison", data: { id: 1 }, key: "p", deliveries: 3, user: "" };
    expect(letters).toMatchObject([letter]);
    expect(await server?.deadLetters.list()).toEqual(letters);
  });
});
