import * as v from "valibot";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import type { Client } from "../client/client.ts";
import { type ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { ONCE_WINDOW_MS } from "../limits.ts";
import type { ServerInit } from "../server/server.ts";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { clientAtRawServer, outcome, testClient, testServer } from "../test-support/peers.ts";
import { frame, Type } from "../testing/raw-frames.ts";
import type { AckOptions } from "./acknowledged-send.ts";

const RECONNECT = { delayMs: 10, maxDelayMs: 10, jitter: false };
/** Time after which a client that has lost its stream has reconnected. */
const BACK_MS = 1000;

function cut(runtime: FakeRuntime): void {
  runtime.pairs.at(-1)?.dialled.destroy(null);
}

async function scene(options: Partial<ServerInit> = {}) {
  const runtime = fakeRuntime();
  const { server } = await testServer(runtime, options);
  const { client } = testClient(runtime, { reconnect: RECONNECT });
  await client.connect();
  return { runtime, server, client };
}

/** Sends a message from a client to a server whose answers are written by the test. */
async function withRawServer(ack: AckOptions) {
  const { runtime, client, peer } = await clientAtRawServer();
  const sent = outcome(client.send("order", 1, { ack }));
  await runtime.settle();
  return { runtime, sent, peer };
}

test("ack and once at a netconduit server are PEER_UNSUPPORTED, and nothing is sent", async () => {
  const { client, peer } = await clientAtRawServer(
    { extensions: null, passwordHash: true },
    { allowPasswordHash: true },
  );
  const code = ErrorCode.PEER_UNSUPPORTED;
  const rule = "with ack or once: a netconduit server has neither";
  const sent = client.send("order", {}, { ack: { deliveries: 3 } });
  await expect(sent).rejects.toMatchObject({ code, message: `Cannot send 'order' ${rule}` });
  const call = client.call("charge", {}, { once: "k" });
  await expect(call).rejects.toMatchObject({ code, message: `Cannot send 'charge' ${rule}` });
  expect((await peer.received()).filter(({ type }) => type === Type.RPC_REQUEST)).toEqual([]);
});

describe("send with ack", () => {
  test("resolves when the handler has returned", async () => {
    const { runtime, server, client } = await scene();
    const open = gate();
    server.on("order", () => open.promise);
    const sent = outcome(client.send("order", { id: 1 }, { ack: true }));
    await runtime.settle();
    expect(sent.state).toBe("pending");
    open.open();
    await runtime.settle();
    expect(sent).toMatchObject({ state: "resolved", value: undefined });
  });

  test.each([
    [5, "ack must be true or an object of options, got 5"],
    [false, "ack must be true or an object of options, got false"],
    [{ attempts: 0 }, "ack.attempts must be an integer of 1 or more, got 0"],
    [{ delayMs: -1 }, "ack.delayMs must be an integer of 0 or more, got -1"],
    [{ deliveries: 1001 }, "ack.deliveries must be an integer from 1 to 1000, got 1001"],
    [{ once: "" }, 'ack.once must be a string of 1 to 256 characters, got ""'],
  ])("%j is INVALID_CONFIG, and nothing is sent", async (ack, rule) => {
    const { runtime, server, client } = await scene();
    let runs = 0;
    server.on("order", () => {
      runs += 1;
    });
    const sent = outcome(client.send("order", {}, { ack } as never) as unknown as Promise<void>);
    await runtime.settle();
    expect(sent.error).toMatchObject({ code: ErrorCode.INVALID_CONFIG, message: `Cannot send 'order': ${rule}` });
    expect(runs).toBe(0);
  });

  test("with an unknown option is INVALID_CONFIG, which names the nearest one", async () => {
    const { client } = await scene();
    const sent = client.send("order", {}, { ack: { atempts: 2 } } as never) as unknown as Promise<void>;
    await expect(sent).rejects.toThrow('Unknown option atempts of send: ack("order"); did you mean attempts?');
  });

  test.for([
    [
      "send",
      (client: Client, order: { id: number }) => client.send("order", order, { ack: { delayMs: 0, deliveries: 2 } }),
    ],
    ["call", (client: Client, order: { id: number }) => client.call("order", order, { once: "key" })],
  ] as const)("of a %s encodes what it is given once: later changes aren't sent", async ([, ask]) => {
    const { runtime, client, peer } = await clientAtRawServer();
    const order = { id: 1 };
    const sent = outcome(ask(client, order));
    const given: unknown[] = [];
    const next = async (): Promise<bigint> => {
      await runtime.advance(1000);
      const { id, payload } = await peer.next(Type.RPC_REQUEST);
      given.push(payload?.["params"]);
      order.id += 1;
      return id;
    };
    const refused = { retry_after: 0, started: false };
    const fail = (id: bigint, code: number, details: object): void =>
      peer.write(frame(Type.RPC_ERROR, { success: false, error: "No", code, details }, { id }));
    fail(await next(), ErrorCode.RATE_LIMITED, refused);
    fail(await next(), ErrorCode.INTERNAL, {});
    const isSend = (given[0] as { type?: string }).type !== undefined;
    if (isSend) peer.write(frame(Type.RPC_RESPONSE, { success: true, result: null }, { id: await next() }));
    await runtime.settle();
    expect(sent.state).toBe(isSend ? "resolved" : "rejected");
    const { key } = given[0] as { key: string };
    const wanted = isSend
      ? [1, 1, 2].map((delivery) => ({ key, type: "order", data: { id: 1 }, delivery, deliveries: 2 }))
      : [1, 1].map(() => ({ key, method: "order", params: { id: 1 } }));
    expect(given).toEqual(wanted);
  });

  test("rejects with the handler's error, and isn't sent again", async () => {
    const { runtime, server, client } = await scene();
    let runs = 0;
    server.on("order", () => {
      runs += 1;
      throw new RpcError(900, "Sold out");
    });
    const sent = outcome(client.send("order", { id: 1 }, { ack: true }));
    await runtime.advance(60_000);
    expect(sent.error).toMatchObject({ code: 900, message: "Sold out" });
    expect(runs).toBe(1);
  });

  test("waits a day at most, whatever time the peer asks for", async () => {
    const { runtime, server, client } = await scene();
    let runs = 0;
    server.on("order", () => {
      runs += 1;
      if (runs > 1) return;
      throw new RpcError(ErrorCode.RATE_LIMITED, "Later", { details: { retry_after: Number.POSITIVE_INFINITY } });
    });
    const ack = { delayMs: 0, deliveries: 2 };
    const sent = outcome(client.send("order", {}, { ack }));
    await runtime.settle();
    expect(sent.state).toBe("pending");
    await runtime.advance(24 * 60 * 60 * 1000 + BACK_MS);
    expect([sent.state, sent.error]).toEqual(["resolved", undefined]);
  });

  test("is sent again over the next connection, and handled once", async () => {
    const { runtime, server, client } = await scene();
    const open = gate();
    const got: unknown[] = [];
    server.on("order", async (_client, data) => {
      got.push(data);
      await open.promise;
    });
    const sent = outcome(client.send("order", { id: 1 }, { ack: true }));
    await runtime.settle();
    for (let round = 0; round < 3; round += 1) {
      cut(runtime);
      await runtime.advance(BACK_MS);
    }
    open.open();
    await runtime.advance(BACK_MS);
    expect(sent.state).toBe("resolved");
    expect(got).toEqual([{ id: 1 }]);
  });

  test("is handled again if no attempt came within two minutes after it was handled", async () => {
    const { runtime, server, client } = await scene();
    let runs = 0;
    server.on("order", () => {
      runs += 1;
      cut(runtime);
    });
    // The answer was lost, and the next attempt is too late.
    const sent = outcome(client.send("order", {}, { ack: { attempts: 1, once: "order 1" } }));
    await runtime.advance(BACK_MS);
    expect(sent.error?.code).toBe(ErrorCode.NOT_DELIVERED);
    await runtime.advance(ONCE_WINDOW_MS);
    const again = outcome(client.send("order", {}, { ack: { attempts: 1, once: "order 1" } }));
    await runtime.settle();
    expect(runs).toBe(2);
    expect(again.error?.code).toBe(ErrorCode.NOT_DELIVERED);
  });

  test("is handled once for as long as its attempts come within two minutes of each other", async () => {
    const { runtime, server, client } = await scene();
    let runs = 0;
    server.on("order", () => {
      runs += 1;
    });
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const sent = outcome(client.send("order", {}, { ack: { once: "order 1" } }));
      await runtime.advance(ONCE_WINDOW_MS / 2 + BACK_MS);
      expect(sent.state).toBe("resolved");
    }
    expect(runs).toBe(1);
  });

  test("rejects after its last attempt, with the number of attempts", async () => {
    const { runtime, server, client } = await scene();
    server.on("order", () => new Promise(() => undefined));
    const sent = outcome(client.send("order", {}, { ack: { attempts: 3, timeoutMs: 1000, delayMs: 100 } }));
    await runtime.advance(10_000);
    expect(sent.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED, details: { attempts: 3 } });
    expect(sent.error?.cause).toMatchObject({ code: ErrorCode.TIMEOUT });
  });

  test("starts its next attempt after a growing delay", async () => {
    const random = vi.spyOn(Math, "random").mockReturnValue(0.999);
    onTestFinished(() => random.mockRestore());
    const { runtime, server, client } = await scene();
    server.on("order", () => new Promise(() => undefined));
    const sent = outcome(client.send("order", {}, { ack: { attempts: 4, timeoutMs: 1000, delayMs: 1000 } }));
    await runtime.advance(4 * 1000 + 1000 + 2000 + 4000 - 100);
    expect(sent.state).toBe("pending");
    await runtime.advance(200);
    expect(sent.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED, details: { attempts: 4 } });
  });

  test("without a delay ends after its attempts, also if these are more than 1,024", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime);
    server.on("order", () => new Promise(() => undefined));
    const { client } = testClient(runtime);
    await client.connect();
    const attempts = 1100;
    const sent = outcome(client.send("order", 1, { ack: { attempts, delayMs: 0, timeoutMs: 1 } }));
    await runtime.advance(100_000);
    expect(sent.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED, details: { attempts } });
  });

  test("is sent again if the other side says that its time was over before it began", async () => {
    const { runtime, sent, peer } = await withRawServer({ delayMs: 10 });
    const { id } = await peer.next(Type.RPC_REQUEST);
    const late = { success: false, error: "Late", code: ErrorCode.TIMEOUT, details: { started: false } };
    peer.write(frame(Type.RPC_ERROR, late, { id }));
    await runtime.advance(100);
    const again = await peer.next(Type.RPC_REQUEST);
    peer.write(frame(Type.RPC_RESPONSE, { success: true, result: null }, { id: again.id }));
    await runtime.settle();
    expect(sent.state).toBe("resolved");
  });

  test("is sent once over an open connection, without a timeout, and accepts a late answer", async () => {
    const { runtime, sent, peer } = await withRawServer({ timeoutMs: 1000, delayMs: 30_000 });
    await runtime.advance(10_000);
    const frames = (await peer.received()).filter(({ type }) => type === Type.RPC_REQUEST || type === Type.CANCEL);
    expect(frames.map(({ type, payload }) => [type, payload?.["timeout_ms"]])).toEqual([[Type.RPC_REQUEST, undefined]]);
    expect(sent.state).toBe("pending");
    peer.write(frame(Type.RPC_RESPONSE, { success: true, result: null }, { id: frames[0]?.id ?? 0n }));
    await runtime.settle();
    expect(sent.state).toBe("resolved");
  });

  test("that is given up by its signal doesn't begin later, also if it has waited for longer than its time", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, { handlerConcurrency: 1 });
    const open = gate();
    const handled: unknown[] = [];
    server.rpc("block", () => open.promise);
    server.on("order", (_connection, data) => void handled.push(data));
    const { client } = testClient(runtime);
    await client.connect();
    void outcome(client.call("block"));
    const controller = new AbortController();
    const ack = { timeoutMs: 100, delayMs: 10 };
    const first = outcome(client.send("order", 1, { ack: { ...ack, signal: controller.signal } }));
    const second = outcome(client.send("order", 2, { ack }));
    await runtime.advance(1000);
    controller.abort();
    await runtime.settle();
    open.open();
    await runtime.settle();
    expect([first.error?.code, second.state, handled]).toEqual([ErrorCode.CANCELLED, "resolved", [2]]);
  });

  test("takes the place of one handler, however often it is sent while that runs", async () => {
    const { runtime, server, client } = await scene({ handlerConcurrency: 3 });
    const open = gate();
    server.on("order", () => open.promise);
    server.rpc("echo", (params) => params);
    const sent = outcome(client.send("order", 1, { ack: { attempts: 100, timeoutMs: 100, delayMs: 10 } }));
    await runtime.advance(2000);
    const call = outcome(client.call("echo", { n: 1 }));
    await runtime.settle();
    expect([sent.state, call.state]).toEqual(["pending", "resolved"]);
    open.open();
    await runtime.advance(30_000);
    expect(sent.state).toBe("resolved");
  });

  test("is given up by its signal, and when the client disconnects", async () => {
    const { runtime, server, client } = await scene();
    server.on("order", () => new Promise(() => undefined));
    const controller = new AbortController();
    const first = outcome(client.send("order", {}, { ack: { signal: controller.signal } }));
    const second = outcome(client.send("order", {}, { ack: true }));
    await runtime.settle();
    controller.abort();
    await client.close();
    await runtime.settle();
    expect(first.error?.code).toBe(ErrorCode.CANCELLED);
    expect(second.error?.code).toBe(ErrorCode.NOT_DELIVERED);
  });

  test("goes from a server to a client as well, and ends with the connection", async () => {
    const { runtime, server, client } = await scene();
    const got: unknown[] = [];
    client.on("order", (data) => void got.push(data));
    client.on("slow", () => new Promise(() => undefined));
    const [connection] = server.connections;
    const sent = outcome(connection?.send("order", { id: 1 }, { ack: true }) as Promise<void>);
    const slow = outcome(connection?.send("slow", {}, { ack: true }) as Promise<void>);
    await runtime.settle();
    expect(sent.state).toBe("resolved");
    expect(got).toEqual([{ id: 1 }]);
    cut(runtime);
    await runtime.settle();
    expect(slow.error?.code).toBe(ErrorCode.NOT_DELIVERED);
  });

  test("to a type without a handler rejects with NO_HANDLER", async () => {
    const { client } = await scene();
    await expect(client.send("nothing", {}, { ack: true })).rejects.toMatchObject({ code: ErrorCode.NO_HANDLER });
  });

  test("is handled again by a restarted server without a store, despite its key", async () => {
    const { runtime, server, client } = await scene();
    let runs = 0;
    const count = (): void => {
      runs += 1;
    };
    server.on("order", count);
    await client.send("order", {}, { ack: { once: "order 1" } });
    await server.stop({ drainMs: 0 });
    const { server: next } = await testServer(runtime);
    next.on("order", count);
    const again = outcome(client.send("order", {}, { ack: { once: "order 1" } }));
    await runtime.advance(BACK_MS);
    expect(again.state).toBe("resolved");
    expect(runs).toBe(2);
  });
});

