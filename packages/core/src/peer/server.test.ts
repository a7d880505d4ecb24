import { describe, expect, test } from "vitest";
import type { ByteStream } from "../bytes/byte-stream.ts";
import { ErrorCode } from "../errors.ts";
import { ClientHandshake } from "../session/client-handshake.ts";
import { ScramKeyCache } from "../session/scram.ts";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate, outcome, testClient, testServer } from "../test-support/peers.ts";
import { PASSWORD, RawPeer, rawClient, rawDial } from "../test-support/raw-peer.ts";
import { FrameType } from "../wire/constants.ts";
import type { Connection } from "./connection.ts";
import { Server, type ServerInit, type SlowConsumer } from "./server.ts";

/** A server that has not been started. */
function idle(options: Partial<ServerInit> = {}) {
  const runtime = fakeRuntime();
  const server = new Server({ password: PASSWORD, host: "test", scramIterations: 4096, ...options }, runtime);
  return { runtime, server };
}

async function withClients(count: number, options: Partial<ServerInit> = {}) {
  const runtime = fakeRuntime();
  const bench = await testServer(runtime, options);
  const peers: RawPeer[] = [];
  for (let index = 0; index < count; index += 1) peers.push(await rawClient(runtime, bench.port));
  return { runtime, peers, ...bench };
}

/** Has the runtime's next listener accept a client before it is known to listen. @returns the client's stream, then */
function comeEarly(runtime: FakeRuntime): Promise<ByteStream> {
  return new Promise((resolve) => {
    const listen = runtime.listen.bind(runtime);
    runtime.listen = async (target, events) => {
      const listener = await listen(target, events);
      const [theirs, ours] = runtime.pair();
      events.accepted(ours);
      resolve(theirs);
      await runtime.settle();
      return listener;
    };
  });
}

async function logInAs(runtime: FakeRuntime) {
  const handshake = new ClientHandshake({
    password: PASSWORD,
    info: { name: "early", version: "1", description: "" },
    allowPasswordHash: false,
    crypto: runtime.crypto,
    cache: new ScramKeyCache(),
  });
  return { handshake, request: await handshake.start() };
}

describe("connections", () => {
  test("no longer list a connection that is closing, before it has closed", async () => {
    const { server, peers } = await withClients(2);
    const [leaving] = server.connections;
    peers[0]?.stream.pause();
    const closed = leaving?.close("bye");
    expect([server.connectionCount, server.connections.length]).toEqual([1, 1]);
    expect([leaving?.state, server.connection(leaving?.id ?? "")]).toEqual(["closing", undefined]);
    peers[0]?.stream.destroy(null);
    await closed;
  });
});

