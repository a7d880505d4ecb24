import * as v from "valibot";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { Client } from "../client/client.ts";
import { ErrorCode, RpcError } from "../errors.ts";
import { REPORT_WINDOW_MS } from "../limits.ts";
import { Server, type ServerInit } from "../server/server.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { clientAtRawServer, testClient, testServer } from "../test-support/peers.ts";
import { PASSWORD, rawClient } from "../test-support/raw-memory.ts";
import { rawFrame } from "../testing/raw-frames.ts";
import { FrameType } from "../wire/constants.ts";

async function connected(options: Partial<ServerInit> = {}) {
  const runtime = fakeRuntime();
  const { server, errors } = await testServer(runtime, options);
  const { client, errors: clientErrors } = testClient(runtime);
  await client.connect();
  const connection = server.connections[0] as (typeof server.connections)[0];
  return { runtime, server, client, connection, errors, clientErrors };
}

test("a subclass of Client may have fields of its own", async () => {
  const runtime = fakeRuntime();
  const { server } = await testServer(runtime);
  server.rpc("plain", (params) => params);
  class Chat extends Client {
    connection = "mine";
    connectedAt = "mine";
    outgoing = ["mine"];
    core = "mine";
    owner = "mine";
  }
  const { host, port } = server.address;
  const chat = new Chat({ host, port, password: PASSWORD }, runtime);
  await chat.connect();
  expect(await chat.call("plain", { a: 1 })).toEqual({ a: 1 });
  expect(chat.stats?.connectedAt).toBeGreaterThan(0);
});

test("no stack is taken for calls and requests that succeed, only for one that fails", async () => {
  const { server, client } = await connected();
  server.rpc("echo", (params) => params);
  server.on("echo", (_connection, data) => data);
  const taken = vi.spyOn(Error, "captureStackTrace");
  onTestFinished(() => taken.mockRestore());
  for (let n = 0; n < 10; n += 1) {
    await client.call("echo", { n });
    await client.request("echo", n);
  }
  expect(taken).not.toHaveBeenCalled();
  await expect(client.call("absent")).rejects.toMatchObject({ code: ErrorCode.METHOD_NOT_FOUND });
  expect(taken).toHaveBeenCalledTimes(1);
});

describe("rpc", () => {
  test("takes a name and a handler, a name, a schema and a handler, or a definition and a handler", async () => {
    const { server, client } = await connected();
    server.rpc("plain", (params) => params);
    server.rpc("checked", v.object({ n: v.number() }), ({ n }) => n + 1);
    server.rpc(
      { name: "defined", description: "Doubles", params: v.object({ n: v.number() }), result: v.number() },
      ({ n }) => n * 2,
    );
    expect(await client.call("plain", { a: 1 })).toEqual({ a: 1 });
    expect(await client.call("plain")).toEqual({});
    expect(await client.call("checked", { n: 1 })).toBe(2);
    expect(await client.call("defined", { n: 4 })).toBe(8);
    await expect(client.call("checked", { n: "x" })).rejects.toMatchObject({ code: ErrorCode.INVALID_TYPE });
  });

  test("is discovered with names, descriptions and types", async () => {
    const { server, client } = await connected();
    server.rpc(
      {
        name: "add",
        description: "Adds",
        params: v.object({ a: v.number(), b: v.optional(v.string()) }),
        result: v.number(),
        requiresAuth: false,
      },
      () => 1,
    );
    server.rpc("plain", () => null);
    const [add, plain] = await client.discover();
    expect(add).toMatchObject({ name: "add", description: "Adds", requiresAuth: false });
    expect(Object.keys(add?.parameters ?? {})).toEqual(["a", "b"]);
    expect(plain).toMatchObject({ name: "plain", description: "", parameters: {}, requiresAuth: true });
  });

  test("is gone once it is removed", async () => {
    const { server, client } = await connected();
    const remove = server.rpc("m", () => 1);
    remove();
    remove();
    await expect(client.call("m")).rejects.toMatchObject({ code: ErrorCode.METHOD_NOT_FOUND });
  });

  test.each([
    ["no handler", (server: Server) => server.rpc("m", undefined as never), /handler of 'm' must be a function/],
    [
      "a schema that is none",
      (server: Server) => server.rpc("m", {} as never, () => 1),
      /schema of 'm' must implement/,
    ],
    [
      "a definition with a schema that is none",
      (server: Server) => server.rpc({ name: "m", result: 5 as unknown as v.AnySchema }, () => 1),
      /schema of 'm' must implement/,
    ],
    [
      "a type alone, as before a Python function,",
      (server: Server) => (server.on as (type: string) => unknown).call(server, "chat"),
      /not a decorator\): on\("chat", \(connection, data\) => …\)$/,
    ],
    [
      "a method's name alone, as before a Python function,",
      (server: Server) => (server.rpc as (name: string) => unknown).call(server, "users.list"),
      /not a decorator\): rpc\("users.list", \(params\) => …\)$/,
    ],
    ["a message handler that is none", (server: Server) => server.on("m", 5 as never), /handler of 'm' must be/],
    [
      "a message schema that is none",
      (server: Server) => server.on(["a", "b"], {} as never, () => 1),
      /schema of 'a,b' must implement/,
    ],
  ])("%s is refused when it is registered", (_what, register, message) => {
    const server = new Server({ password: PASSWORD }, fakeRuntime());
    expect(() => register(server)).toThrow(expect.objectContaining({ code: ErrorCode.INVALID_CONFIG }));
    expect(() => register(server)).toThrow(message);
  });
});

