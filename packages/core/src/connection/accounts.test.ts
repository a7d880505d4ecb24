/** A connection only counts and holds what currently exists. */

import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { MAX_UNREAD_CONTROL_BYTES } from "../limits.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { type Gate, gate } from "../test-support/gate.ts";
import { leftovers } from "../test-support/leftovers.ts";
import { clientAtRawServer, outcome, testClient, testServer } from "../test-support/peers.ts";
import { RawServer, rawClient } from "../test-support/raw-memory.ts";
import { COMPRESSED, call, concat, frame, HEADER_BYTES, message, rawFrame, Type } from "../testing/raw-frames.ts";
import { FrameType } from "../wire/constants.ts";

const CREDIT = { reply: true, cancel: true, close: true, call: true, credit: { frames: 1000, bytes: 1_000_000 } };
const KIB = 1024;

/** Starts a server whose method `wait` is completed by the test, and a raw client. */
async function scene(options: Record<string, unknown> = {}, extensions: Record<string, unknown> = CREDIT) {
  const runtime = fakeRuntime();
  const gates: Gate[] = [];
  const { server, port, errors } = await testServer(runtime, options, (fresh) => {
    fresh.rpc("wait", () => {
      const own = gate();
      gates.push(own);
      return own.promise;
    });
  });
  const peer = await rawClient(runtime, port, { extensions });
  const connection = server.connections[0] as (typeof server.connections)[0];
  return { runtime, server, errors, peer, gates, connection };
}

describe("the memory of running requests", () => {
  const options = { maxMessageBytes: 64 * KIB, receiveQueueBytes: 128 * KIB };

  test("is free again when they have ended: the next ones run side by side", async () => {
    const { runtime, peer, gates } = await scene(options);
    const pad = "x".repeat(50 * KIB);
    for (let id = 1; id <= 6; id += 2) {
      peer.write(call(id, "wait", { pad }));
      peer.write(call(id + 1, "wait", { pad }));
      await runtime.settle();
      expect(gates).toHaveLength(id + 1);
      for (const one of gates) one.open();
      await runtime.settle();
    }
  });

  test("isn't that of their bytes alone: a request of many small maps waits for another one", async () => {
    const { runtime, peer, gates } = await scene(options);
    const params = { maps: new Array(5 * KIB).fill({}) };
    peer.write(call(1, "wait", params));
    peer.write(call(2, "wait", params));
    await runtime.settle();
    expect(gates).toHaveLength(1);
    gates[0]?.open();
    await runtime.settle();
    expect(gates).toHaveLength(2);
  });
});

describe("compressed requests", () => {
  const options = { enableCompression: true, maxMessageBytes: 64 * KIB, receiveQueueBytes: 128 * KIB };
  const extensions = { ...CREDIT, compression: true };
  /** Less than 100 times larger when inflated. */
  const pad = Array.from({ length: 10_000 }, (_, n) => n * n)
    .join(" ")
    .slice(0, 50 * KIB);

  function compressed(runtime: ReturnType<typeof fakeRuntime>, id: number): Uint8Array {
    const payload = runtime.deflate(call(id, "wait", { pad }).subarray(HEADER_BYTES));
    return rawFrame(FrameType.RPC_REQUEST, payload, { id, flags: COMPRESSED });
  }

  test("count as inflated while they run: what fits compressed waits", async () => {
    const { runtime, peer, gates } = await scene(options, extensions);
    for (let id = 1; id <= 5; id += 1) peer.write(compressed(runtime, id));
    await runtime.settle();
    // The third one exceeds 128 KiB.
    expect(gates).toHaveLength(3);
    gates[0]?.open();
    await runtime.settle();
    expect(gates).toHaveLength(4);
  });

  test("use credit, and get it back, for their bytes as sent", async () => {
    const { runtime, peer } = await scene({ ...options, receiveQueueSize: 4 }, extensions);
    const frames = [compressed(runtime, 1), compressed(runtime, 2)];
    peer.write(...frames);
    const { payload } = await peer.next(Type.CREDIT);
    const bytes = frames.reduce((sum, one) => sum + one.length, 0);
    expect(payload).toEqual({ frames: 2, bytes });
    expect(bytes).toBeLessThan(pad.length);
  });
});