describe("start", () => {
  test("runs the startup hooks, then listens, then runs the listening hooks", async () => {
    const { runtime, server } = idle({ port: 0 });
    const events: unknown[] = [];
    server.onStartup(async () => {
      await runtime.settle();
      events.push(["startup", server.state, server.address.port]);
    });
    server.onListening(() => events.push(["listening", server.state, server.address.port]));
    expect([server.state, server.address.port, server.isRunning]).toEqual(["stopped", 0, false]);
    await server.start();
    expect(events).toEqual([
      ["startup", "starting", 0],
      ["listening", "running", 40_000],
    ]);
    expect([server.isRunning, String(server.address)]).toEqual([true, "test:40000"]);
  });

  test("serves a client that came before it heard that it listens, as in a cluster's worker", async () => {
    const { runtime, server } = idle();
    const early = comeEarly(runtime);
    await server.start();
    const peer = new RawPeer(runtime, await early);
    const { handshake, request } = await logInAs(runtime);
    peer.send(FrameType.AUTH_REQUEST, request);
    const challenge = await peer.next(FrameType.AUTH_CHALLENGE);
    const step = await handshake.receive(challenge.type, challenge.payload);
    if (step.kind !== "send") throw new Error(step.kind);
    peer.send(step.type, step.payload);
    await peer.next(FrameType.AUTH_SUCCESS);
    expect(server.connectionCount).toBe(1);
  });

  test("that is stopped turns away a client that came before it heard that it listens", async () => {
    const { runtime, server } = idle();
    const early = comeEarly(runtime);
    const starting = outcome(server.start());
    const peer = new RawPeer(runtime, await early);
    await server.stop();
    await runtime.advance(1);
    const failure = await peer.next(FrameType.AUTH_FAILURE);
    expect(failure.payload).toMatchObject({ code: ErrorCode.SERVER_STOPPING });
    expect(starting.error).toMatchObject({ code: ErrorCode.INVALID_STATE });
  });

  test("asked twice starts once", async () => {
    const { server } = idle();
    let startups = 0;
    server.onStartup(() => {
      startups += 1;
    });
    await Promise.all([server.start(), server.start()]);
    await server.start();
    expect(startups).toBe(1);
  });

  test("rejects with what a startup hook throws, and can be tried again", async () => {
    const { server } = idle();
    const remove = server.onStartup(() => {
      throw new Error("no database");
    });
    await expect(server.start()).rejects.toThrow("no database");
    expect(server.state).toBe("stopped");
    remove();
    await server.start();
    expect(server.isRunning).toBe(true);
  });

  test("rejects with ADDRESS_IN_USE, and can be tried again", async () => {
    const { runtime, server } = idle({ port: 99 });
    const other = new Server({ password: PASSWORD, host: "test", port: 99, scramIterations: 4096 }, runtime);
    await other.start();
    await expect(server.start()).rejects.toMatchObject({ code: ErrorCode.ADDRESS_IN_USE });
    await other.stop();
    await server.start();
    expect(server.isRunning).toBe(true);
  });

  test("is refused while the server stops", async () => {
    const { runtime, server } = await withClients(1);
    server.rpc("wait", () => gate().promise);
    server.onShutdown(() => gate().promise);
    const stopping = server.stop();
    await expect(server.start()).rejects.toMatchObject({
      code: ErrorCode.INVALID_STATE,
      message: "Cannot start a server that is stopping",
    });
    await runtime.advance(20_000);
    await stopping;
  });

  test("rejects when the server is stopped meanwhile, and nothing listens", async () => {
    const { runtime, server } = idle({ port: 99 });
    const hook = gate();
    server.onStartup(() => hook.promise);
    const starting = outcome(server.start());
    await runtime.settle();
    await server.stop();
    hook.open();
    await runtime.settle();
    expect(starting.error).toMatchObject({ code: ErrorCode.INVALID_STATE });
    await expect(rawDial(runtime, 99)).rejects.toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
    expect(server.state).toBe("stopped");
  });

  test("a stop from a listening hook closes the listener", async () => {
    const { runtime, server } = idle({ port: 99 });
    server.onListening(() => void server.stop());
    await server.start().catch(() => undefined);
    await runtime.settle();
    expect(server.state).toBe("stopped");
    await expect(rawDial(runtime, 99)).rejects.toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
  });

  test("can follow a stop: the server works as before", async () => {
    const { runtime, server, port } = await withClients(1);
    await server.stop();
    await server.start();
    await rawClient(runtime, port);
    expect([server.connectionCount, server.stats.loggedIn]).toEqual([1, 2]);
  });
});

