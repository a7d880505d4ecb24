import { getEventListeners } from "node:events";
import * as v from "valibot";
import { describe, expect, test, vi } from "vitest";
import { runtimeContextOf } from "../context/runtime-context.ts";
import type { Outgoing } from "../endpoint/remote-caller.ts";
import { ErrorCode, RpcError } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";
import type { ClientInit } from "./client.ts";
import { OfflineQueue } from "./offline-queue.ts";
import { OfflineSender } from "./offline-sender.ts";

/** Returns a client that has lost its connection and waits `delayMs` to dial again. */
async function away(options: Partial<ClientInit> = {}) {
  const runtime = fakeRuntime();
  const received: unknown[] = [];
  const { server } = await testServer(runtime, {}, (fresh) => {
    fresh.on("note", (_connection, data) => {
      received.push(data);
    });
    fresh.on("ask", (_connection, data) => ({ asked: data }));
    fresh.rpc("echo", (params) => {
      received.push(params);
      return params;
    });
    fresh.rpc("wait", () => gate().promise);
  });
  const reconnect = { delayMs: 1000, maxDelayMs: 1000, attempts: 2, jitter: false };
  const { client, errors } = testClient(runtime, { queueWhileDisconnected: "send", reconnect, ...options });
  await client.connect();
  runtime.pairs.at(-1)?.accepted.destroy(null);
  await runtime.settle();
  return { runtime, server, client, errors, received };
}

