import * as v from "valibot";
import { describe, expect, test } from "vitest";
import type { Client, ClientInit } from "../../client/client.ts";
import type { CloseReason } from "../../connection/close-reason.ts";
import { ErrorCode, RpcError } from "../../errors.ts";
import type { Connection } from "../../server/connection.ts";
import type { Server, ServerInit } from "../../server/server.ts";
import { type FakeRuntime, fakeRuntime } from "../../test-support/fake-runtime.ts";
import { gate } from "../../test-support/gate.ts";
import { outcome, testClient, testServer } from "../../test-support/peers.ts";

interface Scene {
  readonly runtime: FakeRuntime;
  readonly server: Server;
  readonly client: Client;
  readonly connection: Connection;
  readonly events: string[];
}

const RECONNECT = { delayMs: 10, maxDelayMs: 10, jitter: false };
/** Time after which the client has reconnected. */
const BACK_MS = 100;

async function scene(
  serverOptions: Partial<ServerInit> = {},
  clientOptions: Partial<ClientInit> = {},
  prepare: (server: Server) => void = () => undefined,
): Promise<Scene> {
  const runtime = fakeRuntime();
  const events: string[] = [];
  const { server } = await testServer(runtime, { resume: true, ...serverOptions }, (made) => {
    made.onClientConnect(() => void events.push("server: connect"));
    made.onClientDisconnect((_connection, reason) => void events.push(`server: disconnect ${describeReason(reason)}`));
    prepare(made);
  });
  const { client } = testClient(runtime, { resume: true, reconnect: RECONNECT, ...clientOptions });
  client.onConnect(() => void events.push("connect"));
  client.onDisconnect((_client, reason) => void events.push(`disconnect ${describeReason(reason)}`));
  client.onReconnect(() => void events.push("reconnect"));
  client.onResume(({ replayed, lost }) => void events.push(`resume ${replayed} ${lost}`));
  client.onSessionExpired(({ lost }) => void events.push(`expired ${lost}`));
  await client.connect();
  events.length = 0;
  return { runtime, server, client, connection: server.connections[0] as Connection, events };
}

function describeReason({ codeName, lost }: CloseReason): string {
  return lost === undefined ? codeName : `${codeName} ${lost}`;
}

/** Cuts the current stream. Everything in flight is lost. */
function cut(runtime: FakeRuntime): void {
  runtime.pairs.at(-1)?.dialled.destroy(null);
}

