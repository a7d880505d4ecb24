import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";
import type { ClientOptions } from "./client-options.ts";

const RECONNECT = { delayMs: 100, maxDelayMs: 100, jitter: false };

/** Starts a server and creates a client without connecting it. */
async function scene(options: Partial<ClientOptions> = {}) {
  const runtime = fakeRuntime();
  const { server } = await testServer(runtime, { resume: options.resume === true });
  const { client, errors } = testClient(runtime, { reconnect: RECONNECT, ...options });
  const cut = async (): Promise<void> => {
    runtime.pairs.at(-1)?.accepted.destroy(null);
    await runtime.settle();
  };
  return { runtime, server, client, errors, cut };
}

describe("client.connected()", () => {
  test("resolves immediately for a connected client", async () => {
    const { client, runtime } = await scene();
    await client.connect();
    const wait = outcome(client.connected());
    await runtime.settle();
    expect(wait.state).toBe("resolved");
  });

  test("waits for the first connection, regardless of who requests it", async () => {
    const { client, runtime } = await scene();
    const wait = outcome(client.connected());
    await runtime.advance(1000);
    expect(wait.state).toBe("pending");
    await client.connect();
    await runtime.settle();
    expect([wait.state, client.isConnected]).toEqual(["resolved", true]);
  });

  test.each([false, true])("waits for the next connection after a lost one, with resume %s", async (resume) => {
    const { client, runtime, cut } = await scene({ resume });
    await client.connect();
    await cut();
    const wait = outcome(client.connected());
    await runtime.settle();
    expect(wait.state).toBe("pending");
    await runtime.advance(100);
    expect([wait.state, client.isConnected]).toEqual(["resolved", true]);
  });

  test("keeps waiting for the next connect() when one fails", async () => {
    const { client, runtime, server } = await scene();
    await server.stop();
    const wait = outcome(client.connected());
    await expect(client.connect()).rejects.toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
    await runtime.settle();
    expect(wait.state).toBe("pending");
    await server.start();
    await client.connect();
    await runtime.settle();
    expect(wait.state).toBe("resolved");
  });

  test("rejects with CONNECTION_CLOSED when the client is closed and until connect() is called again", async () => {
    const { client, runtime } = await scene();
    const wait = outcome(client.connected());
    await client.close();
    await runtime.settle();
    expect(wait.error).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
    await expect(client.connected()).rejects.toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
    const connecting = client.connect();
    await client.connected();
    await connecting;
  });

  test("rejects when the client gives up, with the reason as its cause", async () => {
    const { client, runtime, server } = await scene({ reconnect: { ...RECONNECT, attempts: 2 } });
    await client.connect();
    await server.stop();
    const wait = outcome(client.connected());
    await runtime.advance(1000);
    const cause = expect.objectContaining({ code: ErrorCode.RECONNECT_FAILED });
    expect(wait.error).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED, cause });
  });

  test("rejects when a client that doesn't reconnect has lost its connection", async () => {
    const { client, runtime, cut } = await scene({ reconnect: { enabled: false } });
    await client.connect();
    await cut();
    const wait = outcome(client.connected());
    await runtime.settle();
    expect(wait.error).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
  });

  test("rejects with TIMEOUT after timeoutMs, and with CANCELLED when its signal is aborted", async () => {
    const { client, runtime } = await scene();
    const controller = new AbortController();
    const late = outcome(client.connected({ timeoutMs: 500 }));
    const cancelled = outcome(client.connected({ signal: controller.signal }));
    const patient = outcome(client.connected());
    controller.abort();
    await runtime.advance(499);
    expect([late.state, cancelled.error?.code, patient.state]).toEqual(["pending", ErrorCode.CANCELLED, "pending"]);
    await runtime.advance(1);
    expect([late.error?.code, patient.state]).toEqual([ErrorCode.TIMEOUT, "pending"]);
    await expect(client.connected({ signal: controller.signal })).rejects.toMatchObject({ code: ErrorCode.CANCELLED });
    await client.close();
    await runtime.settle();
    expect(patient.settled).toBe(1);
  });

  test.each([[{ timeoutMs: -1 }], [{ timeoutMs: Number.NaN }], [7]])("rejects the options %o", async (options) => {
    const { client } = await scene();
    await expect(client.connected(options as never)).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  });
});

test("a stream without a connection is rejected with a suggestion", async () => {
  const { client, cut } = await scene();
  const refusal = async (): Promise<string> => await outcomeOf(client.stream("count").next());
  expect(await refusal()).toBe("Cannot call 'count' with a stream: not connected (disconnected); call connect() first");
  await client.connect();
  await cut();
  const waiting = "not connected yet; await connected() first, since such calls aren't queued";
  expect(await refusal()).toBe(`Cannot call 'count' with a stream: ${waiting}`);
});

test("the error of a message sent while connecting suggests to await connected()", async () => {
  const { client, cut, runtime } = await scene();
  const remedy = 'not connected yet; await connected() first, or set queueWhileDisconnected to "send"';
  await client.connect();
  await cut();
  expect(() => client.send("note", 1)).toThrow(`Cannot send 'note': ${remedy}`);
  void client.close();
  await runtime.settle();
  expect(() => client.send("note", 1)).toThrow("Cannot send 'note': not connected (closed); call connect() first");
});

async function outcomeOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => "resolved",
    (error: Error) => error.message,
  );
}