describe("stop", () => {
  test("of a server that does not run does nothing", async () => {
    const { server } = idle();
    await server.stop();
    expect(server.state).toBe("stopped");
  });

  test("settles with clients connected: they are told SERVER_STOPPING and may come back", async () => {
    const { runtime, server, peers, port } = await withClients(2);
    await server.stop();
    for (const peer of peers) {
      expect((await peer.next(FrameType.CLOSE)).payload).toEqual({
        reason: "The server is stopping",
        code: ErrorCode.SERVER_STOPPING,
        reconnect: true,
      });
      expect(peer.ended).toBeNull();
    }
    expect([server.connectionCount, runtime.now(), runtime.timers.keepingAlive]).toEqual([0, 0, 0]);
    await expect(rawDial(runtime, port)).rejects.toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
  });

  test("runs the shutdown hooks first, while the connections still work", async () => {
    const { server, peers } = await withClients(1);
    server.onShutdown(() => server.broadcast("bye", { when: "now" }));
    await server.stop();
    expect(await peers[0]?.receivedTypes()).toEqual(["MESSAGE", "CLOSE"]);
  });

  test("lets running handlers finish", async () => {
    const { runtime, server, peers } = await withClients(1);
    const done = gate<string>();
    server.rpc("wait", () => done.promise);
    peers[0]?.call("wait");
    await runtime.settle();
    const stopping = outcome(server.stop());
    await runtime.advance(4000);
    expect(stopping.state).toBe("pending");
    done.open("finished");
    await runtime.settle();
    expect(stopping.state).toBe("resolved");
    expect((await peers[0]?.received())?.[0]).toMatchObject({ payload: { result: "finished" } });
  });

  test("aborts handlers that are not done after drainMs, and settles", async () => {
    const { runtime, server, peers } = await withClients(1, { drainMs: 1000 });
    let signal: AbortSignal | null = null;
    server.rpc("wait", (_params, context) => {
      signal = context.signal;
      return gate().promise;
    });
    peers[0]?.call("wait");
    await runtime.settle();
    const stopping = outcome(server.stop());
    await runtime.advance(990);
    expect([stopping.state, (signal as AbortSignal | null)?.aborted]).toEqual(["pending", false]);
    await runtime.advance(20);
    expect([stopping.state, (signal as AbortSignal | null)?.aborted]).toEqual(["resolved", true]);
  });

  test("cuts off whoever does not close, after closeTimeoutMs", async () => {
    const { runtime, server, peers } = await withClients(1, { drainMs: 100, closeTimeoutMs: 500 });
    peers[0]?.stream.pause();
    const stopping = outcome(server.stop());
    await runtime.advance(700);
    expect([stopping.state, server.connectionCount]).toEqual(["resolved", 0]);
  });

  test("called again with less time hurries", async () => {
    const { runtime, server, peers } = await withClients(1);
    server.rpc("wait", () => gate().promise);
    peers[0]?.call("wait");
    await runtime.settle();
    const first = outcome(server.stop({ drainMs: 60_000 }));
    await runtime.settle();
    void server.stop();
    await runtime.advance(100);
    expect(first.state).toBe("pending");
    void server.stop({ drainMs: 0 });
    await runtime.advance(20);
    expect(first.state).toBe("resolved");
  });

  test("does not wait longer than drainMs for shutdown hooks, nor for disconnect hooks", async () => {
    const { runtime, server } = await withClients(1, { drainMs: 1000 });
    server.onShutdown(() => gate().promise);
    server.onClientDisconnect(() => gate().promise);
    const stopping = outcome(server.stop());
    await runtime.advance(2100);
    expect(stopping.state).toBe("resolved");
  });

  test("waits for disconnect hooks that are quick enough", async () => {
    const { runtime, server } = await withClients(1);
    const hook = gate();
    server.onClientDisconnect(() => hook.promise);
    const stopping = outcome(server.stop());
    await runtime.settle();
    expect(stopping.state).toBe("pending");
    hook.open();
    await runtime.settle();
    expect(stopping.state).toBe("resolved");
  });

  test("tells those that are logging in, too", async () => {
    const { runtime, server, port } = await withClients(0);
    const peer = await rawDial(runtime, port);
    await runtime.settle();
    await server.stop();
    expect((await peer.next(FrameType.AUTH_FAILURE)).payload).toMatchObject({ code: ErrorCode.SERVER_STOPPING });
  });

  test("from a handler does not wait for that handler for ever", async () => {
    const { runtime, server, peers } = await withClients(1, { drainMs: 1000 });
    server.rpc("shutdown", () => server.stop());
    peers[0]?.call("shutdown");
    await runtime.advance(1100);
    expect(server.state).toBe("stopped");
  });

  test("is what `await using` does at the end of its block", async () => {
    const { server } = idle();
    {
      await using owned = server;
      await owned.start();
    }
    expect(server.state).toBe("stopped");
  });
});

describe("run", () => {
  test("runs until the server is stopped", async () => {
    const { runtime, server } = idle();
    const running = outcome(server.run());
    await runtime.settle();
    expect([running.state, server.isRunning, runtime.terminators]).toEqual(["pending", true, 1]);
    await server.stop();
    await runtime.settle();
    expect([running.state, runtime.terminators]).toEqual(["resolved", 0]);
  });

  test("stops gracefully on a signal, and at once on the second", async () => {
    const { runtime, server } = idle({ drainMs: 60_000, port: 99 });
    server.rpc("wait", () => gate().promise);
    const running = outcome(server.run());
    await runtime.settle();
    const peer = await rawClient(runtime, 99);
    peer.call("wait");
    await runtime.settle();
    runtime.terminate("SIGINT");
    await runtime.advance(1000);
    expect(running.state).toBe("pending");
    runtime.terminate("SIGTERM");
    await runtime.advance(20);
    expect(running.state).toBe("resolved");
  });

  test("leaves signals alone with handleSignals off", async () => {
    const { runtime, server } = idle({ handleSignals: false });
    void server.run();
    await runtime.settle();
    expect(runtime.terminators).toBe(0);
    await server.stop();
  });

  test("stops when its own AbortSignal fires, also if that was before", async () => {
    for (const early of [true, false]) {
      const { runtime, server } = idle();
      const abort = new AbortController();
      if (early) abort.abort();
      const running = outcome(server.run({ signal: abort.signal }));
      await runtime.settle();
      abort.abort();
      await runtime.settle();
      expect([running.state, server.state]).toEqual(["resolved", "stopped"]);
    }
  });

  test("rejects when the start fails, and takes its listeners back", async () => {
    const { runtime, server } = idle();
    server.onStartup(() => {
      throw new Error("no");
    });
    await expect(server.run()).rejects.toThrow("no");
    expect(runtime.terminators).toBe(0);
  });
});