describe("on", () => {
  test("takes one type or several, with or without a schema", async () => {
    const { runtime, server, client } = await connected();
    const seen: unknown[] = [];
    const remove = server.on(["a", "b"], (connection, data) => seen.push([connection.info.name, data]));
    server.on("n", v.object({ n: v.number() }), (_connection, { n }) => seen.push(n));
    client.send("a", 1);
    client.send("b");
    client.send("n", { n: 5 });
    await runtime.settle();
    expect(seen).toEqual([["conduit_client", 1], ["conduit_client", null], 5]);
    remove();
    client.send("a", 2);
    await runtime.settle();
    expect(seen).toHaveLength(3);
  });

  test("on a client gets the data alone, and answers requests", async () => {
    const { client, connection } = await connected();
    const remove = client.on(["ask", "tell"], (data, context) => ({ data, method: context.method }));
    client.on("sum", v.array(v.number()), (numbers) => numbers.reduce((sum, n) => sum + n, 0));
    expect(await connection.request("ask", 1)).toEqual({ data: 1, method: "ask" });
    expect(await connection.request("sum", [1, 2, 3])).toBe(6);
    remove();
    await expect(connection.request("ask", 1)).rejects.toMatchObject({ code: ErrorCode.NO_HANDLER });
  });

  test("messages without a handler go to onUnknown, on both ends, until that is removed", async () => {
    const { runtime, server, client, connection } = await connected();
    const seen: unknown[] = [];
    const removers = [
      server.onUnknown((from, type, data) => seen.push([from === connection, type, data])),
      client.onUnknown((from, type, data) => seen.push([from === client, type, data])),
    ];
    client.send("what", 1);
    connection.send("eh", 2);
    await runtime.settle();
    expect(seen.sort()).toEqual([
      [true, "eh", 2],
      [true, "what", 1],
    ]);
    for (const remove of removers) remove();
    client.send("what", 1);
    await runtime.settle();
    expect(seen).toHaveLength(2);
  });
});

describe("an error that cannot be sent as it is", () => {
  const cases: [string, () => RpcError, object][] = [
    [
      "because of its details",
      () => new RpcError(4010, "No", { details: { f: () => 1 } }),
      { code: 4010, message: "No", details: undefined },
    ],
    [
      "because of its text",
      () => new RpcError(4010, "half a character: \ud83d"),
      { code: 4010, message: "The error cannot be sent" },
    ],
    [
      "because it is too long",
      () => new RpcError(4010, "x".repeat(5000)),
      { code: 4010, message: "The error cannot be sent" },
    ],
    [
      "because its code is none",
      () => Object.assign(new RpcError(900, "x".repeat(5000)), { code: "E" }),
      { code: ErrorCode.INTERNAL, message: "The error cannot be sent" },
    ],
  ];

  test.each(cases)("%s still answers the caller, is reported, and takes up no room", async (_why, make, expected) => {
    for (const isAsync of [true, false]) {
      const { runtime, server, client, errors } = await connected({ maxMessageBytes: 2048, handlerConcurrency: 1 });
      const fail = (): never => {
        throw make();
      };
      server.rpc("fail", isAsync ? async () => fail() : fail);
      server.on("fail", isAsync ? async () => fail() : fail);
      await expect(client.call("fail")).rejects.toMatchObject(expected);
      await runtime.advance(REPORT_WINDOW_MS);
      await expect(client.request("fail")).rejects.toMatchObject(expected);
      expect(errors).toHaveLength(2);
      client.send("fail");
      await runtime.settle();
      expect(await client.discover()).toHaveLength(1);
    }
  });
});

