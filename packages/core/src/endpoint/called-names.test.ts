/** Messages, hooks and contexts contain the name that the program called, not the protocol's internal method. */

import { describe, expect, test } from "vitest";
import type { Client } from "../client/client.ts";
import { ErrorCode } from "../errors.ts";
import type { Server } from "../server/server.ts";
import { clusterScene, firstIdOf, three } from "../test-support/cluster-scene.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { outcome, testClient, testPool, testServer } from "../test-support/peers.ts";

const never = (): Promise<never> => new Promise(() => undefined);

async function scene(prepare?: (server: Server) => void, options: Parameters<typeof testServer>[1] = {}) {
  const runtime = fakeRuntime();
  const { server, errors } = await testServer(runtime, options, prepare);
  const { client, errors: clientErrors } = testClient(runtime, { rpcTimeoutMs: 1000 });
  await client.connect();
  return { runtime, server, errors, client, clientErrors };
}

const HANGS = (server: Server): void => {
  server.topic("room:7", { publish: never, authorize: never });
  server.on("order", never);
  server.rpc("pay", never);
};

/** Each way to call one of the protocol's methods, and its name in messages. */
const CALLS: readonly [called: string, run: (client: Client, signal?: AbortSignal) => Promise<unknown>][] = [
  ['publish to "room:7"', (client, signal) => client.publish("room:7", 1, { signal })],
  ["'order'", (client, signal) => client.send("order", 1, { ack: { attempts: 1, signal } })],
  ["'pay'", (client, signal) => client.call("pay", {}, { once: "key", signal })],
];

describe.each(CALLS)("%s", (called, run) => {
  test("is named when its time is over", async () => {
    const { runtime, client } = await scene(HANGS);
    const call = outcome(run(client));
    await runtime.advance(30_000);
    expect(call.error?.message).toContain(`${called} timed out after 1000 ms: the server `);
  });

  test("is named when it is cancelled, before it left and after", async () => {
    const { runtime, client } = await scene(HANGS);
    const controller = new AbortController();
    const early = outcome(run(client, AbortSignal.abort()));
    const late = outcome(run(client, controller.signal));
    await runtime.settle();
    controller.abort();
    await runtime.settle();
    expect([early.error?.message, late.error?.message]).toEqual([`${called} was cancelled`, `${called} was cancelled`]);
  });

  test("is named when the connection ends", async () => {
    const { runtime, server, client } = await scene(HANGS);
    const call = outcome(run(client));
    await runtime.settle();
    void server.connections[0]?.close("bye");
    await runtime.advance(30_000);
    expect(call.error?.message).toContain(called);
    expect(call.error?.message).not.toContain("$");
  });

  test("is named when there is no connection", async () => {
    const runtime = fakeRuntime();
    const { client } = testClient(runtime);
    const { pool } = testPool(runtime, [1]);
    const calls = [outcome(run(client)), outcome(run(pool as unknown as Client))];
    await runtime.advance(300_000);
    for (const { error } of calls) {
      expect(error?.message).toContain(called);
      expect(error?.message).not.toContain("$");
    }
  });

  test("is named when it waits for a connection too long, or in a full queue", async () => {
    const runtime = fakeRuntime();
    const { client } = testClient(runtime, { queueWhileDisconnected: "send", rpcTimeoutMs: 1000, sendQueueSize: 1 });
    runtime.dialBehaviours.push(never);
    client.connect().catch(() => undefined);
    const [first, second] = [outcome(run(client)), outcome(run(client))];
    await runtime.advance(30_000);
    // Messages with `ack` wait longer.
    const tooLong = called === "'order'" ? undefined : `${called} timed out after 1000 ms without a connection`;
    expect(first.error?.message).toBe(tooLong);
    expect(second.error?.message).toContain(called);
    expect(second.error?.message).not.toContain("$");
    await client.close();
    await runtime.settle();
    expect(first.error?.message).toContain(called);
  });

  test("is named when its data is too large, or isn't serializable", async () => {
    const { runtime, client } = await scene(HANGS, { maxMessageBytes: 2000 });
    const data = "x".repeat(5000);
    const calls = [
      ["room:7", client.publish("room:7", data)],
      ["order", client.send("order", data, { ack: { attempts: 1 } })],
      ["pay", client.call("pay", { data }, { once: "key" })],
    ] as const;
    const outcomes = calls.map(([, call]) => outcome(call as Promise<unknown>));
    await runtime.advance(30_000);
    const messages = outcomes.map(({ error }) => error?.message ?? "");
    expect(messages.join("\n")).not.toContain("$");
    for (const [index, [name]] of calls.entries()) expect(messages[index]).toContain(name);
  });
});