describe("accept", () => {
  test("reports a connection that failed before it was ready", async () => {
    const { runtime, errors, port } = await withClients(0);
    runtime.failAccept({ port }, new Error("TLS handshake failed"));
    expect(errors).toMatchObject([{ stage: "accept", message: "TLS handshake failed" }]);
  });
});

describe("broadcast", () => {
  test("reaches everybody and says how many", async () => {
    const { server, peers } = await withClients(3);
    expect(server.broadcast("news", { n: 1 })).toBe(3);
    for (const peer of peers) {
      expect((await peer.received()).map((frame) => frame.payload)).toEqual([{ type: "news", data: { n: 1 } }]);
    }
  });

  test("is encoded once", async () => {
    const { server } = await withClients(5);
    let encoded = 0;
    const data = {
      get n() {
        encoded += 1;
        return 1;
      },
    };
    const once = encoded;
    server.broadcast("news", data);
    const perEncoding = encoded - once;
    server.connections[0]?.send("news", data);
    expect(encoded - once).toBe(2 * perEncoding);
  });

  test("can be narrowed by exclude, include and where", async () => {
    const { server } = await withClients(3);
    const [a, b, c] = server.connections.map((connection) => connection.id) as [string, string, string];
    const counts = [
      server.broadcast("x", null, { exclude: a }),
      server.broadcast("x", null, { exclude: [a, b] }),
      server.broadcast("x", null, { include: c }),
      server.broadcast("x", null, { include: new Set([a, "nobody"]) }),
      server.broadcast("x", null, { include: [] }),
      server.broadcast("x", null, { include: [a, b], exclude: new Set([b]) }),
      server.broadcast("x", null, { where: (connection) => connection.id !== c }),
    ];
    expect(counts).toEqual([2, 1, 1, 1, 0, 1, 2]);
  });

  test("throws before anything is sent when the data cannot be", async () => {
    const { server, peers } = await withClients(1);
    expect(() => server.broadcast("x", () => 1)).toThrow(expect.objectContaining({ code: ErrorCode.UNSERIALIZABLE }));
    expect(await peers[0]?.receivedTypes()).toEqual([]);
  });

  test("is not disturbed by a filter that sends something itself", async () => {
    const { server, peers } = await withClients(2);
    server.broadcast("news", "the news", {
      where: (connection) => {
        connection.send("aside", "x".repeat(50));
        return true;
      },
    });
    for (const peer of peers) {
      const types = (await peer.received()).map((frame) => [frame.payload?.["type"], frame.payload?.["data"]]);
      expect(types).toEqual([
        ["aside", "x".repeat(50)],
        ["news", "the news"],
      ]);
    }
  });

  test("leaves out those that are closing or not logged in", async () => {
    const { runtime, server, port } = await withClients(2);
    await rawDial(runtime, port);
    await runtime.settle();
    void server.connections[0]?.close();
    expect(server.broadcast("x")).toBe(1);
  });

  describe("to a client that does not read", () => {
    async function slow(slowConsumer: "drop" | "disconnect") {
      const bench = await withClients(3, { slowConsumer, sendQueueSize: 5 });
      const reports: [Connection, SlowConsumer][] = [];
      bench.server.onSlowConsumer((connection, report) => reports.push([connection, report]));
      bench.peers[1]?.stream.pause();
      const reached: number[] = [];
      for (let count = 0; count < 10; count += 1) {
        reached.push(bench.server.broadcast("news", "x".repeat(70_000)));
        await bench.runtime.settle();
      }
      return { ...bench, reports, reached };
    }

    test("drop: it misses what does not fit, the others get all, and the hook tells the depth", async () => {
      const { server, peers, reports, reached } = await slow("drop");
      expect(reached).toEqual([3, 3, 3, 3, 3, 3, 2, 2, 2, 2]);
      expect(reports).toHaveLength(4);
      expect(reports[0]?.[1]).toMatchObject({ action: "dropped", queuedMessages: 5 });
      expect(reports[0]?.[1].bufferedBytes).toBeGreaterThan(5 * 70_000);
      expect(server.connections.map((connection) => connection.stats.dropped)).toEqual([0, 4, 0]);
      expect(await peers[0]?.received()).toHaveLength(10);
      peers[1]?.stream.resume();
      expect(await peers[1]?.received()).toHaveLength(6);
    });

    test("disconnect: it is cut off with SLOW_CONSUMER, the others get all", async () => {
      const { server, peers, reports, reached } = await slow("disconnect");
      expect(reached).toEqual([3, 3, 3, 3, 3, 3, 2, 2, 2, 2]);
      expect(reports.map(([, report]) => report.action)).toEqual(["disconnected"]);
      expect([server.connectionCount, await peers[2]?.received()]).toMatchObject([2, { length: 10 }]);
      expect(peers[1]?.ended).toMatchObject({ code: ErrorCode.CONNECTION_RESET });
    });

    test("disconnect: the disconnect hook tells SLOW_CONSUMER", async () => {
      const { runtime, server, peers } = await withClients(1, { sendQueueSize: 1 });
      const codes: number[] = [];
      server.onClientDisconnect((_connection, reason) => codes.push(reason.code));
      peers[0]?.stream.pause();
      for (let count = 0; count < 3; count += 1) {
        server.broadcast("news", "x".repeat(70_000));
        await runtime.settle();
      }
      expect(codes).toEqual([ErrorCode.SLOW_CONSUMER]);
    });
  });
});

