/** Total memory held by a server's connections, limited by `maxBufferedBytes`. */

import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { CHUNK_ACK_FRAME } from "../extensions/chunk.ts";
import { StreamFrame } from "../extensions/streams/stream-frames.ts";
import { memoryStore } from "../store/memory-store.ts";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";
import { type MemoryPeer, rawClient } from "../test-support/raw-memory.ts";
import type { RawLogin } from "../test-support/raw-peer.ts";
import { call, frame, message } from "../testing/raw-frames.ts";
import { FrameType } from "../wire/constants.ts";
import type { Connection } from "./connection.ts";
import type { Server } from "./server.ts";

const MIB = 1024 * 1024;

/** Starts a server whose connections may hold 4 MiB, with clients. */
async function bench(
  count: number,
  prepare: (server: Server) => void = () => undefined,
  others = {},
  login: Partial<RawLogin> = {},
) {
  const runtime = fakeRuntime();
  const left: number[] = [];
  const options = { maxMessageBytes: MIB, maxBufferedBytes: 4 * MIB, ...others };
  const { server, port, errors } = await testServer(runtime, options, (fresh) => {
    fresh.onClientDisconnect((_connection, { code }) => left.push(code));
    prepare(fresh);
  });
  const peers: MemoryPeer[] = [];
  for (let n = 0; n < count; n += 1) peers.push(await rawClient(runtime, port, login));
  return { runtime, server, peers, left, errors };
}

const STREAMS = {
  close: true,
  call: true,
  credit: { frames: 1024, bytes: MIB },
  stream: { streams: 1000, overdraft: 20 * MIB },
};
const SESSION = {
  close: true,
  credit: { frames: 1024, bytes: MIB },
  chunk: { messages: 8, bytes: MIB },
  resume: { bytes: MIB, window_ms: 0 },
};
const CALLS = { close: true, call: true, credit: { frames: 1024, bytes: 64 * MIB } };
const LARGE = new Uint8Array(MIB - 1000);

/** Acknowledges parts of 64 KiB until most of a mebibyte has arrived. */
async function takeMost(
  runtime: FakeRuntime,
  peer: MemoryPeer,
  request: Record<string, unknown> | null,
  received: number,
  acknowledged: number,
): Promise<void> {
  if (request !== null) peer.write(frame(FrameType.RPC_REQUEST, request, { id: 1 }));
  await runtime.settle();
  const parts = (): number => peer.frames.all.filter(({ type }) => type === received).length;
  for (let n = 0; parts() < 14 && n < 14; n += 1) {
    peer.send(acknowledged, { bytes: 64 * 1024 });
    await runtime.settle();
  }
  expect(parts()).toBeLessThan(16);
}