describe("call with once", () => {
  test.each([
    [{ once: 5 }, "once must be a string of 1 to 256 characters, got 5"],
    [{ once: "" }, 'once must be a string of 1 to 256 characters, got ""'],
    [{ once: "k", input: [1] }, "a call with once can't have an input or onProgress"],
    [{ once: "k", onProgress: () => undefined }, "a call with once can't have an input or onProgress"],
  ])("with %j is INVALID_CONFIG", async (options, rule) => {
    const { client } = await scene();
    await expect(client.call("charge", {}, options as never)).rejects.toMatchObject({
      code: ErrorCode.INVALID_CONFIG,
      message: `Cannot call 'charge': ${rule}`,
    });
  });

  test("runs the method once, regardless of how often it is called with the key, and gives each call the same answer", async () => {
    const { runtime, server, client } = await scene();
    let charged = 0;
    server.rpc("charge", async ({ amount }) => {
      charged += amount as number;
      await new Promise((resolve) => setImmediate(resolve));
      return { charged };
    });
    const both = await Promise.all([
      client.call("charge", { amount: 5 }, { once: "order 1" }),
      client.call("charge", { amount: 5 }, { once: "order 1" }),
    ]);
    cut(runtime);
    await runtime.advance(BACK_MS);
    const later = await client.call("charge", { amount: 5 }, { once: "order 1" });
    expect([...both, later]).toEqual([{ charged: 5 }, { charged: 5 }, { charged: 5 }]);
    expect(await client.call("charge", { amount: 5 }, { once: "order 2" })).toEqual({ charged: 10 });
    await runtime.advance(121_000);
    expect(await client.call("charge", { amount: 5 }, { once: "order 1" })).toEqual({ charged: 15 });
  });

  test("validates its result by the contract, as without a key", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime);
    server.rpc("charge", () => "much");
    const contract = { server: { methods: { charge: { result: v.number() } } } };
    const { client } = testClient(runtime, { contract });
    await client.connect();
    for (const options of [{}, { once: "1" }]) {
      await expect(client.call("charge", {}, options)).rejects.toMatchObject({ code: ErrorCode.INVALID_RESULT });
    }
  });

  test("that an attempt may have begun doesn't say that it was never started, when the last attempt couldn't be sent", async () => {
    const { runtime, server, client } = await scene();
    let runs = 0;
    server.rpc("charge", () => {
      runs += 1;
      return new Promise(() => undefined);
    });
    const call = outcome(client.call("charge", {}, { once: "order 1", timeoutMs: 2000 }));
    await runtime.settle();
    // There is no listener any more, so the next attempts fail before they are sent.
    await Promise.all([server.stop({ drainMs: 0 }), cut(runtime), runtime.advance(4000)]);
    expect([call.state, runs]).toEqual(["rejected", 1]);
    const { code, message, details } = call.error as ConduitError;
    expect({ code, details }).toEqual({ code: ErrorCode.CONNECTION_CLOSED, details: {} });
    expect(message).toContain("an earlier attempt may have been carried out");
  });

  test("that was started at a client which disconnects doesn't say that it was never started", async () => {
    const { runtime, server, client } = await scene();
    client.rpc("run", () => new Promise(() => undefined));
    const call = outcome(server.connections[0]?.call("run", {}, { once: "job 1" }) as Promise<unknown>);
    await runtime.settle();
    void client.disconnect("The worker drains");
    await runtime.advance(5000);
    expect(call.state).toBe("rejected");
    expect(call.error).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
    expect(call.error).not.toMatchObject({ details: { started: false } });
  });

  test("says that it was never started if no attempt was sent", async () => {
    const runtime = fakeRuntime();
    const { client } = testClient(runtime);
    const call = outcome(client.call("charge", {}, { once: "order 1" }));
    await runtime.advance(120_000);
    expect(call.error).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED, details: { started: false } });
  });

  test("gives the same error again", async () => {
    const { server, client } = await scene();
    let runs = 0;
    server.rpc("charge", () => {
      runs += 1;
      throw new RpcError(900, "No money", { details: { runs } });
    });
    for (let i = 0; i < 3; i += 1) {
      await expect(client.call("charge", {}, { once: "order 1" })).rejects.toMatchObject({
        code: 900,
        details: { runs: 1 },
      });
    }
  });

  test("refuses a key that isn't a string of 1 to 256 characters", async () => {
    const { server, client } = await scene();
    server.rpc("charge", () => 1);
    for (const key of ["", "x".repeat(257)]) {
      const refused = client.call("$once", { key, method: "charge", params: {} });
      await expect(refused).rejects.toMatchObject({ code: ErrorCode.INVALID_PARAMS });
      await expect(client.call("charge", {}, { once: key })).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
    }
  });

  test("keeps the keys of users apart, and those of methods and messages", async () => {
    const runtime = fakeRuntime();
    const users = { ada: { password: "one password" }, bob: { password: "another one" } };
    const { server } = await testServer(runtime, { users });
    const got: unknown[] = [];
    server.rpc("charge", (_params, { client }) => void got.push(`call of ${client.user.name}`));
    server.rpc("refund", (_params, { client }) => void got.push(`refund of ${client.user.name}`));
    server.on("charge", (client) => void got.push(`message of ${client.user.name}`));
    for (const [username, { password }] of Object.entries(users)) {
      const { client } = testClient(runtime, { username, password });
      await client.connect();
      for (let i = 0; i < 2; i += 1) {
        await client.call("charge", {}, { once: "1" });
        await client.call("refund", {}, { once: "1" });
        await client.send("charge", {}, { ack: { once: "1" } });
      }
    }
    expect(got).toEqual(
      ["ada", "bob"].flatMap((name) => [`call of ${name}`, `refund of ${name}`, `message of ${name}`]),
    );
  });

  test("asks for the roles of the method or message, as without a key", async () => {
    const { server, client } = await scene();
    let runs = 0;
    const count = (): void => {
      runs += 1;
    };
    server.rpc({ name: "purge", roles: ["admin"] }, count);
    server.on("purge", count, { roles: ["admin"] });
    const denied = { code: ErrorCode.PERMISSION_DENIED };
    await expect(client.call("purge", {}, { once: "1" })).rejects.toMatchObject(denied);
    await expect(client.send("purge", {}, { ack: true })).rejects.toMatchObject(denied);
    expect(runs).toBe(0);
  });

  test("is rejected while too many calls run whose callers have cancelled or disconnected", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, { maxMessageBytes: 8 * 1024 * 1024, maxConnections: 10 });
    const open = gate();
    server.rpc("slow", () => open.promise);
    server.rpc("quick", () => 1);
    const blob = new Uint8Array(5 * 1024 * 1024);
    // Each connection has its own limits. Callers with the same key share one run.
    for (const key of ["1", "1", "2", "3", "4"]) {
      const { client } = testClient(runtime);
      await client.connect();
      const gone = outcome(client.call("$once", { key, method: "slow", params: { blob } }));
      await runtime.settle();
      await client.close();
      expect(gone.state).toBe("rejected");
    }
    const { client } = testClient(runtime);
    await client.connect();
    const controller = new AbortController();
    const givenUp = { key: "5", method: "slow", params: { blob } };
    const cancelled = outcome(client.call("$once", givenUp, { signal: controller.signal }));
    await runtime.settle();
    expect(await client.call("quick", {}, { once: "a" })).toBe(1);
    controller.abort();
    await runtime.settle();
    expect(cancelled.error?.code).toBe(ErrorCode.CANCELLED);
    for (const key of ["6", "7"]) {
      const gone = outcome(client.call("$once", { ...givenUp, key }, { timeoutMs: 1000 }));
      await runtime.settle();
      expect(gone.state).toBe(key === "6" ? "pending" : "rejected");
      await client.close();
      await client.connect();
    }
    const refused = client.call("$once", { key: "b", method: "quick", params: {} });
    await expect(refused).rejects.toMatchObject({ code: ErrorCode.RATE_LIMITED, details: { started: false } });
    expect(await client.call("quick")).toBe(1);
    const waiting = outcome(client.call("quick", {}, { once: "c" }));
    await runtime.settle();
    expect(waiting.state).toBe("pending");
    open.open();
    await runtime.advance(2000);
    expect(waiting).toMatchObject({ state: "resolved", value: 1 });
  });
});
