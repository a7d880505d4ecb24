import { describe, expect, test } from "vitest";
import { ErrorCode, RpcError } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { outcome, testClient, testPool, testServer } from "../test-support/peers.ts";

/** What can't be sent rejects after this time. */
const REFUSAL_MS = 50;

/** The other side asks every attempt to come again. */
function refusing(retry_after: unknown): () => never {
  return () => {
    throw new RpcError(ErrorCode.RATE_LIMITED, "Not now", { details: { retry_after } });
  };
}

describe("a wait before another attempt", () => {
  test("of a client ends with disconnect(), and keeps the process running no longer", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime);
    server.on("order", refusing(100));
    server.rpc("charge", refusing(100));
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

  test("of a client ends when it gives up reconnecting", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime);
    const { client } = testClient(runtime, { reconnect: { attempts: 1, delayMs: 10, jitter: false } });
    server.on("order", refusing(100));
    await client.connect();
    const sent = outcome(client.send("order", 1, { ack: true }));
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
    client.on("order", refusing(100));
    await client.connect();
    const [connection] = server.connections;
    const sent = outcome(connection?.send("order", 1, { ack: true }) as unknown as Promise<void>);
    const byId = outcome(server.peer(connection?.id ?? "").send("order", 1, { ack: true }) as unknown as Promise<void>);
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
    const { server, port } = await testServer(runtime);
    server.on("order", refusing(100));
    const { pool } = testPool(runtime, [port]);
    await pool.connect();
    const sent = outcome(pool.send("order", 1, { ack: true }));
    await runtime.settle();
    await pool.disconnect();
    const late = outcome(pool.send("order", 1, { ack: true }));
    await runtime.settle();
    expect(sent.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED });
    expect(late.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED, details: { attempts: 1 } });
    await server.stop();
    expect(runtime.timers.keepingAlive).toBe(0);
  });
});