describe("with queueWhileDisconnected: send", () => {
  test("messages and calls made while disconnected are sent in order after reconnecting, before onConnect", async () => {
    const { runtime, client, received } = await away();
    client.onConnect(() => client.send("note", "from the hook"));
    client.send("note", 1);
    const call = outcome(client.call("echo", { n: 2 }));
    client.callNoWait("echo" as never, { n: 3 });
    const request = outcome(client.request("ask", 4));
    client.send("note", 5);
    expect(received).toEqual([]);
    await runtime.advance(1000);
    expect(received).toEqual([1, { n: 2 }, { n: 3 }, 5, "from the hook"]);
    expect([call.value, request.value]).toEqual([{ n: 2 }, { asked: 4 }]);
  });

  test("metadata that can't be sent is rejected immediately, and later changes of metadata aren't sent", async () => {
    const { runtime, server, client } = await away();
    const received: unknown[] = [];
    server.on("noted", (_connection, _data, context) => void received.push(context.meta));
    server.rpc("traced", (_params, { meta }) => void received.push(meta));
    const invalid = { meta: { n: 1 } } as never;
    expect(() => client.send("noted", 1, invalid)).toThrow("meta of 'noted' has a number at 'n' and not a string");
    expect(() => client.callNoWait("traced", {}, invalid)).toThrow("meta of 'traced' has a number");
    const refused = [
      client.call("traced", {}, invalid),
      client.request("noted", 1, invalid),
      client.send("noted", 1, { ack: true, meta: { n: 1 } as never }),
      client.call("traced", {}, { once: "refused", meta: { n: 1 } as never }),
    ].map((call) => outcome(call));
    await runtime.settle();
    expect(refused.map(({ error }) => (error as RpcError | undefined)?.codeName)).toEqual(
      Array(4).fill("INVALID_CONFIG"),
    );

    const meta = { trace: "first" };
    client.send("noted", 1, { meta });
    client.callNoWait("traced", {}, { meta });
    const answers = [
      client.call("traced", {}, { meta }),
      client.request("noted", 1, { meta }),
      client.send("noted", 1, { ack: true, meta }),
      client.call("traced", {}, { once: "taken", meta }),
    ].map((call) => outcome(call));
    await runtime.settle();
    meta.trace = "second";
    await runtime.advance(1000);
    expect(answers.map(({ state }) => state)).toEqual(Array(4).fill("resolved"));
    expect(received).toEqual(Array(6).fill({ trace: "first" }));
  });

  test("messages sent while the server's connect hooks run don't overtake queued ones", async () => {
    const runtime = fakeRuntime();
    const received: unknown[] = [];
    const hook = gate();
    await testServer(runtime, {}, (server) => {
      server.on("note", (_connection, data) => void received.push(data));
      server.onClientConnect(async (connection) => {
        connection.send("hello");
        await hook.promise;
      });
    });
    const { client } = testClient(runtime, { queueWhileDisconnected: "send" });
    client.on("hello", () => void client.send("note", 2));
    client.send("note", 1);
    const connecting = outcome(client.connect());
    await runtime.settle();
    client.send("note", 3);
    hook.open();
    await runtime.settle();
    expect([connecting.state, received]).toEqual(["resolved", [1, 2, 3]]);
  });

  test("messages sent while the server's connect hooks run wait for the next server if the hooks take too long", async () => {
    const runtime = fakeRuntime();
    const received: unknown[] = [];
    const hooks = [gate().promise, undefined];
    await testServer(runtime, { connectionTimeoutMs: 1000 }, (server) => {
      server.on("note", (_connection, data) => void received.push(data));
      server.onClientConnect(() => hooks.shift());
    });
    const { client, errors } = testClient(runtime, { queueWhileDisconnected: "send" });
    const first = outcome(client.connect());
    await runtime.settle();
    client.send("note", 1);
    await runtime.advance(1100);
    expect([first.error?.code, received]).toEqual([ErrorCode.CONNECT_TIMEOUT, []]);
    await client.connect();
    await runtime.settle();
    expect([received, errors]).toEqual([[1], []]);
  });

  test("a call leaves no listener on its signal when it is sent, times out or is rejected", async () => {
    const { runtime, client } = await away();
    const { signal } = new AbortController();
    const timedOut = outcome(client.call("echo", {}, { signal, timeoutMs: 500 }));
    const sent = outcome(client.call("echo", {}, { signal }));
    await runtime.advance(1000);
    expect([timedOut.state, sent.state, getEventListeners(signal, "abort").length]).toEqual([
      "rejected",
      "resolved",
      0,
    ]);
    runtime.pairs.at(-1)?.accepted.destroy(null);
    await runtime.settle();
    const rejected = outcome(client.call("echo", {}, { signal }));
    await client.disconnect();
    await runtime.settle();
    expect([rejected.state, getEventListeners(signal, "abort").length]).toEqual(["rejected", 0]);
  });

  test("send returns false when the queue is nearly full, and throws SEND_QUEUE_FULL when it is full", async () => {
    const { client } = await away({ sendQueueSize: 5 });
    const room = [1, 2, 3, 4, 5].map((n) => client.send("note", n));
    expect(room).toEqual([true, true, true, false, false]);
    const full = expect.objectContaining({
      code: ErrorCode.SEND_QUEUE_FULL,
      message: expect.stringMatching(/^Cannot send 'note': 5 items, \d+ bytes are waiting for a connection/),
    });
    expect(() => client.send("note", 6)).toThrow(full);
    await expect(client.call("echo", {})).rejects.toMatchObject({ code: ErrorCode.SEND_QUEUE_FULL });
  });

  test("a call's result is validated by the contract even if the call was made while disconnected", async () => {
    const { runtime, client } = await away({ contract: { server: { methods: { echo: { result: v.number() } } } } });
    const call = outcome(client.call("echo", { n: 1 }));
    await runtime.advance(1000);
    expect(call.error).toMatchObject({
      code: ErrorCode.INVALID_RESULT,
      message: expect.stringContaining("Validation error in the result of echo"),
    });
  });

  test("a call that times out while queued isn't sent", async () => {
    const { runtime, client, received } = await away();
    const call = outcome(client.call("echo", { n: 1 }, { timeoutMs: 500 }));
    await runtime.advance(520);
    expect(call.error).toMatchObject({
      code: ErrorCode.TIMEOUT,
      message: "'echo' timed out after 500 ms without a connection",
    });
    await runtime.advance(1000);
    expect([client.isConnected, received]).toEqual([true, []]);
  });

  test("a call's time in the queue counts towards its timeout", async () => {
    const { runtime, client } = await away();
    const call = outcome(client.call("wait", {}, { timeoutMs: 1500 }));
    await runtime.advance(1400);
    expect(call.state).toBe("pending");
    await runtime.advance(150);
    expect(call.error?.code).toBe(ErrorCode.TIMEOUT);
  });

  test("a call with timeoutMs 0 waits without limit", async () => {
    const { runtime, client } = await away({
      reconnect: { delayMs: 60_000, maxDelayMs: 60_000, jitter: false },
      rpcTimeoutMs: 100,
    });
    const call = outcome(client.call("echo", { n: 1 }, { timeoutMs: 0 }));
    await runtime.advance(60_000);
    expect(call.value).toEqual({ n: 1 });
  });

  test("a call's signal cancels it while it is queued", async () => {
    const { runtime, client, received } = await away();
    const abort = new AbortController();
    const call = outcome(client.call("echo", { n: 1 }, { signal: abort.signal }));
    abort.abort("enough");
    await runtime.settle();
    expect(call.error).toMatchObject({ code: ErrorCode.CANCELLED, cause: "enough" });
    await runtime.advance(1000);
    expect(received).toEqual([]);
  });

  test("a call's signal still cancels it after it was sent", async () => {
    const { runtime, client } = await away();
    const abort = new AbortController();
    const call = outcome(client.call("wait", {}, { signal: abort.signal }));
    await runtime.advance(1000);
    expect(call.state).toBe("pending");
    abort.abort();
    await runtime.settle();
    expect(call.error?.code).toBe(ErrorCode.CANCELLED);
  });

  test("a call with an aborted signal isn't queued", async () => {
    const { client } = await away();
    const call = client.call("echo", {}, { signal: AbortSignal.abort() });
    await expect(call).rejects.toMatchObject({ code: ErrorCode.CANCELLED });
  });

  test("a call with an invalid timeout is rejected", async () => {
    const { client } = await away();
    await expect(client.call("echo", {}, { timeoutMs: Number.NaN })).rejects.toMatchObject({
      code: ErrorCode.INVALID_CONFIG,
    });
  });

  test("a call with invalid options is rejected", async () => {
    const { client } = await away();
    await expect(client.call("echo", {}, 2 as never)).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  });

  test("unsendable data throws immediately", async () => {
    const { client } = await away();
    const unserializable = expect.objectContaining({ code: ErrorCode.UNSERIALIZABLE });
    expect(() => client.send("note", () => "a function")).toThrow(unserializable);
    expect(() => client.callNoWait("echo" as never, { f: () => 1 })).toThrow(unserializable);
    await expect(client.call("echo", { f: () => 1 })).rejects.toMatchObject({ code: ErrorCode.UNSERIALIZABLE });
    await expect(client.request("ask", () => 1)).rejects.toMatchObject({ code: ErrorCode.UNSERIALIZABLE });
  });

  test("data that is too large throws immediately", async () => {
    const { client } = await away({ maxMessageBytes: 1024 });
    const tooLarge = expect.objectContaining({ code: ErrorCode.MESSAGE_TOO_LARGE });
    expect(() => client.send("note", "x".repeat(2000))).toThrow(tooLarge);
  });

  test("data, including binary data, is sent as it was when it was queued", async () => {
    const { runtime, client, received } = await away();
    const data = { n: 1, small: new Uint8Array(4), large: new Uint8Array(40_000) };
    client.send("note", data);
    client.callNoWait("echo" as never, data as never);
    const before = structuredClone(data);
    data.n = 2;
    data.small.fill(7);
    data.large.fill(7);
    await runtime.advance(1000);
    expect(received).toEqual([before, before]);
  });

  test("everything is rejected when reconnecting ends without success; messages are reported", async () => {
    const { runtime, server, client, errors } = await away();
    await server.stop({ drainMs: 0 });
    const call = outcome(client.call("echo", {}));
    client.send("note", 1);
    client.callNoWait("echo" as never, {});
    await runtime.advance(2500);
    expect(call.error?.code).toBe(ErrorCode.RECONNECT_FAILED);
    const reported = errors.filter((error) => error.name !== undefined);
    expect(reported.map(({ code, stage, name }) => [code, stage, name])).toEqual([
      [ErrorCode.RECONNECT_FAILED, "message", "note"],
      [ErrorCode.RECONNECT_FAILED, "rpc", "echo"],
    ]);
    expect(() => client.send("note", 2)).toThrow(expect.objectContaining({ code: ErrorCode.CONNECTION_CLOSED }));
  });

  test("everything is rejected by disconnect()", async () => {
    const { runtime, client, errors } = await away();
    const call = outcome(client.call("echo", {}));
    client.send("note", 1);
    await client.disconnect();
    await runtime.settle();
    expect([call.error?.code, errors.map((error) => error.code)]).toEqual([
      ErrorCode.CONNECTION_CLOSED,
      [ErrorCode.CONNECTION_CLOSED],
    ]);
  });

  test("messages waiting for a connect() are sent when it succeeds", async () => {
    const { runtime, client, received } = await away();
    client.send("note", 1);
    const connecting = client.connect();
    client.send("note", 2);
    await connecting;
    await runtime.settle();
    expect(received).toEqual([1, 2]);
  });

  test("messages survive a failed connect() and are sent by the next", async () => {
    const { runtime, server, client, received } = await away();
    await server.stop({ drainMs: 0 });
    const connecting = client.connect();
    client.send("note", 1);
    await expect(connecting).rejects.toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
    client.send("note", 2);
    await server.start();
    await client.connect();
    await runtime.settle();
    expect(received).toEqual([1, 2]);
  });

  test("messages are reported as lost when connect() fails because of a wrong password", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime);
    const { client, errors } = testClient(runtime, { queueWhileDisconnected: "send", password: "wrong" });
    client.send("note", 1);
    await expect(client.connect()).rejects.toMatchObject({ code: ErrorCode.AUTH_FAILED });
    expect(errors).toMatchObject([{ code: ErrorCode.AUTH_FAILED, stage: "message", name: "note" }]);
    expect(() => client.send("note", 2)).toThrow(expect.objectContaining({ code: ErrorCode.CONNECTION_CLOSED }));
  });

  test("messages sent before the first connect are queued and sent by it", async () => {
    const runtime = fakeRuntime();
    const received: unknown[] = [];
    await testServer(runtime, {}, (fresh) => void fresh.on("note", (_connection, data) => void received.push(data)));
    const { client } = testClient(runtime, { queueWhileDisconnected: "send" });
    client.send("note", 1);
    await client.connect();
    await runtime.settle();
    expect(received).toEqual([1]);
  });

  test("messages aren't sent to a server that started to stop before it admitted the client, but to the next server", async () => {
    const runtime = fakeRuntime();
    const received: unknown[] = [];
    const [letIn, finish] = [gate(), gate()];
    const { server } = await testServer(runtime, {}, (fresh) => {
      fresh.on("note", (_connection, data) => void received.push(data));
      fresh.rpc("finish", () => finish.promise);
      fresh.onClientConnect(({ info }) => (info?.name === "late" ? letIn.promise : undefined));
    });
    // Its call prevents the server from closing.
    const other = testClient(runtime, { reconnect: { enabled: false } }).client;
    await other.connect();
    const call = other.call("finish");
    const { client, errors } = testClient(runtime, {
      name: "late",
      queueWhileDisconnected: "send",
      reconnect: { delayMs: 10, jitter: false },
    });
    client.send("note", 1);
    const connecting = client.connect();
    await runtime.settle();
    const stopping = server.stop();
    await runtime.settle();
    letIn.open();
    await connecting;
    await runtime.settle();
    expect([client.state, received]).toEqual(["draining", []]);
    finish.open();
    await Promise.all([call, stopping]);
    await server.start();
    await runtime.advance(100);
    expect([received, errors.filter(({ stage }) => stage === "send")]).toEqual([[1], []]);
  });

  test("nothing is queued after disconnect", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime);
    const { client } = testClient(runtime, { queueWhileDisconnected: "send" });
    await client.connect();
    await client.disconnect();
    expect(() => client.send("note")).toThrow(expect.objectContaining({ code: ErrorCode.CONNECTION_CLOSED }));
  });
});