test("paths of what can't be encoded begin where the program's data begins", async () => {
  const { runtime, client } = await scene(HANGS);
  const bad = { when: { at: Symbol("no") } };
  const calls = [
    outcome(client.publish("room:7", bad)),
    outcome(client.send("order", bad, { ack: { attempts: 1 } })),
    outcome(client.call("pay", bad, { once: "key" })),
    outcome(client.call("pay", bad)),
  ];
  await runtime.settle();
  expect(calls.map(({ error }) => error?.details)).toEqual([
    { path: "data.when.at" },
    { path: "data.when.at" },
    { path: "params.when.at" },
    { path: "params.when.at" },
  ]);
});

test("a subscription that the server refuses or doesn't answer names the topic", async () => {
  const { runtime, client } = await scene(HANGS);
  const waits = outcome(client.subscribe("room:7").ready);
  const unknown = outcome(client.subscribe("room:8").ready);
  await runtime.advance(30_000);
  expect(unknown.error?.message).toMatch(
    /^Topic not found: room:8 \(did you mean 'room:7'\?\); a server makes topics by topic\(name\)/,
  );
  expect(`${waits.error?.message}`).not.toContain("$");
});

test("error.method and onError have the name that the program used, on both sides", async () => {
  const { runtime, server, errors, client } = await scene((made) => {
    made.topic("room:7", {
      publish: () => {
        throw new Error("no verdict");
      },
      authorize: () => {
        throw new Error("no verdict");
      },
    });
    made.on("order", () => {
      throw new Error("sold out");
    });
  });
  const calls = [
    outcome(client.publish("room:7", 1)),
    outcome(client.subscribe("room:7").ready),
    outcome(client.send("order", 1, { ack: true })),
  ];
  await runtime.settle();
  expect(calls.map(({ error }) => (error as { method?: string } | undefined)?.method)).toEqual([
    'publish to "room:7"',
    'subscribe to "room:7"',
    "order",
  ]);
  expect(errors.map(({ name }) => name)).toEqual(['publish to "room:7"', 'subscribe to "room:7"', "order"]);
  expect(server.isRunning).toBe(true);
});

test("the signal of a refused subscription, and the deadline of a publish, name the topic to the server's code", async () => {
  const reasons: string[] = [];
  const { runtime, errors, client } = await scene((server) => {
    server.topic("room:7", { publish: never });
    server.on("order", (_connection, _data, { signal }) => {
      signal.addEventListener("abort", () => reasons.push(String(signal.reason)));
      return never();
    });
  });
  const calls = [outcome(client.publish("room:7", 1)), outcome(client.send("order", 1, { ack: { attempts: 1 } }))];
  await runtime.advance(30_000);
  expect(calls.map(({ state }) => state)).toEqual(["rejected", "rejected"]);
  expect(`${reasons} ${JSON.stringify(errors)}`).not.toContain("$");
});

test("a middleware of a client sees a message with ack by its type", async () => {
  const { client } = await scene((server) => server.on("order", () => null));
  const seen: string[] = [];
  client.use((context, next) => {
    seen.push(`${context.kind} ${context.method}`);
    return next();
  });
  await client.send("order", 1, { ack: true });
  expect(seen).toEqual(["request order"]);
});

test("a middleware of a server sees a message with ack, and a call with once, by their names", async () => {
  const seen: string[] = [];
  const { client } = await scene((server) => {
    server.use((context, next) => {
      seen.push(context.method);
      return next();
    });
    server.on("order", () => null);
    server.rpc("pay", () => "paid");
  });
  await client.send("order", 1, { ack: true });
  await client.call("pay", {}, { once: "key" });
  expect(seen).toEqual(["order", "pay"]);
});

test("a message with ack to a client of another node is named, here and there", async () => {
  const all = clusterScene();
  const [a, b] = await three(all, { rpcTimeoutMs: 1000 });
  const client = await b.join();
  client.on("order", never);
  const id = firstIdOf(b);
  const send = (): Promise<unknown> => a.server.peer(id).send("order", 1, { ack: { attempts: 1 } });
  const slow = outcome(send());
  await all.runtime.advance(30_000);
  const ended = outcome(send());
  await all.runtime.settle();
  void client.close();
  await all.runtime.advance(30_000);
  for (const { error } of [slow, ended]) {
    expect(error?.code).toBe(ErrorCode.NOT_DELIVERED);
    expect(error?.message).toContain("'order'");
    expect(error?.message).not.toContain("$");
  }
});

test("a server that stops names what it doesn't take", async () => {
  const { runtime, server, client } = await scene(HANGS);
  void server.stop({ drainMs: 5000 });
  await runtime.settle();
  const calls = CALLS.map(([, run]) => outcome(run(client)));
  await runtime.advance(300_000);
  // A message with `ack` waits for the next server.
  await client.close();
  await runtime.settle();
  for (const [index, [called]] of CALLS.entries()) {
    expect(calls[index]?.error?.message).toContain(called);
    expect(calls[index]?.error?.message).not.toContain("$");
  }
});
