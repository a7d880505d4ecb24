import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { ErrorCode, RpcError } from "../errors.ts";
import { CANCEL_FRAME } from "../extensions/cancel.ts";
import type { HandlerContext } from "../rpc/incoming-request.ts";
import { EPOCH_MS, fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { clientAtRawServer, outcome, testClient, testServer } from "../test-support/peers.ts";
import { rawClient } from "../test-support/raw-memory.ts";
import { rawFrame } from "../testing/raw-frames.ts";
import { FrameType } from "../wire/constants.ts";

/** Logs in a raw client at a server. */
async function fromRawClient(options: Record<string, unknown> = {}, login: Parameters<typeof rawClient>[2] = {}) {
  const runtime = fakeRuntime();
  const { server, port, errors } = await testServer(runtime, options);
  const peer = await rawClient(runtime, port, login);
  return { runtime, server, errors, peer };
}

describe("a call", () => {
  test("resolves with the result of its own reply, whatever the order of the replies", async () => {
    const { runtime, client, peer } = await clientAtRawServer();
    const calls = [1, 2, 3].map((n) => outcome(client.call("m", { n })));
    const requests = await peer.received();
    for (const request of requests.reverse()) {
      const params = request.payload?.["params"] as { n: number } | undefined;
      peer.send(FrameType.RPC_RESPONSE, { success: true, result: (params?.n ?? 0) * 10 }, { id: request.id });
    }
    await runtime.settle();
    expect(calls.map((call) => call.value)).toEqual([10, 20, 30]);
  });

  test("rejects with code, message and details of RPC_ERROR", async () => {
    const { client, peer } = await clientAtRawServer();
    const call = client.call("m", {});
    const request = await peer.next(FrameType.RPC_REQUEST);
    const payload = { success: false, error: "No such user", code: 4010, details: { id: 7 } };
    peer.send(FrameType.RPC_ERROR, payload, { id: request.id });
    const error = await call.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(RpcError);
    expect(error).toMatchObject({ code: 4010, message: "No such user", details: { id: 7 } });
  });

  test("rejects with TIMEOUT, tells the server, and ignores the late reply", async () => {
    const { runtime, client, peer } = await clientAtRawServer({}, { rpcTimeoutMs: 1000 });
    const call = outcome(client.call("slow", {}));
    const request = await peer.next(FrameType.RPC_REQUEST);
    await runtime.advance(990);
    expect(call.state).toBe("pending");
    await runtime.advance(30);
    expect(call.error).toMatchObject({
      code: ErrorCode.TIMEOUT,
      message: expect.stringMatching(/^'slow' timed out after 1000 ms: the server .+ has not replied$/),
    });
    expect(await peer.next(CANCEL_FRAME)).toMatchObject({ id: request.id });
    peer.send(FrameType.RPC_RESPONSE, { success: true, result: 1 }, { id: request.id });
    await runtime.settle();
    expect([call.settled, client.isConnected, client.health().pendingCalls]).toEqual([1, true, 0]);
  });

  test("takes its own timeoutMs; 0 waits as long as it takes", async () => {
    const { runtime, client } = await clientAtRawServer({}, { rpcTimeoutMs: 1000 });
    const short = outcome(client.call("m", {}, { timeoutMs: 100 }));
    const endless = outcome(client.call("m", {}, { timeoutMs: 0 }));
    await runtime.advance(130);
    expect([short.state, endless.state]).toEqual(["rejected", "pending"]);
    await runtime.advance(20_000);
    expect(endless.state).toBe("pending");
  });

  test.each([Number.NaN, -1, Number.POSITIVE_INFINITY, "5" as never])(
    "refuses a timeoutMs of %o",
    async (timeoutMs) => {
      const { client } = await clientAtRawServer();
      await expect(client.call("m", {}, { timeoutMs })).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
      expect(client.health().pendingCalls).toBe(0);
    },
  );

  test.each([
    [2, '("m") must be an object ({ meta, timeoutMs, signal, parent, result'],
    [null, "), got null"],
    [{ result: "number" }, "result of 'm' must be a schema that implements Standard Schema v1, got \"number\""],
    [{ result: null }, "result of 'm' must be a schema that implements Standard Schema v1, got null"],
  ])("rejects with INVALID_CONFIG for the options %o", async (options, message) => {
    const { client } = await clientAtRawServer();
    for (const call of [client.call("m", {}, options as never), client.request("m", {}, options as never)]) {
      await expect(call).rejects.toMatchObject({
        code: ErrorCode.INVALID_CONFIG,
        message: expect.stringContaining(message),
      });
    }
    expect(client.health().pendingCalls).toBe(0);
  });

  test("tells the server how long it waits, where that is agreed on", async () => {
    const { client, peer } = await clientAtRawServer({}, { rpcTimeoutMs: 1234 });
    client.call("m", {}).catch(() => undefined);
    client.call("m", {}, { timeoutMs: 0 }).catch(() => undefined);
    const requests = await peer.received();
    expect(requests.map((request) => request.payload?.["timeout_ms"])).toEqual([1234, undefined]);
  });

  test("tells a netconduit server nothing of its timeout", async () => {
    const { client, peer } = await clientAtRawServer(
      { extensions: null, passwordHash: true },
      { allowPasswordHash: true },
    );
    client.call("m", {}).catch(() => undefined);
    expect((await peer.next(FrameType.RPC_REQUEST)).payload).toEqual({ method: "m", params: {} });
  });

  test("rejects with CANCELLED at once when its signal fires, and tells the server", async () => {
    const { runtime, client, peer } = await clientAtRawServer();
    const abort = new AbortController();
    const call = outcome(client.call("m", {}, { signal: abort.signal }));
    const request = await peer.next(FrameType.RPC_REQUEST);
    abort.abort("enough");
    await runtime.settle();
    expect(call.error).toMatchObject({ code: ErrorCode.CANCELLED, cause: "enough" });
    expect(await peer.next(CANCEL_FRAME)).toMatchObject({ id: request.id });
  });

  test("with a signal that fired before is not sent at all, and neither is a request", async () => {
    const { client, peer } = await clientAtRawServer();
    const signal = AbortSignal.abort("no");
    await expect(client.call("m", {}, { signal })).rejects.toMatchObject({ code: ErrorCode.CANCELLED, cause: "no" });
    await expect(client.request("m", {}, { signal })).rejects.toMatchObject({ code: ErrorCode.CANCELLED });
    expect(await peer.receivedTypes()).toEqual([]);
  });

  test("leaves no listener on its signal, however it ends", async () => {
    const { client, peer } = await clientAtRawServer();
    let listeners = 0;
    const signal = {
      aborted: false,
      reason: undefined,
      throwIfAborted: () => undefined,
      addEventListener: () => {
        listeners += 1;
      },
      removeEventListener: () => {
        listeners -= 1;
      },
    } as unknown as AbortSignal;
    const call = client.call("m", {}, { signal });
    expect(listeners).toBe(1);
    const request = await peer.next(FrameType.RPC_REQUEST);
    peer.send(FrameType.RPC_RESPONSE, { success: true, result: null }, { id: request.id });
    await call;
    expect(listeners).toBe(0);
  });

  test("that waits for RESUME and is cancelled is withdrawn: neither it nor a CANCEL is sent", async () => {
    const { runtime, client, peer } = await clientAtRawServer();
    peer.send(FrameType.PAUSE);
    await runtime.settle();
    const abort = new AbortController();
    client.call("m", {}, { signal: abort.signal }).catch(() => undefined);
    client.send("after");
    abort.abort();
    peer.send(FrameType.RESUME);
    expect(await peer.receivedTypes()).toEqual(["MESSAGE"]);
  });

  test("that is given up sends no CANCEL to a peer without that extension", async () => {
    const { runtime, client, peer } = await clientAtRawServer({ extensions: ["reply"] });
    client.call("m", {}, { timeoutMs: 100 }).catch(() => undefined);
    await runtime.advance(200);
    expect(await peer.receivedTypes()).toEqual(["RPC_REQUEST"]);
  });

  test("checks its result with the schema it is given", async () => {
    const { client, peer } = await clientAtRawServer();
    const result = v.object({ n: v.pipe(v.number(), v.toMinValue(10)) });
    const answers = [{ n: 1 }, { n: "one" }];
    const calls = answers.map(() => outcome(client.call("m", {}, { result })));
    for (const answer of answers) {
      const request = await peer.next(FrameType.RPC_REQUEST);
      peer.send(FrameType.RPC_RESPONSE, { success: true, result: answer }, { id: request.id });
    }
    await peer.received();
    expect(calls[0]?.value).toEqual({ n: 10 });
    expect(calls[1]?.error).not.toBeInstanceOf(RpcError);
    expect(calls[1]?.error).toMatchObject({
      code: ErrorCode.INVALID_RESULT,
      message: 'Validation error in the result of m: n: Invalid type: Expected number but received "one"',
      details: { errors: [{ field: "n", code: ErrorCode.INVALID_TYPE }] },
    });
  });

  test("waits for a schema that is asynchronous", async () => {
    const { client, peer } = await clientAtRawServer();
    const result = v.pipeAsync(
      v.number(),
      v.checkAsync(async (n) => n > 1, "must be more than one"),
    );
    const calls = [1, 2].map(() => outcome(client.call("m", {}, { result })));
    for (const answer of [1, 2]) {
      const request = await peer.next(FrameType.RPC_REQUEST);
      peer.send(FrameType.RPC_RESPONSE, { success: true, result: answer }, { id: request.id });
    }
    await peer.received();
    expect([calls[0]?.error?.code, calls[1]?.value]).toEqual([ErrorCode.INVALID_RESULT, 2]);
  });

  test.each([
    ["malformed", FrameType.RPC_RESPONSE, Uint8Array.of(0xc1), ErrorCode.MALFORMED_PAYLOAD],
    ["not a map", FrameType.RPC_RESPONSE, Uint8Array.of(0x01), ErrorCode.INVALID_PAYLOAD_SHAPE],
    ["malformed", FrameType.RPC_ERROR, Uint8Array.of(0xc1), ErrorCode.MALFORMED_PAYLOAD],
    ["without a text", FrameType.RPC_ERROR, Uint8Array.of(0x80), ErrorCode.INVALID_PAYLOAD_SHAPE],
  ])("rejects when its reply is %s, and the connection lives", async (_what, type, payload, code) => {
    const { runtime, client, peer } = await clientAtRawServer();
    const call = outcome(client.call("m", {}));
    const request = await peer.next(FrameType.RPC_REQUEST);
    peer.write(rawFrame(type, payload, { id: request.id }));
    await runtime.settle();
    expect([call.error?.code, client.isConnected]).toEqual([code, true]);
  });

  test("is not settled by replies with other ids", async () => {
    const { runtime, client, peer } = await clientAtRawServer();
    const call = outcome(client.call("m", {}));
    const request = await peer.next(FrameType.RPC_REQUEST);
    for (const id of [0n, request.id + 2n ** 32n, request.id + 1n, 2n ** 64n - 1n]) {
      peer.send(FrameType.RPC_RESPONSE, { success: true, result: "forged" }, { id });
      peer.send(FrameType.RPC_ERROR, { success: false, error: "forged" }, { id });
    }
    await runtime.settle();
    expect([call.state, client.isConnected]).toEqual(["pending", true]);
  });

  test("of a netconduit server resolves without the wrapper around its result", async () => {
    const { runtime, client, peer } = await clientAtRawServer(
      { extensions: null, passwordHash: true },
      { allowPasswordHash: true },
    );
    const calls = [outcome(client.call("m", {})), outcome(client.call("m", {}))];
    const answers = [
      { success: true, data: 5 },
      { success: false, error: "No", code: 4010 },
    ];
    for (const answer of answers) {
      const request = await peer.next(FrameType.RPC_REQUEST);
      peer.send(FrameType.RPC_RESPONSE, { success: true, result: answer }, { id: request.id });
    }
    await runtime.settle();
    expect([calls[0]?.value, calls[1]?.error]).toMatchObject([5, { code: 4010, message: "No" }]);
  });
});

describe("a connection's end", () => {
  test("rejects every pending call and request at once with CONNECTION_CLOSED", async () => {
    const { runtime, client, peer } = await clientAtRawServer({}, { reconnect: { enabled: false } });
    const calls = [
      outcome(client.call("a", {})),
      outcome(client.request("b", {})),
      outcome(client.call("c", {}, { timeoutMs: 0 })),
    ];
    await runtime.settle();
    peer.reset();
    await runtime.settle();
    expect(calls.map((call) => call.error?.code)).toEqual(Array(3).fill(ErrorCode.CONNECTION_CLOSED));
    expect(calls[0]?.error).toMatchObject({ cause: { code: ErrorCode.CONNECTION_RESET } });
    expect(runtime.now()).toBe(0);
  });

  test("makes later calls reject with CONNECTION_CLOSED", async () => {
    const { runtime, client, peer } = await clientAtRawServer({}, { reconnect: { enabled: false } });
    peer.reset();
    await runtime.settle();
    await expect(client.call("a", {})).rejects.toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
  });
});

describe("a request", () => {
  test("resolves with the reply to its own message", async () => {
    const { runtime, client, peer } = await clientAtRawServer();
    const first = outcome(client.request("ask", 1));
    const second = outcome(client.request("ask", 2));
    const [one, two] = await peer.received();
    peer.send(FrameType.RPC_RESPONSE, { success: true, result: "two" }, { id: two?.id ?? 0 });
    peer.send(FrameType.RPC_ERROR, { success: false, error: "No", code: 4011 }, { id: one?.id ?? 0 });
    await runtime.settle();
    expect([first.error?.code, second.value]).toEqual([4011, "two"]);
  });

  describe("to a netconduit server", () => {
    const netconduit = { extensions: null, passwordHash: true } as const;

    test("carries no id and takes the next message of type <type>_response", async () => {
      const { runtime, client, peer } = await clientAtRawServer(netconduit, { allowPasswordHash: true });
      const seen: unknown[] = [];
      client.on("ask_response", (data) => seen.push(data));
      const asked = [outcome(client.request("ask", 1)), outcome(client.request("ask", 2))];
      expect((await peer.received()).map(({ id }) => id)).toEqual([0n, 0n]);
      for (const data of ["first", "second", "third"]) peer.message("ask_response", data);
      await runtime.settle();
      expect([asked.map((one) => one.value), seen]).toEqual([["first", "second"], ["third"]]);
    });

    test("that timed out is passed over; the reply goes to the next that waits", async () => {
      const { runtime, client, peer } = await clientAtRawServer(netconduit, { allowPasswordHash: true });
      const early = outcome(client.request("ask", 1, { timeoutMs: 100 }));
      await runtime.advance(200);
      const late = outcome(client.request("ask", 2));
      peer.message("ask_response", "reply");
      await runtime.settle();
      expect([early.error?.code, late.value]).toEqual([ErrorCode.TIMEOUT, "reply"]);
    });

    test("whose reply comes when no request waits is a message like any other", async () => {
      const { runtime, client, peer } = await clientAtRawServer(netconduit, { allowPasswordHash: true });
      const seen: unknown[] = [];
      client.on("ask_response", (data) => seen.push(data));
      client.request("ask", 1, { timeoutMs: 100 }).catch(() => undefined);
      await runtime.advance(200);
      peer.message("ask_response", "late");
      await runtime.settle();
      expect(seen).toEqual(["late"]);
    });
  });
});

describe("a handler", () => {
  test("learns by its signal that the caller cancelled", async () => {
    const { runtime, server, peer } = await fromRawClient();
    let context: HandlerContext<unknown> | null = null;
    server.rpc("wait", (_params, given) => {
      context = given;
      return new Promise((_resolve, reject) =>
        given.signal.addEventListener("abort", () => reject(given.signal.reason)),
      );
    });
    peer.call("wait", {}, 0x300000005);
    await runtime.settle();
    peer.send(CANCEL_FRAME, undefined, { id: 0x300000005 });
    await runtime.settle();
    expect((context as unknown as HandlerContext<unknown>).signal.reason).toMatchObject({ code: ErrorCode.CANCELLED });
  });

  test("is not touched by a CANCEL for another call, or for none", async () => {
    const { runtime, server, peer } = await fromRawClient();
    peer.send(CANCEL_FRAME, undefined, { id: 0x100000001 });
    const contexts: HandlerContext<unknown>[] = [];
    const never = gate();
    server.rpc("wait", (_params, context) => {
      contexts.push(context);
      return never.promise;
    });
    peer.call("wait", {}, 1);
    peer.call("wait", {}, 2);
    await runtime.settle();
    const aborted = contexts.map((context) => context.signal);
    peer.send(CANCEL_FRAME, undefined, { id: 2 });
    peer.send(CANCEL_FRAME, undefined, { id: 0x700000001 });
    await runtime.settle();
    expect(aborted.map((signal) => signal.aborted)).toEqual([false, true]);
  });

  test("of a call that is cancelled while it waits is never started", async () => {
    const { runtime, server, peer } = await fromRawClient({ handlerConcurrency: 1 });
    const started: unknown[] = [];
    const gates = [gate(), gate()];
    server.rpc("wait", (params) => {
      started.push(params["n"]);
      return gates[started.length - 1]?.promise;
    });
    for (const n of [1, 2, 3]) peer.call("wait", { n }, n);
    peer.send(CANCEL_FRAME, undefined, { id: 2 });
    await runtime.settle();
    gates[0]?.open();
    await runtime.settle();
    expect(started).toEqual([1, 3]);
  });

  test("learns the deadline, and its signal fires with TIMEOUT when it passes", async () => {
    const { runtime, server, peer } = await fromRawClient();
    const contexts: HandlerContext<unknown>[] = [];
    server.rpc("wait", (_params, context) => {
      contexts.push(context);
      context.signal.throwIfAborted();
      return gate().promise;
    });
    peer.send(FrameType.RPC_REQUEST, { method: "wait", params: {}, timeout_ms: 500 }, { id: 1 });
    await runtime.settle();
    expect(contexts[0]?.deadline).toBe(EPOCH_MS + 500);
    await runtime.advance(490);
    expect(contexts[0]?.signal.aborted).toBe(false);
    await runtime.advance(30);
    expect(contexts[0]?.signal.reason).toMatchObject({ code: ErrorCode.TIMEOUT });
  });

  test.each(["method", "message"])(
    "of a %s has no result if it returns because its deadline has passed: the caller may still wait",
    async (kind) => {
      const { runtime, server, peer } = await fromRawClient();
      const work = ({ signal }: HandlerContext<unknown>): Promise<string> =>
        new Promise((resolve) => signal.addEventListener("abort", () => resolve("half of it")));
      server.rpc("work", (_params, context) => work(context));
      server.on("work", (_connection, _data, context) => work(context));
      if (kind === "method") {
        peer.send(FrameType.RPC_REQUEST, { method: "work", params: {}, timeout_ms: 500 }, { id: 1 });
      } else peer.send(FrameType.MESSAGE, { type: "work", data: null, timeout_ms: 500 }, { id: 1 });
      await runtime.advance(520);
      const answers = (await peer.received()).filter(({ id }) => Number(id) === 1);
      expect(answers).toMatchObject([{ type: FrameType.RPC_ERROR, payload: { code: ErrorCode.TIMEOUT } }]);
    },
  );

  test("counts the time its call waited in the queue against the deadline", async () => {
    const { runtime, server, peer } = await fromRawClient({ handlerConcurrency: 1 });
    const deadlines: (number | null)[] = [];
    const first = gate();
    server.rpc("wait", (_params, context) => {
      deadlines.push(context.deadline);
      return deadlines.length === 1 ? first.promise : null;
    });
    peer.call("wait", {}, 1);
    peer.send(FrameType.RPC_REQUEST, { method: "wait", params: {}, timeout_ms: 500 }, { id: 2 });
    await runtime.advance(300);
    first.open();
    await runtime.settle();
    expect(deadlines).toEqual([null, EPOCH_MS + 500]);
  });

  test("is not started for a call whose deadline passed in the queue: its caller gets TIMEOUT", async () => {
    const { runtime, server, peer } = await fromRawClient({ handlerConcurrency: 1 });
    const first = gate();
    let started = 0;
    server.rpc("wait", () => {
      started += 1;
      return first.promise;
    });
    peer.call("wait", {}, 1);
    peer.send(FrameType.RPC_REQUEST, { method: "wait", params: {}, timeout_ms: 100 }, { id: 2 });
    await runtime.advance(300);
    first.open();
    expect(await peer.received()).toMatchObject([
      { type: FrameType.RPC_RESPONSE, id: 1n },
      { type: FrameType.RPC_ERROR, id: 2n, payload: { code: ErrorCode.TIMEOUT } },
    ]);
    expect(started).toBe(1);
  });

  test("is not started for a deadline whose extension was not agreed on", async () => {
    const { server, peer } = await fromRawClient({}, { extensions: ["reply"] });
    server.rpc("m", () => null);
    peer.send(FrameType.RPC_REQUEST, { method: "m", params: {}, timeout_ms: 100 }, { id: 1 });
    expect((await peer.next(FrameType.RPC_ERROR)).payload).toMatchObject({ code: ErrorCode.INVALID_PAYLOAD_SHAPE });
  });

  test.each([1.5, -1, 2 ** 32, "9"])("is not started for a timeout_ms of %j", async (timeoutMs) => {
    const { server, peer } = await fromRawClient();
    server.rpc("m", () => null);
    peer.send(FrameType.RPC_REQUEST, { method: "m", params: {}, timeout_ms: timeoutMs }, { id: 1 });
    expect((await peer.next(FrameType.RPC_ERROR)).payload).toMatchObject({ code: ErrorCode.INVALID_PAYLOAD_SHAPE });
  });

  test("accepts the longest deadline", async () => {
    const { server, peer } = await fromRawClient();
    server.rpc("m", (_params, context) => context.signal.aborted);
    peer.send(FrameType.RPC_REQUEST, { method: "m", params: {}, timeout_ms: 2 ** 32 - 1 }, { id: 1 });
    expect((await peer.next(FrameType.RPC_RESPONSE)).payload).toEqual({ success: true, result: false });
  });

  test("of a message has the deadline of its request", async () => {
    const { server, peer } = await fromRawClient();
    server.on("m", (_connection, _data, context) => context.deadline !== null);
    peer.send(FrameType.MESSAGE, { type: "m", data: 1, timeout_ms: 100 }, { id: 1 });
    expect((await peer.next(FrameType.RPC_RESPONSE)).payload).toEqual({ success: true, result: true });
  });

  test("does not start once its deadline has passed during an asynchronous validation", async () => {
    const { runtime, server, peer } = await fromRawClient();
    const checked = gate<{ value: Record<string, unknown> }>();
    const schema = { "~standard": { version: 1, vendor: "test", validate: () => checked.promise } } as const;
    let started = 0;
    server.rpc("m", schema, () => {
      started += 1;
    });
    peer.send(FrameType.RPC_REQUEST, { method: "m", params: {}, timeout_ms: 100 }, { id: 1 });
    await runtime.advance(200);
    checked.open({ value: {} });
    expect([(await peer.next(FrameType.RPC_ERROR)).payload?.["code"], started]).toEqual([ErrorCode.TIMEOUT, 0]);
  });

  test("learns by its signal that the connection ended", async () => {
    const { runtime, server, peer } = await fromRawClient();
    let signal: AbortSignal | null = null;
    server.rpc("wait", (_params, context) => {
      signal = context.signal;
      return gate().promise;
    });
    peer.call("wait");
    await runtime.settle();
    peer.reset();
    await runtime.settle();
    expect(signal).toMatchObject({ aborted: true, reason: { code: ErrorCode.CONNECTION_CLOSED } });
  });

  test("that settles after its caller is gone sends nothing and harms nothing", async () => {
    const { runtime, server, peer, errors } = await fromRawClient();
    const gates = [gate<string>(), gate<string>(), gate<string>()];
    let count = 0;
    server.rpc("wait", () => gates[count++]?.promise);
    server.on("wait", () => gates[count++]?.promise);
    peer.call("wait", {}, 1);
    peer.call("wait", {}, 2);
    peer.message("wait");
    await runtime.settle();
    peer.reset();
    await runtime.settle();
    gates[0]?.open("late");
    gates[1]?.fail(new RpcError(4010, "late"));
    gates[2]?.open("late");
    await runtime.settle();
    expect(errors).toEqual([]);
  });

  test("gets the reply back under the 64-bit id that the caller chose", async () => {
    const { server, peer } = await fromRawClient();
    server.rpc("m", () => 1);
    server.on("m", () => 2);
    const asks: readonly ((id: bigint) => void)[] = [
      (id) => peer.call("m", {}, id),
      (id) => peer.message("m", null, id),
      (id) => peer.call("unknown", {}, id),
    ];
    for (const id of [0xdead_beef_ffff_fffen, 2n ** 63n, 2n ** 64n - 1n]) {
      for (const ask of asks) {
        ask(id);
        expect((await peer.next()).id).toBe(id);
      }
    }
  });

  test("that starts on a connection which is over has its signal fired", async () => {
    const { runtime, server, peer } = await fromRawClient();
    const hook = gate();
    server.onClientConnect(() => hook.promise);
    const reasons: unknown[] = [];
    server.rpc("wait", async (_params, context) => {
      await null;
      reasons.push(context.signal.reason);
    });
    const second = await rawClient(runtime, server.address.port);
    second.call("wait");
    second.end();
    await runtime.settle();
    hook.open();
    await runtime.settle();
    expect(reasons).toMatchObject([{ code: ErrorCode.CONNECTION_CLOSED }]);
    expect(peer.ended).toBeUndefined();
  });
});

describe("calls from the server to a client", () => {
  test("reach the methods the client registered", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime);
    const { client } = testClient(runtime);
    client.rpc("add", (params) => (params["a"] as number) + (params["b"] as number));
    client.on("ask", (data) => ({ echo: data }));
    await client.connect();
    const connection = server.connections[0];
    expect(await connection?.call("add", { a: 1, b: 2 })).toBe(3);
    expect(await connection?.request("ask", "hello")).toEqual({ echo: "hello" });
  });

  test("fail at once with PEER_UNSUPPORTED on a netconduit client, and nothing is sent", async () => {
    const { server, peer } = await fromRawClient({ allowPasswordHash: true }, { extensions: null, passwordHash: true });
    const connection = server.connections[0];
    await expect(connection?.call("m", {})).rejects.toMatchObject({ code: ErrorCode.PEER_UNSUPPORTED });
    await expect(connection?.request("m", {})).rejects.toMatchObject({ code: ErrorCode.PEER_UNSUPPORTED });
    expect(await peer.receivedTypes()).toEqual([]);
  });

  test("from a handler, back to the caller it serves, do not deadlock", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime, { handlerConcurrency: 1 }, (server) => {
      server.rpc("ask_back", async (_params, { client }) => `you are ${await client.call("name", {})}`);
    });
    const { client } = testClient(runtime);
    client.rpc("name", () => "Ada");
    await client.connect();
    expect(await client.call("ask_back", {})).toBe("you are Ada");
  });
});