describe("hooks of a connection", () => {
  test("run for login and end, with the connection; each can be removed", async () => {
    const { runtime, server, port } = await withClients(0);
    const events: unknown[] = [];
    const removers = [
      server.onClientConnect((connection) => events.push(["in", connection.id])),
      server.onClientDisconnect((connection, reason) => events.push(["out", connection.id, reason.byPeer])),
    ];
    const peer = await rawClient(runtime, port);
    const id = server.connections[0]?.id;
    void peer.stream.close();
    await runtime.settle();
    expect(events).toEqual([
      ["in", id],
      ["out", id, true],
    ]);
    for (const remove of removers) remove();
    await rawClient(runtime, port);
    expect(events).toHaveLength(2);
  });

  test("delay that connection only", async () => {
    const { runtime, server, port } = await withClients(0);
    server.rpc("ping", () => "pong");
    const slow = gate();
    let first = true;
    server.onClientConnect(() => {
      if (!first) return undefined;
      first = false;
      return slow.promise;
    });
    const peers = [await rawClient(runtime, port), await rawClient(runtime, port)];
    for (const peer of peers) peer.call("ping");
    expect([await peers[0]?.receivedTypes(), await peers[1]?.receivedTypes()]).toEqual([[], ["RPC_RESPONSE"]]);
    slow.open();
    expect(await peers[0]?.receivedTypes()).toEqual(["RPC_RESPONSE"]);
  });

  test("run in order: the disconnect hooks wait for the connect hooks", async () => {
    const { runtime, server, port } = await withClients(0);
    const events: string[] = [];
    const slow = gate();
    server.onClientConnect(async () => {
      await slow.promise;
      events.push("in");
    });
    server.onClientDisconnect(() => events.push("out"));
    const peer = await rawClient(runtime, port);
    peer.stream.destroy(null);
    await runtime.settle();
    expect([events, server.connectionCount]).toEqual([[], 0]);
    slow.open();
    await runtime.settle();
    expect(events).toEqual(["in", "out"]);
  });

  test("that fail are reported with their name, and harm nobody", async () => {
    const { runtime, server, port, errors } = await withClients(0);
    const fail = () => {
      throw new Error("hook");
    };
    server.onClientConnect(fail);
    server.onClientDisconnect(fail);
    server.onClientRejected(fail);
    server.onShutdown(fail);
    server.onUnknown(fail);
    server.rpc("ping", () => "pong");
    const peer = await rawClient(runtime, port);
    peer.message("nobody handles this");
    peer.call("ping");
    expect(await peer.receivedTypes()).toEqual(["RPC_RESPONSE"]);
    const stranger = await rawDial(runtime, port);
    stranger.sendBytes(new TextEncoder().encode("garbage"));
    await runtime.settle();
    await server.stop();
    const names = errors.filter((error) => error.stage === "hook").map((error) => error.name);
    expect(names.sort()).toEqual([
      "onClientConnect",
      "onClientDisconnect",
      "onClientRejected",
      "onShutdown",
      "onUnknown",
    ]);
  });
});

