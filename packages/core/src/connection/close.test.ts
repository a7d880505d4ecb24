import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import type { Server } from "../server/server.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { clientAtRawServer, outcome, testClient, testServer } from "../test-support/peers.ts";
import { rawClient } from "../test-support/raw-memory.ts";
import { FrameType } from "../wire/constants.ts";
import type { CloseReason } from "./close-reason.ts";

async function bench(options: Record<string, unknown> = {}, prepare?: (server: Server) => void) {
  const runtime = fakeRuntime();
  const reasons: CloseReason[] = [];
  const { server, port, errors } = await testServer(runtime, options, (fresh) => {
    fresh.onClientDisconnect((_connection, reason) => reasons.push(reason));
    prepare?.(fresh);
  });
  const peer = await rawClient(runtime, port);
  const connection = server.connections[0] as (typeof server.connections)[0];
  return { runtime, server, port, errors, peer, connection, reasons };
}

describe("close by this side", () => {
  test("flushes what was sent, says CLOSE with the reason, then FIN", async () => {
    const { runtime, peer, connection, reasons } = await bench();
    connection.send("last", "words");
    const closing = outcome(connection.close("Maintenance", { reconnect: true }));
    const frames = await peer.received();
    expect(frames.map((frame) => [frame.type, frame.payload])).toEqual([
      [FrameType.MESSAGE, { type: "last", data: "words" }],
      [FrameType.CLOSE, { reason: "Maintenance", code: ErrorCode.CONNECTION_CLOSED, reconnect: true, started: [] }],
    ]);
    expect([closing.state, peer.ended, runtime.now()]).toEqual(["resolved", null, 0]);
    expect(reasons).toEqual([
      {
        code: ErrorCode.CONNECTION_CLOSED,
        codeName: "CONNECTION_CLOSED",
        message: "Maintenance",
        byPeer: false,
        reconnect: true,
      },
    ]);
  });

  test("asks the client not to dial again unless told otherwise", async () => {
    const { peer, connection } = await bench();
    void connection.close();
    expect((await peer.next(FrameType.CLOSE)).payload).toEqual({
      reason: "Closed by the server",
      code: ErrorCode.CONNECTION_CLOSED,
      reconnect: false,
      started: [],
    });
  });

  test("sends CLOSE behind the messages that the peer's PAUSE had stopped", async () => {
    const { runtime, peer, connection } = await bench();
    peer.send(FrameType.PAUSE);
    await runtime.settle();
    connection.send("stopped");
    void connection.close();
    expect(await peer.receivedTypes()).toEqual(["MESSAGE", "CLOSE"]);
  });

  test("also when the stream is blocked", async () => {
    const { runtime, peer, connection } = await bench();
    peer.pause();
    connection.send("filler", "x".repeat(70_000));
    peer.send(FrameType.PAUSE);
    await runtime.settle();
    const ids: number[] = [];
    for (let id = 0; id < 5; id += 1) connection.send("stopped", id);
    void connection.close();
    peer.resume();
    for (const frame of await peer.received()) {
      if (frame.payload?.["type"] === "stopped") ids.push(frame.payload["data"] as number);
      if (frame.type === FrameType.CLOSE) ids.push(-1);
    }
    expect(ids).toEqual([0, 1, 2, 3, 4, -1]);
  });

  test("is forced after closeTimeoutMs when the peer does not read", async () => {
    const { runtime, peer, connection, reasons } = await bench({ closeTimeoutMs: 500 });
    peer.pause();
    connection.send("filler", "x".repeat(70_000));
    await runtime.settle();
    const closing = outcome(connection.close("bye"));
    await runtime.advance(480);
    expect([closing.state, connection.state]).toEqual(["pending", "closing"]);
    await runtime.advance(40);
    expect([closing.state, connection.state]).toEqual(["resolved", "closed"]);
    expect(reasons).toMatchObject([{ message: "bye" }]);
    expect(peer.ended).toMatchObject({ code: ErrorCode.CONNECTION_RESET });
  });

  test("resolves for each caller, and sends CLOSE once", async () => {
    const { peer, connection } = await bench();
    await Promise.all([connection.close("one"), connection.close("two")]);
    await connection.close("three");
    expect(await peer.receivedTypes()).toEqual(["CLOSE"]);
  });

  test("makes send and call fail with the reason", async () => {
    const { connection } = await bench();
    void connection.close("Maintenance");
    const refused = { code: ErrorCode.CONNECTION_CLOSED, message: "Cannot send: Maintenance" };
    expect(() => connection.send("x")).toThrow(expect.objectContaining(refused));
    await expect(connection.call("x", {})).rejects.toMatchObject(refused);
    expect(connection.isConnected).toBe(false);
  });

  test("rejects the calls that wait for a reply, and fires the signals of the handlers that run", async () => {
    const { runtime, server, peer, connection } = await bench();
    let signal: AbortSignal | null = null;
    server.rpc("wait", (_params, context) => {
      signal = context.signal;
      return gate().promise;
    });
    peer.call("wait");
    await runtime.settle();
    const call = outcome(connection.call("m", {}));
    void connection.close("Maintenance");
    await runtime.settle();
    expect(call.error).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED, message: "'m' got no reply: Maintenance" });
    expect(signal).toMatchObject({ aborted: true, reason: { code: ErrorCode.CONNECTION_CLOSED } });
  });

  test("starts none of the queued calls", async () => {
    const started: unknown[] = [];
    const running = gate();
    const { runtime, peer, connection } = await bench({ handlerConcurrency: 1 }, (server) =>
      server.rpc("wait", (params) => {
        started.push(params["n"]);
        return running.promise;
      }),
    );
    for (const n of [1, 2]) peer.call("wait", { n }, n);
    await runtime.settle();
    void connection.close();
    running.open();
    await runtime.settle();
    expect(started).toEqual([1]);
  });

  test("reads on, so that the peer's FIN is seen, and ignores late frames", async () => {
    const seen: unknown[] = [];
    const running = gate();
    const { runtime, peer, connection } = await bench({ handlerConcurrency: 1, receiveQueueSize: 2 }, (server) => {
      server.rpc("wait", () => running.promise);
      server.on("late", () => seen.push(1));
    });
    for (let id = 1; id <= 10; id += 1) peer.call("wait", {}, id);
    await runtime.settle();
    const closing = outcome(connection.close());
    peer.message("late");
    await runtime.settle();
    expect([closing.state, seen, runtime.now()]).toEqual(["resolved", [], 0]);
  });
});