describe("maxBufferedBytes", () => {
  test("bounds incomplete frames; onError is notified", async () => {
    const { runtime, peers, left, errors } = await bench(6);
    for (const peer of peers) peer.write(message("note", LARGE).subarray(0, -1));
    await runtime.settle();
    expect(left).toEqual([ErrorCode.BUFFER_LIMIT, ErrorCode.BUFFER_LIMIT]);
    expect(errors).toMatchObject([{ code: ErrorCode.BUFFER_LIMIT }, { code: ErrorCode.BUFFER_LIMIT }]);
  });

  test("bounds requests whose handlers run, and counts nothing when they have ended", async () => {
    const ends: (() => void)[] = [];
    const wait = (): Promise<void> => new Promise((resolve) => ends.push(resolve));
    const { runtime, peers, left } = await bench(8, (server) => void server.rpc("wait", wait));
    for (const peer of peers.slice(0, 4)) peer.write(call(1, "wait", { LARGE }));
    await runtime.settle();
    for (const end of ends.splice(0)) end();
    await runtime.settle();
    for (const peer of peers.slice(4)) peer.write(call(1, "wait", { LARGE }));
    await runtime.settle();
    expect(left).toEqual([]);
    for (const peer of peers.slice(0, 2)) peer.write(call(2, "wait", { LARGE }));
    await runtime.settle();
    expect(left).toEqual([ErrorCode.BUFFER_LIMIT, ErrorCode.BUFFER_LIMIT]);
  });

  test("bounds requests that wait for a connect hook", async () => {
    const never = (): Promise<void> => new Promise(() => undefined);
    const { runtime, peers, left } = await bench(6, (server) => void server.onClientConnect(never));
    for (const peer of peers) peer.write(message("note", LARGE));
    await runtime.settle();
    expect(peers.filter(({ ended }) => ended !== undefined)).toHaveLength(2);
    expect(left).toEqual([]);
  });

  test.each<[string, (client: Connection) => Promise<unknown>]>([
    ["messages with ack", (client) => client.send("note", LARGE, { ack: true })],
    ["calls with once", (client) => client.call("note", { LARGE }, { once: "first" })],
  ])("bounds %s that are received and never answered", async (_what, send) => {
    const { runtime, peers, server, left } = await bench(6, () => undefined, {}, { extensions: CALLS });
    const requests = (): number[] =>
      peers.map(({ frames }) => frames.all.filter(({ type }) => type === FrameType.RPC_REQUEST).length);
    const results: unknown[][] = [];
    for (const connection of server.connections) {
      send(connection).catch(() => undefined);
      await runtime.settle();
      results.push([requests(), [...left]]);
    }
    expect(results[2]).toEqual([[1, 1, 1, 0, 0, 0], []]);
    expect(left).toEqual([ErrorCode.BUFFER_LIMIT, ErrorCode.BUFFER_LIMIT, ErrorCode.BUFFER_LIMIT]);
  });

  test("bounds stored messages that are received and never answered", async () => {
    const { runtime, server, left } = await bench(0, () => undefined, { resume: { store: memoryStore() } });
    for (let count = 0; count < 6; count += 1) {
      const { client } = testClient(runtime, { resume: true, maxMessageBytes: MIB });
      client.on("note", () => new Promise(() => undefined));
      await client.connect();
    }
    for (const connection of server.connections) {
      await connection.send("note", LARGE, { ack: { stored: true } });
      // Its client acknowledges what it has received, so the session keeps nothing.
      await runtime.advance(2000);
    }
    expect(left).toContain(ErrorCode.BUFFER_LIMIT);
  });

  test("counts a message with ack no longer once it is answered", async () => {
    const { runtime, peers, server, left } = await bench(1, () => undefined, {}, { extensions: CALLS });
    const [peer, connection] = [peers[0] as MemoryPeer, server.connections[0] as Connection];
    for (let n = 1; n <= 10; n += 1) {
      const sent = connection.send("note", LARGE, { ack: true });
      const request = await peer.next();
      expect(request.type).toBe(FrameType.RPC_REQUEST);
      peer.write(frame(FrameType.RPC_RESPONSE, { success: true, result: null }, { id: request.id }));
      await sent;
    }
    await runtime.settle();
    expect(left).toEqual([]);
  });

  test("bounds replies that nobody reads", async () => {
    const { runtime, peers, left } = await bench(6, (server) => void server.rpc("large", () => LARGE));
    for (const peer of peers) {
      peer.pause();
      peer.write(call(1, "large"));
    }
    await runtime.settle();
    expect(left).toEqual([ErrorCode.BUFFER_LIMIT, ErrorCode.BUFFER_LIMIT]);
  });

  test("bounds items of streams that are made while nothing arrives and nobody reads", async () => {
    let make: () => void = () => undefined;
    const wanted = new Promise<void>((resolve) => {
      make = resolve;
    });
    const serveBlocks = (server: Server): void => {
      server.stream("blocks", async function* () {
        await wanted;
        for (;;) yield new Uint8Array(60_000);
      });
    };
    const { runtime, peers, left } = await bench(2, serveBlocks, {}, { extensions: STREAMS });
    for (const peer of peers) {
      peer.pause();
      for (let id = 1; id <= 100; id += 1) {
        peer.write(frame(FrameType.RPC_REQUEST, { method: "blocks", params: {}, output: 1000 }, { id }));
      }
    }
    await runtime.settle();
    expect(left).toEqual([]);
    make();
    await runtime.settle();
    expect(left).toEqual([ErrorCode.BUFFER_LIMIT, ErrorCode.BUFFER_LIMIT]);
  });

  test("bounds what streams hold whose next item waits, behind much that they have sent", async () => {
    const go = gate();
    const { runtime, left } = await bench(0, (server) => {
      server.rpc("large", () => LARGE);
      server.stream("rows", async function* () {
        for (let n = 0; n < 20; n += 1) yield new Uint8Array(3000);
        await go.promise;
        yield "one more";
      });
    });
    const { client } = testClient(runtime, { reconnect: { enabled: false } });
    await client.connect();
    for (let n = 0; n < 100; n += 1) {
      const rows = client.stream("rows")[Symbol.asyncIterator]();
      await rows.next();
    }
    await runtime.settle();
    runtime.pairs.at(-1)?.dialled.pause();
    client.call("large").catch(() => undefined);
    await runtime.settle();
    expect(left).toEqual([]);
    go.open();
    await runtime.settle();
    expect(left).toEqual([ErrorCode.BUFFER_LIMIT]);
  });

  const CHUNKS = {
    close: true,
    call: true,
    credit: { frames: 1024, bytes: 64 * MIB },
    chunk: { messages: 8, bytes: 8 * MIB },
  };
  test.each([
    ["a reply", CHUNKS, "text", {}, FrameType.CHUNK, CHUNK_ACK_FRAME],
    ["a message", CHUNKS, "send", {}, FrameType.CHUNK, CHUNK_ACK_FRAME],
    ["an item of a stream", STREAMS, "texts", { output: 2 * MIB }, StreamFrame.OUTPUT, StreamFrame.STREAM_ACK],
  ])(
    "bounds the memory of %s whose end isn't taken",
    async (_what, extensions, method, keys, received, acknowledged) => {
      const text = "x".repeat(MIB - 64 * 1024);
      const { runtime, peers, left } = await bench(
        6,
        (server) => {
          server.rpc("text", () => text);
          server.rpc("send", (_params, { client }) => client.send("text", text));
          server.stream("texts", () => [text]);
        },
        {},
        { extensions },
      );
      for (const peer of peers) {
        await takeMost(runtime, peer, { method, params: {}, ...keys }, received, acknowledged);
      }
      expect(left).toEqual([ErrorCode.BUFFER_LIMIT, ErrorCode.BUFFER_LIMIT]);
    },
  );

  test("doesn't count the memory of a large broadcast whose end isn't taken", async () => {
    const { runtime, peers, left } = await bench(
      6,
      (server) => void server.rpc("broadcast", () => server.broadcast("text", "x".repeat(MIB - 64 * 1024))),
      {},
      { extensions: CHUNKS },
    );
    const [first, ...others] = peers as [MemoryPeer, ...MemoryPeer[]];
    await takeMost(runtime, first, { method: "broadcast", params: {} }, FrameType.CHUNK, CHUNK_ACK_FRAME);
    for (const peer of others) await takeMost(runtime, peer, null, FrameType.CHUNK, CHUNK_ACK_FRAME);
    expect(left).toEqual([]);
  });

  test("counts nothing of calls that are given up when much of them has left", async () => {
    const { runtime, server, peers, left } = await bench(
      1,
      undefined,
      { maxBufferedBytes: 1.5 * MIB },
      { extensions: CHUNKS },
    );
    const [peer] = peers as [MemoryPeer];
    const [connection] = server.connections as [Connection];
    const text = "x".repeat(MIB - 64 * 1024);
    for (let n = 0; n < 4; n += 1) {
      const before = peer.frames.all.length;
      const controller = new AbortController();
      const given = outcome(connection.call("take", { text }, { signal: controller.signal }));
      await runtime.settle();
      controller.abort();
      await runtime.settle();
      expect(given.error?.code).toBe(ErrorCode.CANCELLED);
      const parts = peer.frames.all.slice(before).filter(({ type }) => type === FrameType.CHUNK);
      const bytes = parts.reduce((sum, { payloadBytes }) => sum + payloadBytes.length, 0);
      expect(bytes).toBeGreaterThan(110_000);
      peer.send(CHUNK_ACK_FRAME, { bytes });
      await runtime.settle();
    }
    expect(left).toEqual([]);
  });

  test("bounds progress that waits because nobody reads", async () => {
    const go = gate();
    const { runtime, peers, left } = await bench(
      1,
      (server) => {
        server.rpc("large", () => LARGE);
        server.rpc("work", async (_params, context) => {
          await go.promise;
          context.progress("x".repeat(60_000));
          await new Promise(() => undefined);
        });
      },
      {},
      { extensions: STREAMS },
    );
    const [peer] = peers as [MemoryPeer];
    peer.pause();
    for (let id = 1; id <= 100; id += 1) {
      peer.write(frame(FrameType.RPC_REQUEST, { method: "work", params: {}, progress: true }, { id }));
    }
    peer.write(call(101, "large"));
    await runtime.settle();
    expect(left).toEqual([]);
    go.open();
    await runtime.settle();
    expect(left).toEqual([ErrorCode.BUFFER_LIMIT]);
  });

  test("bounds what suspended sessions keep", async () => {
    const { runtime, server, peers, left } = await bench(6, undefined, { resume: true }, { extensions: SESSION });
    for (const peer of peers) peer.reset();
    await runtime.settle();
    expect(server.connections.map(({ state }) => state)).toEqual(new Array(6).fill("suspended"));
    for (let n = 0; n < 90; n += 1) server.broadcast("news", new Uint8Array(10_000));
    await runtime.settle();
    expect(left).toEqual([ErrorCode.BUFFER_LIMIT, ErrorCode.BUFFER_LIMIT]);
  });

  test("doesn't count a large broadcast, whose memory all clients share", async () => {
    const { runtime, server, peers, left } = await bench(10);
    for (const peer of peers) peer.pause();
    for (let n = 0; n < 3; n += 1) server.broadcast("news", LARGE);
    await runtime.settle();
    expect(left).toEqual([]);
  });

  test.each([
    ["include", (id: string) => ({ include: id })],
    ["exclude", (id: string, all: readonly string[]) => ({ exclude: all.filter((one) => one !== id) })],
    ["where", (id: string) => ({ where: (one: { readonly id: string }) => one.id === id })],
  ])("bounds broadcasts that differ from client to client (%s)", async (_option, optionsFor) => {
    const { runtime, server, peers, left } = await bench(6);
    for (const peer of peers) peer.pause();
    const ids = server.connections.map(({ id }) => id);
    for (const id of ids) server.broadcast("news", LARGE, optionsFor(id, ids));
    await runtime.settle();
    expect(left).toEqual([ErrorCode.BUFFER_LIMIT, ErrorCode.BUFFER_LIMIT]);
  });

  test("counts broadcasts in the queues of clients that have missed one", async () => {
    const { runtime, server, peers, left } = await bench(6, undefined, { slowConsumer: "drop", sendQueueSize: 1 });
    for (const peer of peers) peer.pause();
    for (let n = 0; n < 2; n += 1) server.broadcast("news", LARGE);
    await runtime.settle();
    expect(left).toEqual([]);
    server.broadcast("news", "missed");
    await runtime.settle();
    expect(left).toContain(ErrorCode.BUFFER_LIMIT);
  });

  test("lets a client send any amount, one after the other", async () => {
    const { runtime, server, peers, left } = await bench(1);
    let received = 0;
    server.on("note", () => {
      received += 1;
    });
    for (let n = 0; n < 12; n += 1) peers[0]?.write(message("note", LARGE));
    await runtime.settle();
    peers[0]?.write(frame(FrameType.HEARTBEAT_PING));
    await runtime.settle();
    expect([received, left]).toEqual([12, []]);
  });
});
