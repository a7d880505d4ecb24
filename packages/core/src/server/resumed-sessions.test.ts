import { describe, expect, test } from "vitest";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { trackKeepAlive } from "../test-support/kept-alive.ts";
import { testClient, testServer } from "../test-support/peers.ts";

const RECONNECT = { delayMs: 10, maxDelayMs: 10, jitter: false };
/** Time after which a disconnected client has reconnected. */
const BACK_MS = 100;

describe("a session that is resumed", () => {
  test("doesn't keep the process of an unref'd server running", async () => {
    const runtime = fakeRuntime();
    const keeping = trackKeepAlive(runtime, "server");
    const { server } = await testServer(runtime, { resume: true });
    server.unref();
    const { client } = testClient(runtime, { resume: true, reconnect: RECONNECT });
    await client.connect();
    runtime.pairs.at(-1)?.dialled.destroy(null);
    await runtime.advance(BACK_MS);
    expect(server.connections[0]?.resumes).toBe(1);
    expect(keeping).toEqual([false, false]);
    server.ref();
    expect(keeping[1]).toBe(true);
  });
});

describe("a session without a stream", () => {
  test("takes no file descriptor from a new client", async () => {
    const runtime = fakeRuntime();
    const listen = runtime.listen.bind(runtime);
    runtime.listen = async (target, events) => ({ ...(await listen(target, events)), maxSockets: 1 });
    const { server, errors } = await testServer(runtime, { resume: true });
    const { client } = testClient(runtime, { resume: true, reconnect: RECONNECT });
    await client.connect();
    runtime.dialBehaviours.push(() => new Promise(() => undefined));
    runtime.pairs.at(-1)?.dialled.destroy(null);
    await runtime.advance(BACK_MS);
    expect(server.connections[0]?.state).toBe("suspended");
    const { client: other } = testClient(runtime);
    await other.connect();
    expect([other.state, server.connectionCount, errors]).toEqual(["active", 2, []]);
  });
});

describe("a session that was busy", () => {
  test("takes at most 8 KiB when it is idle, and counts them", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, { resume: true });
    server.rpc("echo", (params) => params);
    const { client } = testClient(runtime, { resume: true });
    await client.connect();
    const text = "x".repeat(500);
    for (let round = 0; round < 20; round += 1) {
      await Promise.all(Array.from({ length: 20 }, () => client.call("echo", { text })));
      await runtime.advance(200);
    }
    await runtime.advance(10_000);
    const { _connection: protocol } = server.connections[0] as unknown as {
      readonly _connection: ProtocolConnection<unknown>;
    };
    // An acknowledgement is kept, in a segment of at least its size.
    expect(protocol.resumption?.stream.sent.length).toBeGreaterThan(0);
    expect(protocol.heldBytes).toBe(protocol.resumption?.stream.sent.capacity);
    expect(protocol.heldBytes).toBeLessThanOrEqual(8 * 1024);
  });
});