describe("drained() of a disconnected client", () => {
  /** Returns a client whose queue is filling. */
  async function filling() {
    const all = await away({ sendQueueSize: 4 });
    while (all.client.send("note", 1));
    return all;
  }

  test("resolves immediately if there is space, otherwise when there is", async () => {
    const { runtime, client, received } = await away({ sendQueueSize: 4 });
    await client.drained();
    while (client.send("note", 1));
    const drained = outcome(client.drained());
    await runtime.settle();
    expect(drained.state).toBe("pending");
    await runtime.advance(1000);
    expect([drained.state, received.length > 0]).toEqual(["resolved", true]);
  });

  test("resolves when a queued call has timed out", async () => {
    const { runtime, client } = await away({ sendQueueSize: 4 });
    for (let i = 0; i < 4; i += 1) void outcome(client.call("echo", {}, { timeoutMs: 100 }));
    const drained = outcome(client.drained());
    await runtime.advance(200);
    expect(drained.state).toBe("resolved");
  });

  test("rejects when the client is closed, and if queueing is disabled", async () => {
    const { client } = await filling();
    const drained = outcome(client.drained());
    await client.close();
    expect(drained.error?.code).toBe(ErrorCode.CONNECTION_CLOSED);
    await expect(client.drained()).rejects.toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
    const { client: other } = await away({ queueWhileDisconnected: "reject" });
    await expect(other.drained()).rejects.toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
  });
});