test("a small binary value doesn't keep the large frame that it came in", async () => {
  const { runtime, server, peer } = await scene();
  const received: Uint8Array[] = [];
  server.on("note", (_connection, data) => {
    received.push((data as { small: Uint8Array }).small);
  });
  const bytes = message("note", { small: new Uint8Array(5000).fill(1), large: "x".repeat(KIB * KIB) });
  // In two chunks, so that the frame gets its own memory.
  peer.write(bytes.subarray(0, 100_000));
  peer.write(bytes.subarray(100_000));
  await runtime.settle();
  expect(received).toEqual([new Uint8Array(5000).fill(1)]);
  expect(received[0]?.buffer.byteLength).toBeLessThan(4 * 5000);
});

test("half a frame is forgotten with its connection, although the application keeps that", async () => {
  const { runtime, peer, connection } = await scene();
  peer.write(message("note", "x".repeat(2 * KIB * KIB)).subarray(0, KIB * KIB));
  await runtime.settle();
  expect(leftovers()).toContain(`${1040 * KIB} bytes of incomplete frames`);
  peer.reset();
  await runtime.settle();
  expect([connection.isConnected, leftovers()]).toEqual([false, []]);
});

describe("PONGs", () => {
  test("count with their bytes: a peer without credit that reads none of them is not read any further", async () => {
    const { runtime, peer } = await scene(
      { sendQueueSize: 1_000_000, sendQueueBytes: 64 * KIB, maxMessageBytes: 32 * KIB },
      { reply: true },
    );
    peer.pause();
    const ping = frame(FrameType.HEARTBEAT_PING);
    for (let count = 0; count < 20_000; count += 1) peer.write(ping);
    await runtime.settle();
    expect(peer.stream.queuedBytes).toBeGreaterThan(10_000 * ping.length);
  });

  test("that a peer with credit reads may be as many as it likes", async () => {
    const { runtime, peer, connection } = await scene();
    for (let count = 0; count < 1500; count += 1) peer.send(FrameType.HEARTBEAT_PING);
    const pongs = (await peer.received()).filter(({ type }) => type === FrameType.HEARTBEAT_PONG);
    await runtime.settle();
    expect([pongs.length, connection.isConnected]).toEqual([1500, true]);
  });
});

describe("answers that need no permission and that nobody reads", () => {
  const withParts = {
    ...CREDIT,
    chunk: { messages: 8, bytes: 16_000_000 },
    stream: { streams: 10, overdraft: 16_000_000 },
  };
  const ACK_NOW = 0x8000;
  /** Returns a mebibyte of frames, each of which is answered immediately. */
  const many = (one: Uint8Array): Uint8Array => concat(new Array<Uint8Array>(32_000).fill(one));
  const chunks = many(rawFrame(Type.CHUNK, Uint8Array.of(0x43), { id: 1, flags: ACK_NOW }));
  const begun = rawFrame(Type.CHUNK, rawFrame(Type.RPC_RESPONSE, new Uint8Array(0), { length: 9_000_000 }), { id: 1 });
  const MOST = MAX_UNREAD_CONTROL_BYTES + 1024 * KIB;

  test("count against what a server's connections may hold", async () => {
    const options = { maxMessageBytes: 64 * KIB, maxBufferedBytes: 1024 * KIB };
    const { runtime, server, errors, peer } = await scene({ ...options, receiveQueueBytes: 128 * KIB }, withParts);
    peer.pause();
    const head = rawFrame(Type.RPC_RESPONSE, new Uint8Array(0), { length: 60_000 });
    peer.write(rawFrame(Type.CHUNK, head, { id: 1 }), chunks);
    await runtime.settle();
    expect([server.connectionCount, errors]).toMatchObject([0, [{ code: ErrorCode.BUFFER_LIMIT }]]);
  });

  test("end the connection of a client, chunk by chunk", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime, { reconnect: { enabled: false } });
    const reasons: number[] = [];
    client.onDisconnect((_client, { code }) => reasons.push(code));
    const connecting = client.connect();
    const peer = await raw.admit({ extensions: withParts });
    await connecting;
    peer.pause();
    peer.write(begun);
    let most = 0;
    for (let n = 0; n < 10 && client.isConnected; n += 1) {
      peer.write(chunks);
      await runtime.settle();
      most = Math.max(most, client.bufferedBytes);
    }
    await runtime.advance(10_000);
    expect([reasons, most < MOST]).toEqual([[ErrorCode.FLOW_CONTROL_ERROR], true]);
  });

  test("end the connection of a client, item by item", async () => {
    const { runtime, client, peer } = await clientAtRawServer(
      { extensions: withParts },
      { reconnect: { enabled: false } },
    );
    let items = 0;
    const read = outcome(
      (async () => {
        for await (const _item of client.stream("ticks")) items += 1;
      })(),
    );
    const { id } = await peer.next(Type.RPC_REQUEST);
    peer.pause();
    const batch = concat(
      new Array<Uint8Array>(3000).fill(rawFrame(Type.OUTPUT, Uint8Array.of(1), { id, flags: ACK_NOW })),
    );
    for (let n = 0; n < 100 && read.state === "pending"; n += 1) {
      peer.write(batch);
      await runtime.settle();
    }
    await runtime.advance(10_000);
    expect(items).toBeGreaterThan(50_000);
    expect(read).toMatchObject({ state: "rejected", error: { cause: { code: ErrorCode.FLOW_CONTROL_ERROR } } });
  });
});

