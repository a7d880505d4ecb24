import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { trackKeepAlive } from "../test-support/kept-alive.ts";
import { testClient, testServer, withClients } from "../test-support/peers.ts";
import { rawClient, rawDial } from "../test-support/raw-memory.ts";
import type { SlowConsumer } from "./broadcast.ts";
import type { Connection } from "./connection.ts";
import { Server } from "./server.ts";

describe("connections", () => {
  test("no longer list a connection that is closing, before it has closed", async () => {
    const { server, peers } = await withClients(2);
    const [leaving] = server.connections;
    peers[0]?.pause();
    const closed = leaving?.close("bye");
    expect([server.connectionCount, server.connections.length]).toEqual([1, 1]);
    expect([leaving?.state, server.connection(leaving?.id ?? "")]).toEqual(["closing", undefined]);
    peers[0]?.stream.destroy(null);
    await closed;
  });
});

describe("failures to accept", () => {
  test("are one report for each code and second, with their number, and one for the rest when the server stops", async () => {
    const { runtime, server, port } = await withClients(0);
    const reports: unknown[] = [];
    server.onError((error, { stage, count }) => reports.push([(error as ConduitError).codeName, stage, count]));
    const fail = (code: number, times: number): void => {
      for (let n = 0; n < times; n += 1) runtime.failAccept({ port }, new ConduitError(code, "failed"));
    };
    fail(ErrorCode.TLS_ERROR, 20);
    fail(ErrorCode.CONNECTION_RESET, 3);
    expect(reports.splice(0)).toEqual([
      ["TLS_ERROR", "accept", 1],
      ["CONNECTION_RESET", "accept", 1],
    ]);
    await runtime.advance(1000);
    fail(ErrorCode.TLS_ERROR, 1);
    expect(reports.splice(0)).toEqual([["TLS_ERROR", "accept", 20]]);
    await server.stop();
    expect(reports).toEqual([["CONNECTION_RESET", "accept", 2]]);
  });

  test("for want of room end half of the pending logins; as clients log in, there may be as many again", async () => {
    const { runtime, port } = await withClients(0);
    const silent = (count: number) => Promise.all(Array.from({ length: count }, () => rawDial(runtime, port)));
    const first = await silent(8);
    await runtime.settle();
    runtime.exhaust(port, new ConduitError(ErrorCode.CONNECTION_ERROR, "no room"));
    await runtime.settle();
    expect(first.filter((peer) => peer.ended === undefined)).toHaveLength(4);
    for (let n = 0; n < 3; n += 1) await rawClient(runtime, port);
    expect(first.filter((peer) => peer.ended === undefined)).toHaveLength(3);
    const second = await silent(4);
    await runtime.settle();
    expect([...first, ...second].filter((peer) => peer.ended === undefined)).toHaveLength(7);
  });
});

describe("a server that has descriptors for few connections", () => {
  test("turns away new ones once all are logged in, and reports that", async () => {
    const runtime = fakeRuntime();
    const listen = runtime.listen.bind(runtime);
    runtime.listen = async (target, events) => ({ ...(await listen(target, events)), maxSockets: 1 });
    const { port, errors } = await testServer(runtime);
    const first = await rawClient(runtime, port);
    const second = await rawDial(runtime, port);
    expect(await second.over).toBe(String(ErrorCode.CONNECTION_RESET));
    expect(first.ended).toBe(undefined);
    expect(errors).toMatchObject([{ code: ErrorCode.CONNECTION_ERROR, stage: "accept" }]);
    expect(errors[0]?.message).toContain("Short of file descriptors: 1 connections are open");
  });
});