describe("close by the peer", () => {
  test("is acknowledged, answered with FIN, and told with the peer's own reason", async () => {
    const { peer, reasons } = await bench();
    peer.send(FrameType.CLOSE, { reason: "Going home", code: 1234, reconnect: false }, { id: 0x100000002 });
    const [ack, ...rest] = await peer.received();
    expect([ack, rest]).toMatchObject([{ type: FrameType.CLOSE_ACK, id: 0x1_0000_0002n }, []]);
    expect(peer.ended).toBeNull();
    expect(reasons).toEqual([{ code: 1234, codeName: "1234", message: "Going home", byPeer: true, reconnect: false }]);
  });

  test.each([
    ["nothing", undefined],
    ["a reason that is none", { reason: 7, code: "x", reconnect: "yes" }],
    ["the code infinity", { code: Number.POSITIVE_INFINITY }],
    ["the code NaN", { code: Number.NaN }],
    ["a code past all integers", { code: 3.6e306 }],
    ["a code past 2^53", { code: 2 ** 60 }],
    ["a fraction as a code", { code: 4000.5 }],
    ["a code's name", { code: "AUTH_FAILED" }],
    ["a code as text", { code: "5017" }],
    ["lists for everything", { reason: [1], code: [5017], reconnect: [false], started: 7 }],
    ["a name of its own for the code", { code_name: "EVIL", codeName: "EVIL", name: "EVIL" }],
  ])("with %s has a reason all the same", async (_what, payload) => {
    const { peer, runtime, reasons } = await bench();
    peer.send(FrameType.CLOSE, payload);
    await runtime.settle();
    expect(reasons).toStrictEqual([
      {
        code: ErrorCode.CONNECTION_CLOSED,
        codeName: "CONNECTION_CLOSED",
        message: "Closed by the peer",
        byPeer: true,
        reconnect: true,
      },
    ]);
  });

  test("keeps 256 characters of the peer's reason", async () => {
    const { runtime, peer, reasons } = await bench();
    peer.send(FrameType.CLOSE, { reason: "x".repeat(1000), code: ErrorCode.CONNECTION_CLOSED });
    await runtime.settle();
    expect(reasons[0]?.message).toBe(`${"x".repeat(255)}…`);
  });

  test.each([
    ["more than 16 KiB", 17_000],
    ["9 MiB", 9 * 1024 * 1024],
  ])("refuses a CLOSE of %s, and keeps nothing of its reason", async (_what, length) => {
    const { runtime, peer, reasons } = await bench();
    peer.send(FrameType.CLOSE, { reason: "x".repeat(length), code: 1234 });
    await runtime.settle();
    expect(reasons).toMatchObject([{ code: ErrorCode.MESSAGE_TOO_LARGE, byPeer: false }]);
    expect(reasons[0]?.message).not.toContain("xxx");
  });

  test.each([
    ["of this library", ErrorCode.SERVER_STOPPING, "SERVER_STOPPING"],
    ["that it doesn't know", -7, "-7"],
    ["as large as integers are", Number.MAX_SAFE_INTEGER, "9007199254740991"],
  ])("names a code %s by its own table, whatever the peer's text says", async (_what, code, codeName) => {
    const { runtime, peer, reasons } = await bench();
    peer.send(FrameType.CLOSE, { reason: "AUTH_FAILED", code, codeName: "AUTH_FAILED" });
    await runtime.settle();
    expect(reasons).toMatchObject([{ code, codeName, message: "AUTH_FAILED" }]);
  });

  test("has the peer's reason on one line", async () => {
    const { runtime, peer, reasons } = await bench();
    peer.send(FrameType.CLOSE, { reason: "bye\n[error] faked\u001b[2J" });
    await runtime.settle();
    expect(reasons).toMatchObject([{ message: "bye [error] faked [2J" }]);
  });

  test("without CLOSE, by FIN alone, is a clean end too", async () => {
    const { peer, runtime, reasons, connection } = await bench();
    peer.end();
    await runtime.settle();
    expect([connection.state, reasons]).toMatchObject(["closed", [{ byPeer: true, reconnect: true }]]);
  });

  test("by a reset is a failure", async () => {
    const { peer, runtime, reasons, connection } = await bench();
    peer.reset();
    await runtime.settle();
    expect([connection.state, reasons]).toMatchObject([
      "failed",
      [{ code: ErrorCode.CONNECTION_RESET, byPeer: false, reconnect: true }],
    ]);
  });

  test("with an error that has no code is CONNECTION_ERROR", async () => {
    const { runtime, server, port } = await bench();
    const reasons: CloseReason[] = [];
    server.onClientDisconnect((_connection, reason) => reasons.push(reason));
    await rawClient(runtime, port);
    runtime.pairs.at(-1)?.accepted.destroy(new Error("cable cut"));
    await runtime.settle();
    expect(reasons).toMatchObject([{ code: ErrorCode.CONNECTION_ERROR, message: "cable cut" }]);
  });

  test("lets every earlier message be handled, queued ones included", async () => {
    const seen: unknown[] = [];
    const { runtime, peer } = await bench({ handlerConcurrency: 1 }, (server) =>
      server.on("note", async (_client, data) => {
        seen.push(data);
      }),
    );
    for (let n = 0; n < 10; n += 1) peer.message("note", n);
    peer.send(FrameType.CLOSE);
    peer.end();
    await runtime.settle();
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("while the connect hooks run does not lose the messages that came before", async () => {
    const runtime = fakeRuntime();
    const hook = gate();
    const order: unknown[] = [];
    const { port } = await testServer(runtime, {}, (server) => {
      server.onClientConnect(() => hook.promise);
      server.onClientDisconnect(() => order.push("disconnect"));
      server.on("note", (_client, data) => order.push(data));
    });
    const peer = await rawClient(runtime, port);
    for (const n of [1, 2, 3]) peer.message("note", n);
    peer.send(FrameType.CLOSE);
    await runtime.settle();
    hook.open();
    await runtime.settle();
    expect(order).toEqual([1, 2, 3, "disconnect"]);
  });

  test("by a reset drops queued messages", async () => {
    const seen: unknown[] = [];
    const running = gate();
    const { runtime, peer } = await bench({ handlerConcurrency: 1 }, (server) =>
      server.on("note", (_client, data) => {
        seen.push(data);
        return running.promise;
      }),
    );
    for (const n of [1, 2, 3]) peer.message("note", n);
    await runtime.settle();
    peer.reset();
    await runtime.settle();
    running.open();
    await runtime.settle();
    expect(seen).toEqual([1]);
  });

  test("runs the disconnect hook once, also when both sides close at the same moment", async () => {
    const { runtime, peer, connection, reasons } = await bench();
    peer.send(FrameType.CLOSE);
    void connection.close();
    peer.end();
    await runtime.advance(10_000);
    expect(reasons).toHaveLength(1);
  });
});

describe("disconnect", () => {
  test("right after send loses nothing, a thousand times", async () => {
    const runtime = fakeRuntime();
    let received = 0;
    await testServer(runtime, {}, (server) => {
      server.onClientConnect(() => undefined);
      server.on("note", () => {
        received += 1;
      });
    });
    const { client } = testClient(runtime);
    for (let count = 0; count < 1000; count += 1) {
      await client.connect();
      client.send("note", count);
      await client.disconnect();
    }
    await runtime.settle();
    expect(received).toBe(1000);
  });

  test("tells the server its reason", async () => {
    const runtime = fakeRuntime();
    const reasons: CloseReason[] = [];
    await testServer(runtime, {}, (server) => server.onClientDisconnect((_client, reason) => reasons.push(reason)));
    const { client } = testClient(runtime);
    await client.connect();
    await client.disconnect("Lunch");
    await runtime.settle();
    expect(reasons).toMatchObject([{ message: "Lunch", byPeer: true }]);
  });

  test("of a client whose server does not react is forced after closeTimeoutMs", async () => {
    const { runtime, client, peer } = await clientAtRawServer({}, { closeTimeoutMs: 500 });
    peer.pause();
    const leaving = outcome(client.disconnect());
    await runtime.advance(480);
    expect(leaving.state).toBe("pending");
    await runtime.advance(40);
    expect([leaving.state, client.state]).toEqual(["resolved", "closed"]);
  });
});