describe("a connection that closes", () => {
  test("has closeTimeoutMs for that, whatever its heartbeat's timeout is", async () => {
    const { runtime, peer, connection } = await scene({
      heartbeatIntervalMs: 500,
      heartbeatTimeoutMs: 1000,
      closeTimeoutMs: 5000,
    });
    peer.pause();
    const closing = outcome(connection.close());
    await runtime.advance(4900);
    expect([closing.state, connection.state]).toEqual(["pending", "closing"]);
    await runtime.advance(200);
    expect([closing.state, connection.state]).toEqual(["resolved", "closed"]);
  });

  test("is waited for by stop()", async () => {
    const { runtime, server, peer, connection } = await scene({ closeTimeoutMs: 5000 });
    peer.pause();
    void connection.close();
    await runtime.advance(1000);
    const stopping = outcome(server.stop());
    await runtime.settle();
    expect([stopping.state, connection.state]).toEqual(["pending", "closing"]);
    await runtime.advance(4100);
    expect([stopping.state, connection.state]).toEqual(["resolved", "closed"]);
  });
});

test("everything is handled that a peer sent before its FIN, also while it isn't read for its rate", async () => {
  const { runtime, server, peer } = await scene({ rateLimit: { messagesPerSecond: 5 } });
  const received: unknown[] = [];
  server.on("note", (_connection, n) => void received.push(n));
  // A FIN that was in flight when the stream was paused may still arrive.
  const stream = runtime.pairs.at(-1)?.accepted;
  if (stream !== undefined) stream.pause = () => undefined;
  peer.write(...Array.from({ length: 20 }, (_, n) => message("note", n)));
  peer.end();
  await runtime.advance(20_000);
  // Above the rate, one per second is rejected, and the others wait.
  expect(received.length).toBeGreaterThanOrEqual(15);
  expect(server.connectionCount).toBe(0);
});

test("a large message of a netconduit server keeps its memory while it waits, though it was tried as a reply first", async () => {
  const runtime = fakeRuntime();
  const raw = await RawServer.start(runtime);
  const { client } = testClient(runtime, { allowPasswordHash: true, handlerConcurrency: 1, receiveQueueSize: 10 });
  const received: unknown[] = [];
  const go = gate();
  client.on("note", async (data) => {
    received.push((data as string).slice(0, 3) + (data as string).slice(-3));
    await go.promise;
  });
  const connecting = client.connect();
  const peer = await raw.admit({ extensions: null, passwordHash: true });
  await connecting;
  void client.request("ask", null).catch(() => undefined);
  for (const letter of ["a", "b", "c", "d"]) {
    const bytes = message("note", letter.repeat(300 * KIB));
    // In two chunks, so that the frame gets its own memory.
    peer.write(bytes.subarray(0, 100_000));
    await runtime.settle();
    peer.write(bytes.subarray(100_000));
    await runtime.settle();
  }
  go.open();
  await runtime.settle();
  expect(received).toEqual(["aaaaaa", "bbbbbb", "cccccc", "dddddd"]);
});
