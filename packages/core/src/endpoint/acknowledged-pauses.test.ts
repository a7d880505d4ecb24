import { getEventListeners } from "node:events";
import { describe, expect, test } from "vitest";
import { ErrorCode, RpcError } from "../errors.ts";
import { memoryStore } from "../store/memory-store.ts";
import type { Store } from "../store/store.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { mortalStore } from "../test-support/mortal-store.ts";
import { outcome, testClient, testPool, testServer } from "../test-support/peers.ts";

/** Timeout after which an unsendable message rejects. */
const REFUSAL_MS = 50;

/** Returns options of a server that rejects calls and messages with a key for a second, because its store fails. */
function refusing(): { readonly resume: { readonly store: Store } } {
  const store = mortalStore(memoryStore());
  store.failing.add("create");
  return { resume: { store } };
}

/** A failing handler, whose message is redelivered later. */
const fail = (): never => {
  throw new RpcError(900, "Not now");
};
const LATER = { ack: { deliveries: 10, delayMs: 30_000 } };

describe("a wait before another attempt", () => {
  test("of a client ends with disconnect(), and keeps the process running no longer", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, refusing());
    server.on("order", () => undefined);
    server.rpc("charge", () => undefined);
    const { client } = testClient(runtime);
    await client.connect();
    const sent = outcome(client.send("order", 1, { ack: true }));
    const called = outcome(client.call("charge", {}, { once: "1", timeoutMs: 0 }));
    await runtime.settle();
    await client.disconnect();
    await runtime.advance(REFUSAL_MS);
    expect(sent.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED });
    expect(called.error).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
    await server.stop();
    expect(runtime.timers.keepingAlive).toBe(0);
  });

  test("leaves nothing on the signal of its message", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime);
    const counts: (number | undefined)[] = [];
    server.on("order", (_connection, _data, { delivery }) => {
      counts.push(delivery?.count);
      if (counts.length < 3) fail();
    });
    const { client } = testClient(runtime);
    await client.connect();
    const { signal } = new AbortController();
    const sent = outcome(client.send("order", 1, { ack: { deliveries: 3, delayMs: 100, signal } }));
    await runtime.settle();
    await runtime.advance(1000);
    expect([sent.state, counts, getEventListeners(signal, "abort")]).toEqual(["resolved", [1, 2, 3], []]);
  });

  test("doesn't begin for a call that its program cancels as soon as its attempt has failed", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime, {}, (server) => server.rpc("charge", () => new Promise(() => undefined)));
    const { client } = testClient(runtime);
    await client.connect();
    const controller = new AbortController();
    client.onDisconnect(() => controller.abort());
    const { signal } = controller;
    const called = outcome(client.call("charge", {}, { once: "1", signal }));
    await runtime.settle();
    runtime.pairs.at(-1)?.dialled.destroy(null);
    await runtime.settle();
    expect(called.error).toMatchObject({ code: ErrorCode.CANCELLED });
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  test("of a client ends when it gives up reconnecting", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime);
    const { client } = testClient(runtime, { reconnect: { attempts: 1, delayMs: 10, jitter: false } });
    server.on("order", fail);
    await client.connect();
    const sent = outcome(client.send("order", 1, LATER));
    await runtime.settle();
    await server.stop({ drainMs: 0 });
    await runtime.advance(50_000);
    expect(client.state).toBe("failed");
    expect(sent.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED });
  });

  test("of a server ends with the client's connection", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime);
    const { client } = testClient(runtime);
    client.on("order", fail);
    await client.connect();
    const [connection] = server.connections;
    const sent = outcome(connection?.send("order", 1, LATER) as unknown as Promise<void>);
    const byId = outcome(server.peer(connection?.id ?? "").send("order", 1, LATER) as unknown as Promise<void>);
    await runtime.settle();
    await client.disconnect();
    await runtime.settle();
    expect(sent.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED });
    expect(byId.state).toBe("pending");
    await server.stop();
    await runtime.settle();
    expect(byId.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED });
    expect(runtime.timers.keepingAlive).toBe(0);
  });

  test("of a pool ends with disconnect(), after which nothing is tried again", async () => {
    const runtime = fakeRuntime();
    const { server, port } = await testServer(runtime, refusing());
    server.on("order", () => undefined);
    const { pool } = testPool(runtime, [port]);
    await pool.connect();
    const sent = outcome(pool.send("order", 1, { ack: true }));
    await runtime.settle();
    await pool.disconnect();
    const late = outcome(pool.send("order", 1, { ack: true }));
    await runtime.settle();
    expect(sent.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED });
    expect(late.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED, details: { attempts: 0, started: false } });
    await server.stop();
    expect(runtime.timers.keepingAlive).toBe(0);
  });
});