describe("a process", () => {
  test("may end while clients of a server are connected, from unref() until ref()", async () => {
    const runtime = fakeRuntime();
    const keeping = trackKeepAlive(runtime, "server");
    const { server, port } = await testServer(runtime);
    await rawClient(runtime, port);
    server.unref();
    expect(keeping).toEqual([false]);
    await rawClient(runtime, port);
    expect(keeping).toEqual([false, false]);
    server.ref();
    expect(keeping).toEqual([true, true]);
  });

  test("may end with clients whose streams know nothing of that", async () => {
    const { server } = await withClients(1);
    expect(server.unref().ref().connectionCount).toBe(1);
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

  test("with 16 KiB of binary data reaches everybody whole, also if a filter changes the data meanwhile", async () => {
    const { server, peers } = await withClients(3);
    const file = new Uint8Array(20_000).fill(7);
    const where = (): boolean => {
      file.fill(0);
      return true;
    };
    expect(server.broadcast("news", { file, rest: "text" }, { where })).toBe(3);
    for (const peer of peers) {
      const data = { file: new Uint8Array(20_000).fill(7), rest: "text" };
      expect((await peer.next()).payload).toEqual({ type: "news", data });
    }
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

  test("is sent to nobody if a filter throws, also if it has chosen others before", async () => {
    const { server, peers } = await withClients(2);
    let asked = 0;
    const where = (): boolean => {
      asked += 1;
      if (asked === 2) throw new Error("who is that?");
      return true;
    };
    expect(() => server.broadcast("news", 1, { where })).toThrow("who is that?");
    for (const peer of peers) expect(await peer.receivedTypes()).toEqual([]);
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
      bench.peers[1]?.pause();
      const reached: number[] = [];
      for (let count = 0; count < 10; count += 1) {
        reached.push(bench.server.broadcast("news", "x".repeat(70_000)));
        await bench.runtime.settle();
      }
      return { ...bench, reports, reached };
    }

    test("drop: it misses messages, the others get all, and the hook tells the queue's depth", async () => {
      const { server, peers, reports, reached } = await slow("drop");
      expect(reached).toEqual([3, 3, 3, 3, 3, 3, 2, 2, 2, 2]);
      expect(reports).toHaveLength(1);
      expect(reports[0]?.[1]).toMatchObject({ action: "dropped", queuedMessages: 5, count: 1 });
      expect(reports[0]?.[1].bufferedBytes).toBeGreaterThan(5 * 70_000);
      expect(server.connections.map((connection) => connection.stats.dropped)).toEqual([0, 4, 0]);
      expect(await peers[0]?.received()).toHaveLength(10);
      peers[1]?.resume();
      expect(await peers[1]?.received()).toHaveLength(6);
    });

    test("drop: the hook runs once a second, with the number of messages since the last time, and at the end for the rest", async () => {
      const { runtime, server, peers, reports } = await slow("drop");
      const counts = (): number[] => reports.map(([, { count }]) => count);
      await runtime.advance(1000);
      expect(counts()).toEqual([1]);
      server.broadcast("news");
      server.broadcast("news");
      expect(counts()).toEqual([1, 4]);
      peers[1]?.reset();
      await runtime.settle();
      expect(counts()).toEqual([1, 4, 1]);
    });

    test("disconnect: it is cut off with SLOW_CONSUMER, the others get all", async () => {
      const { server, peers, reports, reached } = await slow("disconnect");
      expect(reached).toEqual([3, 3, 3, 3, 3, 3, 2, 2, 2, 2]);
      expect(reports.map(([, { action, count }]) => [action, count])).toEqual([["disconnected", 1]]);
      expect([server.connectionCount, await peers[2]?.received()]).toMatchObject([2, { length: 10 }]);
      expect(peers[1]?.ended).toMatchObject({ code: ErrorCode.CONNECTION_RESET });
    });

    test("disconnect: the disconnect hook tells SLOW_CONSUMER", async () => {
      const { runtime, server, peers } = await withClients(1, { sendQueueSize: 1 });
      const codes: number[] = [];
      server.onClientDisconnect((_connection, reason) => codes.push(reason.code));
      peers[0]?.pause();
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
    peer.end();
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
    peer.reset();
    await runtime.settle();
    expect([events, server.connectionCount]).toEqual([[], 0]);
    slow.open();
    await runtime.settle();
    expect(events).toEqual(["in", "out"]);
  });

  test("that fail are reported with their name, and nothing else fails", async () => {
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
    stranger.write(new TextEncoder().encode("garbage"));
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

  test("is not made if connectionData stops the server", async () => {
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

  test("rejects drained() once it is over", async () => {
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
  test("do not disturb each other", async () => {
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