describe("with queueWhileDisconnected: reject", () => {
  test("everything is rejected with CONNECTION_CLOSED, calls after a pause", async () => {
    const { runtime, client } = await away({ queueWhileDisconnected: "reject" });
    const closed = { code: ErrorCode.CONNECTION_CLOSED };
    expect(() => client.send("note")).toThrow(expect.objectContaining(closed));
    expect(() => client.callNoWait("echo" as never)).toThrow(expect.objectContaining(closed));
    const call = outcome(client.call("echo", {}));
    const request = outcome(client.request("ask"));
    await runtime.settle();
    expect([call.state, request.state]).toEqual(["pending", "pending"]);
    await runtime.advance(50);
    expect([call.error, request.error]).toMatchObject([closed, closed]);
    await expect(client.drained()).rejects.toMatchObject(closed);
    expect([client.bufferedBytes, client.health().pendingCalls]).toEqual([0, 0]);
  });

  test("is the default", () => {
    expect(testClient(fakeRuntime()).client.config.queueWhileDisconnected).toBe("reject");
  });
});

describe("with queueWhileDisconnected: reject", () => {
  /** Returns a client of a server whose connect hook is still running. */
  async function letIn() {
    const runtime = fakeRuntime();
    const received: unknown[] = [];
    const hook = gate();
    const { server } = await testServer(runtime, {}, (fresh) => {
      fresh.on("note", (_connection, data) => void received.push(data));
      fresh.rpc("echo", (params) => params);
      fresh.stream("count", async function* () {
        yield 1;
      });
      fresh.onClientConnect(({ info }) => (info.name === "late" ? hook.promise : undefined));
    });
    const { client, errors } = testClient(runtime, { name: "late" });
    const connecting = outcome(client.connect());
    await runtime.settle();
    return { runtime, server, client, errors, received, hook, connecting };
  }

  test("messages, calls and streams may be sent while the server's connect hooks run", async () => {
    const { runtime, client, received, hook } = await letIn();
    client.send("note", 1);
    await client.drained();
    const call = outcome(client.call("echo", { n: 2 }));
    const item = outcome(client.stream("count").next());
    hook.open();
    await runtime.settle();
    expect([received, call.value, item.value]).toEqual([[1], { n: 2 }, { done: false, value: 1 }]);
  });

  test("they fail if the hooks reject the client", async () => {
    const { runtime, client, errors, received, hook, connecting } = await letIn();
    client.send("note", 1);
    const call = outcome(client.call("echo"));
    hook.fail(new RpcError(7001, "Not you"));
    await runtime.settle();
    expect([connecting.error?.code, call.error?.code, received]).toEqual([7001, 7001, []]);
    expect(errors).toMatchObject([{ code: 7001, stage: "message", name: "note" }]);
    expect(() => client.send("note", 2)).toThrow("not connected");
  });

  test("they fail if the server stops before admitting the client, and can be sent to another server", async () => {
    const { runtime, server, client, errors, received, hook, connecting } = await letIn();
    const busy = testClient(runtime).client;
    await busy.connect();
    server.rpc("slow", () => new Promise(() => undefined));
    busy.callNoWait("slow");
    client.send("note", 1);
    const call = outcome(client.call("echo"));
    await runtime.settle();
    void server.stop({ drainMs: 5000 });
    await runtime.settle();
    expect([client.state, call.state]).toEqual(["connected", "pending"]);
    hook.open();
    await runtime.settle();
    expect([client.state, connecting.state]).toEqual(["draining", "resolved"]);
    expect(call.error).toMatchObject({ code: ErrorCode.SERVER_STOPPING, details: { started: false } });
    expect([errors[0]?.code, received]).toEqual([ErrorCode.SERVER_STOPPING, []]);
  });
});

