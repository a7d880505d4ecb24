import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { testClient, testServer } from "../test-support/peers.ts";
import { PASSWORD, RawServer, rawClient, rawDial } from "../test-support/raw-memory.ts";
import { frame, rawFrame } from "../testing/raw-frames.ts";
import { FrameType } from "../wire/constants.ts";

/** The timer wheel fires up to a tick late. */
const TICK_MS = 20;

async function bench(options: Record<string, unknown> = {}) {
  const runtime = fakeRuntime();
  const reasons: { code: number; message: string }[] = [];
  const { server, port } = await testServer(
    runtime,
    { heartbeatIntervalMs: 1000, heartbeatTimeoutMs: 3000, ...options },
    (fresh) => fresh.onClientDisconnect((_connection, { code, message }) => reasons.push({ code, message })),
  );
  const peer = await rawClient(runtime, port);
  return { runtime, server, peer, reasons };
}

describe("the heartbeat", () => {
  test("begins with the login, however long ago the client connected", async () => {
    const runtime = fakeRuntime();
    const { server, port } = await testServer(runtime, { heartbeatIntervalMs: 1000, heartbeatTimeoutMs: 1500 });
    const peer = await rawDial(runtime, port);
    await runtime.advance(2900);
    await peer.login({ password: PASSWORD });
    await runtime.advance(1000 + TICK_MS);
    expect([server.connectionCount, await peer.receivedTypes()]).toEqual([1, ["HEARTBEAT_PING"]]);
  });

  test("sends a PING every interval", async () => {
    const { runtime, peer } = await bench();
    await runtime.advance(990);
    expect(await peer.receivedTypes()).toEqual([]);
    await runtime.advance(10 + TICK_MS);
    expect(await peer.receivedTypes()).toEqual(["HEARTBEAT_PING"]);
    for (let count = 0; count < 5; count += 1) {
      peer.send(FrameType.HEARTBEAT_PONG);
      await runtime.advance(940);
      expect(await peer.receivedTypes()).toEqual([]);
      await runtime.advance(60 + TICK_MS);
      expect(await peer.receivedTypes()).toEqual(["HEARTBEAT_PING"]);
    }
  });

  test("measures the round trip: last, average, smallest, largest", async () => {
    const { runtime, server, peer } = await bench();
    const connection = server.connections[0];
    expect([connection?.latencyMs, connection?.latency.samples]).toEqual([null, 0]);
    for (const delayMs of [100, 300]) {
      while (!(await peer.receivedTypes()).includes("HEARTBEAT_PING")) await runtime.advance(1);
      await runtime.advance(delayMs);
      peer.send(FrameType.HEARTBEAT_PONG);
      await runtime.settle();
    }
    expect(connection?.latencyMs).toBe(300);
    expect(connection?.latency).toEqual({ lastMs: 300, averageMs: 160, minMs: 100, maxMs: 300, samples: 2 });
  });

  test("drops a silent peer with HEARTBEAT_TIMEOUT, and says how long it was silent", async () => {
    const { runtime, peer, server, reasons } = await bench();
    await runtime.advance(2990);
    expect(server.connectionCount).toBe(1);
    await runtime.advance(10 + 2 * TICK_MS);
    expect(reasons).toEqual([
      { code: ErrorCode.HEARTBEAT_TIMEOUT, message: "The peer sent nothing for 3000 ms (heartbeatTimeoutMs)" },
    ]);
    expect([server.connectionCount, peer.ended]).toMatchObject([0, { code: ErrorCode.CONNECTION_RESET }]);
  });

  test("ends a frame that arrives a byte a second with FRAME_TIMEOUT, though each byte is a sign of life", async () => {
    const { runtime, peer, reasons } = await bench();
    const bytes = frame(FrameType.MESSAGE, { type: "note", data: new Uint8Array(100_000) });
    peer.write(bytes.subarray(0, 50_000));
    for (let at = 50_000; at < 50_010 && reasons.length === 0; at += 1) {
      await runtime.advance(900);
      peer.write(bytes.subarray(at, at + 1));
    }
    const message = "A frame arrived at less than 1024 bytes a second for 3000 ms";
    await runtime.advance(10_000);
    expect(reasons).toEqual([{ code: ErrorCode.FRAME_TIMEOUT, message }]);
    expect((await peer.next(FrameType.CLOSE)).payload).toMatchObject({ code: ErrorCode.FRAME_TIMEOUT });
  });

  test("ends a frame whose chunks stop, though PINGs arrive, with FRAME_TIMEOUT", async () => {
    const runtime = fakeRuntime();
    const left: number[] = [];
    const options = { heartbeatIntervalMs: 1000, heartbeatTimeoutMs: 3000 };
    const { port } = await testServer(runtime, options, (server) =>
      server.onClientDisconnect((_connection, { code }) => left.push(code)),
    );
    const extensions = { close: true, credit: { frames: 10, bytes: 1e7 }, chunk: { messages: 4, bytes: 1e7 } };
    const peer = await rawClient(runtime, port, { extensions });
    const begun = frame(FrameType.MESSAGE, { type: "note", data: new Uint8Array(100_000) }).subarray(0, 50_000);
    peer.write(rawFrame(FrameType.CHUNK, begun, { id: 1 }));
    for (let n = 0; n < 10 && left.length === 0; n += 1) {
      await runtime.advance(900);
      peer.send(FrameType.HEARTBEAT_PING);
    }
    await runtime.advance(10_000);
    expect(left).toEqual([ErrorCode.FRAME_TIMEOUT]);
  });

  test("gives up only the stream of a session on which half a frame arrived", async () => {
    const runtime = fakeRuntime();
    const left: number[] = [];
    const options = { heartbeatIntervalMs: 1000, heartbeatTimeoutMs: 3000, resume: true };
    const { server, port } = await testServer(runtime, options, (made) =>
      made.onClientDisconnect((_connection, { code }) => left.push(code)),
    );
    const extensions = {
      close: true,
      credit: { frames: 10, bytes: 1e7 },
      chunk: { messages: 4, bytes: 1e7 },
      resume: { bytes: 1e6, window_ms: 60_000 },
    };
    const peer = await rawClient(runtime, port, { extensions });
    const begun = frame(FrameType.MESSAGE, { type: "note", data: new Uint8Array(100_000) }).subarray(0, 50_000);
    peer.write(rawFrame(FrameType.CHUNK, begun, { id: 1 }));
    for (let n = 0; n < 10 && peer.ended === undefined; n += 1) {
      await runtime.advance(900);
      peer.send(FrameType.HEARTBEAT_PING);
    }
    expect(peer.ended).toMatchObject({ code: ErrorCode.CONNECTION_RESET });
    expect([left, server.connections.map(({ state }) => state)]).toEqual([[], ["suspended"]]);
  });

  test("reads what has arrived before it judges a frame", async () => {
    const { runtime, peer, server, reasons } = await bench();
    const bytes = frame(FrameType.MESSAGE, { type: "note", data: new Uint8Array(100_000) });
    peer.write(bytes.subarray(0, 50_000));
    await runtime.advance(2500);
    peer.write(bytes.subarray(50_000, 50_001));
    await runtime.advance(1400);
    // The process was busy, so its timer fires before the received bytes are read.
    runtime.standStill(1000);
    runtime.setTimer(() => peer.write(bytes.subarray(50_001, 90_000)), 0, true);
    await runtime.advance(1000);
    expect([reasons, server.connectionCount]).toEqual([[], 1]);
  });

  test("waits for a frame that arrives at 2 KiB a second", async () => {
    const { runtime, peer, reasons } = await bench();
    const bytes = frame(FrameType.MESSAGE, { type: "note", data: new Uint8Array(30_000) });
    for (let at = 0; at < bytes.length; at += 1024) {
      await runtime.advance(500);
      peer.write(bytes.subarray(at, at + 1024));
    }
    await runtime.settle();
    expect(reasons).toEqual([]);
  });

  test("counts the silence from the last byte, whenever that came", async () => {
    const { runtime, peer, server } = await bench();
    await runtime.advance(1500);
    peer.message("anything");
    await runtime.settle();
    await runtime.advance(2990);
    expect(server.connectionCount).toBe(1);
    await runtime.advance(10 + 2 * TICK_MS);
    expect(server.connectionCount).toBe(0);
  });

  test("takes any byte as a sign of life", async () => {
    const { runtime, peer, server } = await bench();
    for (let count = 0; count < 10; count += 1) {
      await runtime.advance(1000);
      peer.message("anything");
    }
    expect(server.connectionCount).toBe(1);
  });

  test("answers a PING with a PONG ahead of all that is queued", async () => {
    const { runtime, server, peer } = await bench();
    peer.pause();
    for (let count = 0; count < 5; count += 1) {
      server.connections[0]?.send("data", "x".repeat(70_000));
      await runtime.settle();
    }
    peer.send(FrameType.HEARTBEAT_PING, undefined, { id: 0x700000009 });
    await runtime.settle();
    peer.resume();
    const frames = await peer.received();
    const pong = frames.findIndex((frame) => frame.type === FrameType.HEARTBEAT_PONG);
    // The first message was already in flight.
    expect(pong).toBe(1);
    expect(frames[pong]).toMatchObject({ id: 0x7_0000_0009n, payload: null });
  });

  test("does not hold a peer's silence against it while reading is stopped", async () => {
    const runtime = fakeRuntime();
    const never = gate();
    const { server, port } = await testServer(
      runtime,
      { heartbeatIntervalMs: 1000, heartbeatTimeoutMs: 3000, handlerConcurrency: 1, receiveQueueSize: 2 },
      (fresh) => fresh.rpc("wait", () => never.promise),
    );
    const peer = await rawClient(runtime, port);
    for (let id = 1; id <= 10; id += 1) peer.call("wait", {}, id);
    await runtime.advance(10_000);
    expect(server.connectionCount).toBe(1);
    const pings = (await peer.receivedTypes()).filter((type) => type === "HEARTBEAT_PING");
    expect(pings.length).toBeGreaterThanOrEqual(9);
    never.open();
    await runtime.advance(2900);
    expect(server.connectionCount).toBe(1);
    await runtime.advance(1000);
    expect(server.connectionCount).toBe(0);
  });

  test("stops while a connection closes", async () => {
    const { runtime, server, peer } = await bench({ closeTimeoutMs: 10_000 });
    peer.pause();
    void server.connections[0]?.close();
    await runtime.advance(5000);
    peer.resume();
    expect((await peer.receivedTypes()).filter((type) => type === "HEARTBEAT_PING")).toEqual([]);
  });

  test("of a client drops a dead server, and the client dials again", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime, {
      heartbeatIntervalMs: 1000,
      heartbeatTimeoutMs: 3000,
      reconnect: { delayMs: 100, maxDelayMs: 100, jitter: false },
    });
    const reasons: number[] = [];
    client.onDisconnect((_client, reason) => reasons.push(reason.code));
    const connecting = client.connect();
    await raw.admit();
    await connecting;
    await runtime.advance(4200);
    expect([reasons, runtime.dials.length]).toEqual([[ErrorCode.HEARTBEAT_TIMEOUT], 2]);
    await client.disconnect();
  });

  test("of a client shows in latencyMs and health()", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime);
    const { client } = testClient(runtime, { heartbeatIntervalMs: 1000 });
    expect(client.latencyMs).toBeNull();
    await client.connect();
    expect(client.latencyMs).toBeNull();
    await runtime.advance(1100);
    expect([client.latencyMs, client.health().latency?.samples]).toEqual([0, 1]);
    await client.disconnect();
    expect([client.latencyMs, client.health().latency]).toEqual([0, null]);
  });
});