describe("onError", () => {
  test("hears exceptions of handlers, with the connection and the name; each hook can be removed", async () => {
    const { server, client, connection } = await connected();
    const seen: unknown[] = [];
    const remove = server.onError((error, context) => seen.push([error.message, context]));
    server.rpc("fail", () => {
      throw new Error("one");
    });
    await client.call("fail").catch(() => undefined);
    const failureId = expect.stringMatching(/^[0-9a-f]{16}$/);
    expect(seen).toEqual([["one", { stage: "rpc", client: connection, name: "fail", failureId }]]);
    remove();
    await client.call("fail").catch(() => undefined);
    expect(seen).toHaveLength(1);
  });

  test("gets an Error, whatever was thrown", async () => {
    const { server, client, errors } = await connected();
    const thrown: unknown[] = ["text", undefined, Object.create(null)];
    server.rpc("fail", () => {
      throw thrown.shift();
    });
    for (let count = 0; count < 3; count += 1) await client.call("fail").catch(() => undefined);
    expect(errors.map((error) => error.message)).toEqual([
      "text",
      "undefined",
      "The thrown value can't be converted to text",
    ]);
  });

  test("without a hook: an error of the application's own code becomes a warning", async () => {
    const runtime = fakeRuntime();
    const server = new Server({ password: PASSWORD, host: "test", port: 8080, scramIterations: 4096 }, runtime);
    await server.start();
    server.rpc("fail", () => {
      throw new Error("broken");
    });
    server.rpc("refuse", () => {
      throw new RpcError(4010, "No");
    });
    server.on("refuse", () => {
      throw new RpcError(4010, "No");
    });
    server.onClientConnect(() => {
      throw new Error("hook");
    });
    const peer = await rawClient(runtime, 8080);
    peer.call("fail");
    peer.call("refuse");
    peer.message("refuse");
    peer.write(rawFrame(FrameType.MESSAGE, Uint8Array.of(0xc1)));
    await runtime.settle();
    expect(runtime.warnings.map((warning) => warning.message).sort()).toEqual([
      expect.stringMatching(/^A hook of 'onClientConnect' failed \(add an onError hook.*hook/),
      expect.stringMatching(/^RPC method 'fail' failed \[failure [0-9a-f]{16}\] \(add an onError hook.*broken/),
    ]);
  });

  test("without a hook: a method that fails again and again becomes one warning per second, with its number", async () => {
    const runtime = fakeRuntime();
    const server = new Server({ password: PASSWORD, host: "test", port: 8080, scramIterations: 4096 }, runtime);
    await server.start();
    server.rpc("fail", () => {
      throw new Error("broken".repeat(10_000));
    });
    const peer = await rawClient(runtime, 8080);
    for (let n = 0; n < 5; n += 1) peer.call("fail");
    await runtime.advance(1000);
    peer.call("fail");
    await runtime.settle();
    expect(runtime.warnings.map((warning) => warning.message)).toEqual([
      expect.stringMatching(/^RPC method 'fail' failed \[failure \w+\] \(add/),
      expect.stringMatching(
        /^RPC method 'fail' failed 5 times since the last warning; the last time \[failure \w+\] \(add/,
      ),
    ]);
    expect(Math.max(...runtime.warnings.map((warning) => warning.message.length))).toBeLessThan(5000);
  });

  test("without a hook: the end of reconnecting becomes a warning", async () => {
    const runtime = fakeRuntime();
    const reconnect = { attempts: 1, delayMs: 100, maxDelayMs: 100 };
    const server = new Server({ password: PASSWORD, host: "test", port: 8080, scramIterations: 4096 }, runtime);
    await server.start();
    const client = new Client({ host: "test", port: 8080, password: PASSWORD, reconnect }, runtime);
    await client.connect();
    const stopped = server.stop();
    await runtime.advance(1000);
    await stopped;
    expect(runtime.warnings).toMatchObject([{ code: ErrorCode.RECONNECT_FAILED }]);
  });

  test("that fails itself becomes a warning", async () => {
    const { runtime, server, client } = await connected();
    server.onError(() => {
      throw new Error("the hook failed");
    });
    server.rpc("fail", () => {
      throw new Error("broken");
    });
    await client.call("fail").catch(() => undefined);
    expect(runtime.warnings.map((warning) => warning.message)).toEqual([
      expect.stringMatching(/^A hook of 'onError' failed: Error: the hook failed/),
    ]);
  });
});

describe("a client", () => {
  test("calls without waiting for an answer, not even an error's", async () => {
    const { runtime, server, client } = await connected();
    const seen: unknown[] = [];
    server.rpc("note", (params) => seen.push(params));
    expect(client.callNoWait("note" as never, { n: 1 } as never)).toBe(true);
    expect(client.callNoWait("unknown" as never)).toBe(true);
    await runtime.settle();
    expect([seen, client.health().pendingCalls]).toEqual([[{ n: 1 }], 0]);
  });

  test("reports its health", async () => {
    const { client, runtime } = await connected();
    expect(client.health()).toMatchObject({
      connected: true,
      state: "active",
      authenticated: true,
      reconnectAttempts: 0,
      serverInfo: { name: "conduit_server" },
      latency: { samples: 0 },
      pendingCalls: 0,
      bufferedBytes: 0,
    });
    client.call("listall" as never).catch(() => undefined);
    expect(client.health().pendingCalls).toBe(1);
    expect(client.bufferedBytes).toBeGreaterThan(0);
    await client.drained();
    await runtime.settle();
    await client.disconnect();
    expect(client.health()).toMatchObject({ connected: false, state: "closed", authenticated: false, latency: null });
  });

  test.each([null, 5, {}, { methods: "none" }])("refuses %j as the answer to discover()", async (answer) => {
    const { client, peer } = await clientAtRawServer();
    const discovering = client.discover();
    const request = await peer.next(FrameType.RPC_REQUEST);
    peer.send(FrameType.RPC_RESPONSE, { success: true, result: answer }, { id: request.id });
    await expect(discovering).rejects.toMatchObject({ code: ErrorCode.INVALID_PAYLOAD_SHAPE });
  });

  test("reports malformed frames of its server, and stays connected", async () => {
    const { runtime, client, errors, peer } = await clientAtRawServer();
    peer.write(rawFrame(FrameType.MESSAGE, Uint8Array.of(0xc1)));
    await runtime.settle();
    expect([errors, client.isConnected]).toMatchObject([
      [{ code: ErrorCode.MALFORMED_PAYLOAD, stage: "protocol" }],
      true,
    ]);
  });

  test("compresses payloads that shrink, if enabled", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, { enableCompression: true });
    const { client } = testClient(runtime, { enableCompression: true });
    server.rpc("echo", (params) => params);
    await client.connect();
    const before = server.connections[0]?.stats.bytesReceived ?? 0;
    const text = "compress me ".repeat(1000);
    expect(await client.call("echo", { text })).toEqual({ text });
    expect((server.connections[0]?.stats.bytesReceived ?? 0) - before).toBeLessThan(1000);
  });

  test("refuses a message over maxMessageBytes before anything is sent", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime);
    const { client } = testClient(runtime, { maxMessageBytes: 1024 });
    await client.connect();
    const tooLarge = expect.objectContaining({ code: ErrorCode.MESSAGE_TOO_LARGE });
    expect(() => client.send("x", "x".repeat(2000))).toThrow(tooLarge);
    await expect(client.call("x", { text: "x".repeat(2000) })).rejects.toMatchObject({
      code: ErrorCode.MESSAGE_TOO_LARGE,
    });
    expect(client.health().pendingCalls).toBe(0);
  });
});