describe("a session", () => {
  test("continues over another stream, and hooks hear only that", async () => {
    const { runtime, server, client, connection, events } = await scene();
    server.rpc("echo", (params) => params);
    cut(runtime);
    await runtime.settle();
    expect([client.state, connection.state, client.isConnected]).toEqual(["suspended", "suspended", false]);
    await runtime.advance(BACK_MS);
    expect([client.state, connection.state, client.isConnected]).toEqual(["active", "active", true]);
    expect(events).toEqual(["resume 0 0"]);
    expect(server.connections).toEqual([connection]);
    expect(connection.resumes).toBe(1);
    expect(await client.call("echo", { a: 1 })).toEqual({ a: 1 });
  });

  test("continues if a listener connects as soon as it hears that the stream was lost", async () => {
    const { runtime, client, connection, events } = await scene();
    const connected: Promise<void>[] = [];
    client.onStateChange(({ to }) => {
      if (to === "suspended") connected.push(client.connect());
    });
    cut(runtime);
    await runtime.advance(BACK_MS);
    await Promise.all(connected);
    expect([connected.length, client.state, connection.state, events]).toEqual([1, "active", "active", ["resume 0 0"]]);
    await client.close();
    await runtime.settle();
    expect([client.state, connection.state]).toEqual(["closed", "closed"]);
  });

  test("is what connect() waits for, also if a listener calls it as soon as the session continues", async () => {
    const { runtime, client, connection } = await scene();
    const connected: Promise<void>[] = [];
    client.onStateChange(({ event }) => {
      if (event === "restore") connected.push(client.connect());
    });
    cut(runtime);
    await runtime.advance(BACK_MS);
    await Promise.all(connected);
    expect([connected.length, client.state, connection.state]).toEqual([1, "active", "active"]);
  });

  test("ends if a listener closes the client as soon as it hears that, and a new one begins if it then connects", async () => {
    const { runtime, client, server, connection } = await scene();
    const connected: Promise<void>[] = [];
    client.onStateChange(({ to }) => {
      if (to !== "suspended") return;
      void client.close();
      connected.push(client.connect());
    });
    cut(runtime);
    await runtime.advance(BACK_MS);
    await Promise.all(connected);
    server.rpc("echo", (params) => params);
    expect(await client.call("echo", { a: 1 })).toEqual({ a: 1 });
    expect([client.state, server.connections.includes(connection)]).toEqual(["active", true]);
    await client.close();
    expect(client.state).toBe("closed");
  });

  test("delivers each message once and in order, in both directions, whenever it is cut", async () => {
    const { runtime, server, client, connection } = await scene();
    const atServer: unknown[] = [];
    const atClient: unknown[] = [];
    server.on("n", (_client, n) => void atServer.push(n));
    client.on("n", (n) => void atClient.push(n));
    let sent = 0;
    for (let round = 0; round < 40; round += 1) {
      for (let i = 0; i < 5; i += 1) {
        client.send("n", sent);
        connection.send("n", sent);
        sent += 1;
      }
      for (let turns = round % 7; turns > 0; turns -= 1) await new Promise((resolve) => setImmediate(resolve));
      cut(runtime);
      await runtime.advance(round % 3 === 0 ? 0 : BACK_MS);
    }
    await runtime.advance(BACK_MS);
    const all = Array.from({ length: sent }, (_, n) => n);
    expect(atServer.join()).toBe(all.join());
    expect(atClient.join()).toBe(all.join());
  });

  test("answers a call that was carried out while there was no stream, and doesn't run it again", async () => {
    const { runtime, server, client } = await scene();
    const open = gate();
    let runs = 0;
    server.rpc("slow", async () => {
      runs += 1;
      await open.promise;
      return runs;
    });
    const call = outcome(client.call("slow"));
    await runtime.settle();
    cut(runtime);
    await runtime.settle();
    open.open();
    await runtime.settle();
    expect(call.state).toBe("pending");
    await runtime.advance(BACK_MS);
    expect(call).toMatchObject({ state: "resolved", value: 1 });
  });

  test("queues calls and messages while there is no stream", async () => {
    const { runtime, server, client, connection } = await scene();
    const got: unknown[] = [];
    server.on("n", (_client, n) => void got.push(n));
    client.on("n", (n) => void got.push(n));
    server.rpc("echo", (params) => params);
    cut(runtime);
    await runtime.settle();
    client.send("n", "from client");
    connection.send("n", "from server");
    const call = outcome(client.call("echo", { a: 1 }));
    await runtime.advance(BACK_MS);
    expect(got.sort()).toEqual(["from client", "from server"]);
    expect(call).toMatchObject({ state: "resolved", value: { a: 1 } });
  });

  test("expires at the server after windowMs, and both sides learn what was lost", async () => {
    const { runtime, client, connection, server, events } = await scene({ resume: { windowMs: 5000 } });
    server.on("n", () => undefined);
    connection.send("n", 1);
    client.send("n", 1);
    cut(runtime);
    await runtime.settle();
    runtime.dialBehaviours.push(() => new Promise(() => undefined));
    connection.send("n", 2);
    await runtime.advance(4000);
    expect(events).toEqual([]);
    await runtime.advance(1500);
    expect(events).toContain("server: disconnect SESSION_EXPIRED 2");
    expect(events).toContain("disconnect SESSION_EXPIRED 1");
    expect(events).toContain("expired 1");
    await runtime.advance(20_000);
    expect(client.isConnected).toBe(true);
    expect(events.at(-1)).toBe("reconnect");
  });

  test("doesn't expire at either side for time in which its process was stopped", async () => {
    const options = { resume: { windowMs: 60_000 } };
    const { runtime, connection, events } = await scene(options, { connectTimeoutMs: 40_000 });
    runtime.dialBehaviours.push(...Array.from({ length: 2 }, () => () => new Promise<never>(() => undefined)));
    cut(runtime);
    await runtime.advance(50_000);
    runtime.standStill(300_000);
    await runtime.advance(20_000);
    expect([events, connection.state]).toEqual([["resume 0 0"], "active"]);
  });

  test("may send at once what waited, within the rate limit for the time without a stream", async () => {
    const options = { rateLimit: { messagesPerSecond: 10 } };
    const { runtime, server, client, connection, events } = await scene(options, { connectTimeoutMs: 30_000 });
    let handled = 0;
    server.on("n", () => {
      handled += 1;
    });
    runtime.dialBehaviours.push(() => new Promise(() => undefined));
    cut(runtime);
    for (let second = 0; second < 30; second += 1) {
      for (let n = 0; n < 10; n += 1) client.send("n", n);
      await runtime.advance(1000);
    }
    await runtime.advance(1000);
    expect([events, handled, connection.stats.rateLimited]).toEqual([["resume 300 0"], 300, 0]);
    for (let n = 0; n < 200; n += 1) client.send("n", n);
    await runtime.settle();
    expect(connection.stats.rateLimited).toBeGreaterThan(0);
  });

  test("gives a client that comes back again and again no more than its rate", async () => {
    const options = { rateLimit: { messagesPerSecond: 10 } };
    const { runtime, server, client } = await scene(options, {
      reconnect: { delayMs: 400, maxDelayMs: 400, jitter: false },
    });
    let handled = 0;
    server.on("n", () => {
      handled += 1;
    });
    for (let n = 0; n < 10; n += 1) client.send("n", n);
    await runtime.settle();
    expect(handled).toBe(10);
    for (let times = 0; times < 20; times += 1) {
      cut(runtime);
      for (let n = 0; n < 10; n += 1) client.send("n", n);
      await runtime.advance(500);
    }
    expect(handled).toBeGreaterThan(100);
    expect(handled).toBeLessThan(130);
  });

  test("expires if the server no longer has it, and the client reports what the server had not received", async () => {
    const { runtime, client, connection, server, events } = await scene();
    server.on("n", () => undefined);
    client.send("n", 1);
    await runtime.settle();
    cut(runtime);
    await runtime.settle();
    client.send("n", 2);
    client.send("n", 3);
    const call = outcome(client.call("never"));
    void connection.close("Banned");
    await runtime.advance(BACK_MS);
    expect(events).toEqual([
      "server: disconnect CONNECTION_CLOSED 0",
      "server: connect",
      "disconnect SESSION_EXPIRED 3",
      "expired 3",
      "connect",
      "reconnect",
    ]);
    expect(call.error?.code).toBe(ErrorCode.CONNECTION_CLOSED);
    expect(client.isConnected).toBe(true);
  });

  test("that expires at the client while it is being resumed isn't taken for a new connection", async () => {
    const { runtime, server, client, events } = await scene({ resume: { windowMs: 1000 } });
    const got: unknown[] = [];
    server.on("n", (_client, n) => void got.push(n));
    // Delays the answer to the login.
    const remove = server.onClientResume(() => runtime.pairs.at(-1)?.dialled.pause());
    cut(runtime);
    await runtime.settle();
    client.send("n", 1);
    await runtime.advance(1500);
    expect(events).toEqual(["disconnect SESSION_EXPIRED 1", "expired 1"]);
    remove();
    runtime.pairs.at(-1)?.dialled.resume();
    await runtime.advance(BACK_MS);
    expect(events.slice(2)).toEqual(["server: connect", "connect", "reconnect"]);
    client.send("n", 2);
    await runtime.settle();
    expect(got).toEqual([2]);
  });

  test("is rejected by a hook that throws an RpcError, and ends", async () => {
    const { runtime, server, client, events } = await scene();
    server.onClientResume(() => {
      throw new RpcError(ErrorCode.PERMISSION_DENIED, "Banned");
    });
    cut(runtime);
    await runtime.advance(BACK_MS);
    expect(events).toEqual(["server: disconnect PERMISSION_DENIED 0", "disconnect RECONNECT_FAILED 0", "expired 0"]);
    expect(client.state).toBe("failed");
  });

  test("has its user's current roles, also in the hooks, and keeps no subscriptions that need other roles", async () => {
    const ada = (roles: readonly string[]) => ({ password: "lovelace", roles });
    const { runtime, server, client, connection } = await scene(
      { users: { ada: ada(["admin"]) } },
      { username: "ada", password: "lovelace" },
    );
    const topics = [{ roles: ["admin"] }, { roles: ["admin", "guest"] }, {}, { roles: ["auditor"] }].map((options, n) =>
      server.topic(`topic ${n}`, options),
    );
    const subscriptions = [0, 1, 2].map((n) => client.subscribe(`topic ${n}`));
    await Promise.all(subscriptions.map(({ ready }) => ready));
    topics[3]?.add(connection);
    const seen: unknown[] = [];
    server.onClientResume(({ user }) => void seen.push(user.roles));
    cut(runtime);
    await server.setUser("ada", ada(["guest"]));
    await runtime.advance(BACK_MS);
    expect([seen, connection.resumes, connection.user.roles]).toEqual([[["guest"]], 1, ["guest"]]);
    expect(topics.map(({ size }) => size)).toEqual([0, 1, 1, 1]);
    expect(subscriptions.map(({ isLive }) => isLive)).toEqual([false, true, true]);
  });

  test.each(["before", "after"])(
    "holds up a server that stops for drainMs at most, if it lost its stream %s that",
    async (when) => {
      const { runtime, server, client, connection, events } = await scene();
      server.rpc("slow", () => new Promise(() => undefined));
      runtime.dialBehaviours.push(() => new Promise(() => undefined));
      const call = outcome(client.call("slow"));
      await runtime.settle();
      if (when === "before") cut(runtime);
      await runtime.settle();
      const stopping = outcome(server.stop({ drainMs: 2000 }));
      await runtime.settle();
      if (when === "after") cut(runtime);
      await runtime.advance(1900);
      expect([connection.state, stopping.state]).toEqual(["suspended", "pending"]);
      await runtime.advance(200);
      expect([connection.state, stopping.state]).toEqual(["failed", "resolved"]);
      expect(events).toEqual(["server: disconnect SERVER_STOPPING 0"]);
      await client.close();
      expect(call.state).toBe("rejected");
    },
  );

  test("runs middleware around its hooks", async () => {
    const { runtime, server } = await scene();
    const seen: unknown[] = [];
    server.use(async ({ kind, method }, next) => {
      seen.push([kind, method]);
      return await next();
    });
    server.onClientResume(() => void seen.push("hook"));
    cut(runtime);
    await runtime.advance(BACK_MS);
    expect(seen).toEqual([["hook", "onClientResume"], "hook"]);
  });

  test("has another token after each resume", async () => {
    const { runtime, client, connection } = await scene();
    const tokens = new Set([client.sessionToken]);
    for (let i = 0; i < 5; i += 1) {
      cut(runtime);
      await runtime.advance(BACK_MS);
      tokens.add(client.sessionToken);
      expect(connection.session.token).toBe(client.sessionToken);
    }
    expect(tokens.size).toBe(6);
  });

  test("resumes after the login's answer was lost several times", async () => {
    const { runtime, client, server, connection, events } = await scene();
    server.rpc("echo", (params) => params);
    for (let i = 0; i < 3; i += 1) {
      cut(runtime);
      await runtime.settle();
      const { resumes } = connection;
      // Until the server has resumed the session, before the client receives the answer.
      await runtime.advance(10);
      while (connection.resumes === resumes) await new Promise((resolve) => setImmediate(resolve));
    }
    await runtime.advance(BACK_MS);
    expect(await client.call("echo", { a: 1 })).toEqual({ a: 1 });
    expect(events.every((event) => event.startsWith("resume"))).toBe(true);
  });

  test("continues while the server takes the old stream for alive", async () => {
    const { runtime, client, connection, server } = await scene();
    server.rpc("echo", (params) => params);
    const pair = runtime.pairs.at(-1);
    // The client's end fails without the server detecting it.
    Object.defineProperty(pair?.accepted, "destroy", { value: () => undefined });
    cut(runtime);
    await runtime.advance(BACK_MS);
    expect(connection.resumes).toBe(1);
    expect(await client.call("echo", { a: 1 })).toEqual({ a: 1 });
  });

  test("needs the option on both sides", async () => {
    for (const [ours, theirs] of [
      [true, false],
      [false, true],
    ] as const) {
      const { runtime, events } = await scene({ resume: ours }, { resume: theirs });
      cut(runtime);
      await runtime.advance(BACK_MS);
      expect(events).toContain("disconnect CONNECTION_CLOSED");
      expect(events).toContain("reconnect");
    }
  });

  test("gives way to a new client when the server is full", async () => {
    const { runtime, events, client } = await scene({ maxConnections: 1 });
    runtime.dialBehaviours.push(() => new Promise(() => undefined));
    cut(runtime);
    await runtime.settle();
    const { client: other } = testClient(runtime, {});
    await runtime.advance(10);
    await other.connect();
    expect(events).toEqual(["server: disconnect SESSION_EXPIRED 0", "server: connect"]);
    void client;
  });

  test("ends without its stream when the client closes", async () => {
    const { runtime, events, client } = await scene();
    cut(runtime);
    await runtime.settle();
    client.send("n", 1);
    await client.close();
    expect(events).toEqual(["disconnect CONNECTION_CLOSED 1", "expired 1"]);
    expect(client.state).toBe("closed");
  });

  test("makes senders wait while maxBytes are unacknowledged, and then continues", async () => {
    const { runtime, server, client } = await scene({}, { resume: { maxBytes: 65_536 }, sendQueueSize: 100 });
    let got = 0;
    server.on("block", () => {
      got += 1;
    });
    cut(runtime);
    await runtime.settle();
    const block = new Uint8Array(10_000);
    let sent = 0;
    while (client.send("block", block)) sent += 1;
    expect(sent).toBeGreaterThan(80);
    const room = outcome(client.drained());
    await runtime.settle();
    expect(room.state).toBe("pending");
    await runtime.advance(BACK_MS);
    expect(room.state).toBe("resolved");
    expect(got).toBe(sent + 1);
  });

  test("continues with messages in chunks of which a part had arrived", async () => {
    const { runtime, server, client } = await scene();
    const lengths: number[] = [];
    server.on("block", (_client, data) => void lengths.push((data as Uint8Array).length));
    for (let round = 1; round <= 8; round += 1) {
      client.send("block", new Uint8Array(round * 100_000));
      for (let turns = 3 * round; turns > 0; turns -= 1) await new Promise((resolve) => setImmediate(resolve));
      cut(runtime);
      await runtime.advance(BACK_MS);
    }
    await runtime.advance(BACK_MS);
    expect(lengths).toEqual(Array.from({ length: 8 }, (_, index) => (index + 1) * 100_000));
  });

  test("continues streams at their next item, in both directions", async () => {
    const { runtime, server, client } = await scene();
    server.stream("count", async function* () {
      for (let n = 0; n < 2000; n += 1) {
        if (n % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
        yield { n, text: "x".repeat(200) };
      }
    });
    server.rpc({ name: "sum", input: v.number() }, async (_params, context) => {
      let sum = 0;
      for await (const n of context.input) sum += n;
      return sum;
    });
    const got: unknown[] = [];
    const reading = (async () => {
      for await (const item of client.stream("count", {})) got.push((item as { n: number }).n);
    })();
    async function* numbers(): AsyncGenerator<number> {
      for (let n = 0; n < 2000; n += 1) {
        if (n % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
        yield n;
      }
    }
    const sum = client.call("sum", {}, { input: numbers() });
    for (let round = 0; round < 10; round += 1) {
      for (let turns = 6; turns > 0; turns -= 1) await new Promise((resolve) => setImmediate(resolve));
      cut(runtime);
      await runtime.advance(BACK_MS);
    }
    await reading;
    expect(got).toEqual(Array.from({ length: 2000 }, (_, n) => n));
    expect(await sum).toBe((2000 * 1999) / 2);
  });

  test("keeps subscriptions and presence", async () => {
    const { runtime, server, client, connection } = await scene();
    const topic = server.topic("news", { presence: true });
    const got: unknown[] = [];
    const subscription = client.subscribe("news");
    void (async () => {
      for await (const item of subscription) got.push(item);
    })();
    await runtime.advance(BACK_MS);
    for (let n = 0; n < 20; n += 1) {
      topic.publish(n);
      cut(runtime);
      topic.publish(n + 0.5);
      expect(topic.subscribers).toEqual([connection]);
      await runtime.advance(BACK_MS);
    }
    expect(got).toEqual(Array.from({ length: 40 }, (_, n) => n / 2));
  });

  test("doesn't cut a stream for its silence while it has none, and is cut for silence when it has one", async () => {
    const { runtime, client, connection } = await scene({
      heartbeatIntervalMs: 1000,
      heartbeatTimeoutMs: 3000,
      resume: { windowMs: 60_000 },
    });
    const [pair] = runtime.pairs;
    pair?.dialled.pause();
    Object.defineProperty(pair?.dialled, "write", { value: () => true });
    await runtime.advance(5000);
    expect(connection.resumes).toBe(1);
    runtime.dialBehaviours.push(() => new Promise(() => undefined));
    cut(runtime);
    await runtime.advance(5000);
    expect([connection.state, client.state]).toEqual(["suspended", "connecting"]);
  });

  test("ignores acknowledgements from before it was resumed", async () => {
    const { runtime, client, server, connection, events } = await scene();
    server.on("block", () => undefined);
    for (let round = 0; round < 12; round += 1) {
      client.send("block", new Uint8Array(500_000));
      for (let turns = 4 * round; turns > 0; turns -= 1) await new Promise((resolve) => setImmediate(resolve));
      cut(runtime);
      await runtime.advance(BACK_MS);
    }
    expect(connection.resumes).toBe(12);
    events.length = 0;
    await client.close();
    expect(events[0]).toBe("disconnect CONNECTION_CLOSED");
  });

  test("acknowledges each message, also after many acknowledgements of the other side", async () => {
    const away = { delayMs: 5000, maxDelayMs: 5000, jitter: false };
    const { runtime, client, server, connection, events } = await scene(
      { resume: { windowMs: 1000 } },
      { reconnect: away },
    );
    server.on("n", () => undefined);
    client.on("n", () => undefined);
    for (let count = 0; count < 20; count += 1) {
      client.send("n", count);
      await runtime.advance(1200);
    }
    for (const n of [1, 2]) {
      connection.send("n", n);
      await runtime.advance(1200);
    }
    cut(runtime);
    await runtime.advance(2000);
    expect(events).toContain("server: disconnect SESSION_EXPIRED 0");
  });

  test("acknowledges a second after something has arrived, once a second at most while little is sent, and nothing when idle", async () => {
    const { runtime, client, server } = await scene();
    server.on("n", () => undefined);
    const received = (): number => client.stats?.bytesReceived ?? 0;
    await runtime.advance(5000);
    const before = received();
    client.send("n", 1);
    await runtime.advance(900);
    expect(received()).toBe(before);
    await runtime.advance(200);
    const ackBytes = received() - before;
    expect(ackBytes).toBeGreaterThan(0);
    for (let tenths = 0; tenths < 50; tenths += 1) {
      client.send("n", 1);
      await runtime.advance(100);
    }
    // Each arrives a second after the first message that followed the previous one. Later ones have larger numbers.
    expect(Math.round((received() - before) / ackBytes)).toBe(5);
    await runtime.advance(2000);
    const idle = received();
    await runtime.advance(10_000);
    expect(received()).toBe(idle);
  });
});