test("a queued request keeps the type of its reply", async () => {
  const runtime = fakeRuntime();
  const context = runtimeContextOf(runtime);
  const queue = new OfflineQueue<Outgoing>(context.wheel, { sendQueueSize: 10, sendQueueBytes: 1000 });
  const sender = new OfflineSender(queue, {
    rpcTimeoutMs: 0,
    writer: context.writer(1000, false),
    mustQueue: () => undefined,
    clock: runtime,
    isTemporary: () => true,
    streamConnection: () => null,
    whyNoStream: () => "not connected",
    sendFailed: () => undefined,
  });
  const answer = sender.request("get", {}, undefined, null, "file");
  const request = vi.fn(() => Promise.resolve("sent"));
  queue.sendAll({ request } as unknown as Outgoing);
  expect(await answer).toBe("sent");
  expect(request).toHaveBeenCalledWith("get", expect.anything(), expect.anything(), null, "file");
  expect(() => sender.streamConnection("items")).toThrow("Cannot call 'items' with a stream: not connected");
});

test("errors of unsent calls state that they weren't started: while disconnected and after a timeout in the queue", async () => {
  const unsent = { details: { started: false } };
  const runtime = fakeRuntime();
  const { client } = testClient(runtime);
  expect(() => client.send("note")).toThrow(expect.objectContaining(unsent));
  await expect(client.call("echo")).rejects.toMatchObject(unsent);
  await expect(client.stream("items").next()).rejects.toMatchObject(unsent);
  const { client: queueing, runtime: other } = await away();
  const call = outcome(queueing.call("echo", {}, { timeoutMs: 100 }));
  await other.advance(200);
  expect(call.error).toMatchObject({ code: ErrorCode.TIMEOUT, ...unsent });
});