describe("a connection", () => {
  test("knows its peer, its session and its numbers", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, { connectionData: () => ({ score: 0 }) });
    const { client } = testClient(runtime, { name: "Ada", version: "1.2", description: "a client" });
    client.on("note", () => undefined);
    await client.connect();
    const connection = server.connections[0] as Connection;
    expect(server.connection(connection.id)).toBe(connection);
    expect(connection.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(connection.session).toEqual({
      token: client.sessionToken,
      createdAt: runtime.wallClock(),
      method: "scram",
    });
    expect(connection.session.token).toMatch(/^[0-9a-f]{64}$/);
    expect(connection.session).toBe(connection.session);
    expect(connection.info).toMatchObject({ name: "Ada", version: "1.2", description: "a client", netconduit: false });
    expect([connection.remoteAddress, connection.remote, connection.local, connection.tls]).toEqual([
      "memory:a",
      { kind: "memory", name: "a" },
      { kind: "memory", name: "b" },
      null,
    ]);
    expect([connection.isAuthenticated, connection.isConnected, connection.state, connection.data]).toEqual([
      true,
      true,
      "active",
      { score: 0 },
    ]);
    connection.send("note", 1);
    client.send("nobody", 2);
    await runtime.settle();
    expect(connection.stats).toMatchObject({ messagesSent: 1, messagesReceived: 1, errors: 0, dropped: 0 });
    expect(connection.stats.bytesSent).toBeGreaterThan(32);
    expect(connection.stats.bytesReceived).toBeGreaterThan(32);
    expect(connection.bufferedBytes).toBe(0);
    connection.data = { score: 1 };
    expect(connection.data).toEqual({ score: 1 });
  });

  test("is not made for a client while whose login connectionData stops the server", async () => {
    const runtime = fakeRuntime();
    const stopping: Promise<void>[] = [];
    const { server } = await testServer(runtime, {
      connectionData: () => {
        stopping.push(server.stop());
        return {};
      },
    });
    const { client } = testClient(runtime, { reconnect: { enabled: false } });
    await expect(client.connect()).rejects.toMatchObject({ code: ErrorCode.SERVER_STOPPING });
    await Promise.all(stopping);
    expect([server.state, server.connectionCount, server.stats.loggedIn]).toEqual(["stopped", 0, 0]);
  });

  test("is told that drained() cannot be once it is over", async () => {
    const { runtime, server, peers } = await withClients(1);
    const connection = server.connections[0] as Connection;
    await connection.drained();
    peers[0]?.stream.destroy(null);
    await runtime.settle();
    await expect(connection.drained()).rejects.toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
    expect([connection.isConnected, connection.state, connection.remoteAddress]).toEqual([false, "failed", "memory:a"]);
    await connection.close();
  });
});

describe("two servers on one runtime", () => {
  test("do not get in each other's way", async () => {
    const runtime = fakeRuntime();
    const one = await testServer(runtime, { port: 1001, name: "one" }, (server) => server.rpc("who", () => "one"));
    const two = await testServer(runtime, { port: 1002, name: "two" }, (server) => server.rpc("who", () => "two"));
    const { client: a } = testClient(runtime, { port: one.port });
    const { client: b } = testClient(runtime, { port: two.port });
    await Promise.all([a.connect(), b.connect()]);
    expect(await Promise.all([a.call("who"), b.call("who")])).toEqual(["one", "two"]);
  });
});

describe("options", () => {
  test("that are wrong are refused by the constructor", () => {
    const wrong = expect.objectContaining({ code: ErrorCode.INVALID_CONFIG });
    expect(() => new Server({ password: "" }, fakeRuntime())).toThrow(wrong);
    expect(() => new Server(undefined as never, fakeRuntime())).toThrow(wrong);
    expect(() => new Server({ password: "x", connectionData: 5 as never }, fakeRuntime())).toThrow(wrong);
  });
});
