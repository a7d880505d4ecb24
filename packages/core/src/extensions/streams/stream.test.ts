/** Streams as seen by raw peers: frames on the wire, and reactions to hostile peers. */

import { getEventListeners } from "node:events";
import { encode } from "@msgpack/msgpack";
import { describe, expect, test, vi } from "vitest";
import type { Client } from "../../client/client.ts";
import type { ProtocolConnection } from "../../connection/protocol-connection.ts";
import { ErrorCode } from "../../errors.ts";
import { MAX_GIVEN_UP_STREAMS } from "../../limits.ts";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { gate } from "../../test-support/gate.ts";
import { clientAtRawServer, outcome, testClient, testServer } from "../../test-support/peers.ts";
import { rawClient } from "../../test-support/raw-memory.ts";
import { frame, type ReceivedFrame, rawFrame, Type } from "../../testing/raw-frames.ts";
import { Flag } from "../../wire/constants.ts";
import { CANCEL_FRAME } from "../cancel.ts";
import { StreamFlag, StreamFrame } from "./stream-frames.ts";
import { StreamSender } from "./stream-sender.ts";

const MIB = 1024 * 1024;
const STREAM = { streams: 3, overdraft: 32 * MIB };
const BASE = { close: true, cancel: true, call: true, credit: { frames: 1000, bytes: 64 * MIB } };

/** Starts a server with streams and a raw client that accepts streams. */
async function toServer(stream: unknown = STREAM, options: Record<string, unknown> = {}) {
  const runtime = fakeRuntime();
  const go = gate();
  const taken: unknown[] = [];
  const { server, port, errors } = await testServer(runtime, options, (fresh) => {
    fresh.stream("numbers", async function* ({ to }) {
      for (let n = 0; n < (to as number); n += 1) yield n;
    });
    fresh.stream("bytes", async function* ({ sizes }) {
      for (const size of sizes as number[]) yield new Uint8Array(size);
    });
    fresh.rpc({ name: "read", input: true }, async (_params, context) => {
      await go.promise;
      for await (const item of context.input) taken.push(item);
      return "read";
    });
    fresh.rpc({ name: "ignore", input: true }, async () => {
      await go.promise;
      return "ignored";
    });
    fresh.rpc("add", () => 3);
  });
  const reasons: number[] = [];
  server.onClientDisconnect((_connection, reason) => reasons.push(reason.code));
  const extensions = stream === null ? BASE : { ...BASE, stream };
  const peer = await rawClient(runtime, port, { extensions });
  const open = (id: number, method: string, params: unknown, keys: object): void =>
    peer.write(frame(Type.RPC_REQUEST, { method, ...keys, params }, { id }));
  return { runtime, server, errors, reasons, peer, open, go, taken };
}

const items = (id: number, ...values: unknown[]): Uint8Array =>
  rawFrame(StreamFrame.INPUT, Buffer.concat(values.map((value) => encode(value))), { id });

describe("an output on the wire", () => {
  test("is gathered, stays within the credit, and ends with the reply", async () => {
    const { peer, open } = await toServer();
    open(5, "numbers", { to: 5 }, { output: 1000 });
    const first = await peer.next(StreamFrame.OUTPUT);
    expect([first.id, [...first.payloadBytes]]).toEqual([5n, [0, 1, 2, 3, 4]]);
    expect(await peer.next(Type.RPC_RESPONSE)).toMatchObject({ id: 5n, payload: { success: true, result: null } });
  });

  test("waits for more credit, and is cancelled by CANCEL", async () => {
    const { runtime, peer, open } = await toServer();
    open(5, "numbers", { to: 100_000 }, { output: 100 });
    const first = await peer.next(StreamFrame.OUTPUT);
    expect(first.payloadBytes.length).toBeLessThanOrEqual(100);
    expect(first.flags & StreamFlag.BLOCKED).toBe(StreamFlag.BLOCKED);
    await runtime.settle();
    expect(await peer.received()).toEqual([]);
    peer.send(StreamFrame.OUTPUT_CREDIT, { bytes: 200 }, { id: 5 });
    const second = await peer.next(StreamFrame.OUTPUT);
    expect(second.payloadBytes.length).toBeLessThanOrEqual(200);
    peer.send(CANCEL_FRAME, undefined, { id: 5 });
    expect(await peer.next(Type.RPC_ERROR)).toMatchObject({ id: 5n, payload: { code: ErrorCode.CANCELLED } });
  });

  test("carries binary items of 4 KiB and more as they are, in parts of 64 KiB", async () => {
    const { peer, open } = await toServer();
    open(5, "bytes", { sizes: [4096, 65_536, 150_000] }, { output: MIB });
    const frames: ReceivedFrame[] = [];
    for (let n = 0; n < 5; n += 1) {
      frames.push(await peer.next(StreamFrame.OUTPUT));
      peer.send(StreamFrame.STREAM_ACK, { bytes: 65_568 });
    }
    const { BINARY, MORE } = StreamFlag;
    expect(frames.map(({ flags, payloadBytes }) => [flags & ~Flag.ACK_NOW, payloadBytes.length])).toEqual([
      [BINARY, 4096],
      [BINARY, 65_536],
      [BINARY | MORE, 65_536],
      [BINARY | MORE, 65_536],
      [BINARY, 18_928],
    ]);
  });

  test("isn't sent if the byte stream is full, so that nothing waits behind it", async () => {
    const { server, runtime, peer, open } = await toServer();
    peer.stream.pause();
    open(5, "bytes", { sizes: Array.from({ length: 100 }, () => 65_536) }, { output: 16 * MIB });
    await runtime.settle();
    const [connection] = server.connections;
    expect(connection?.bufferedBytes).toBeLessThan(MIB);
    peer.stream.resume();
    await runtime.settle();
  });
});

describe("many streams that nobody reads", () => {
  test("keep within the overdraft, and all finish once they are read", async () => {
    const runtime = fakeRuntime();
    const text = "x".repeat(60_000);
    const { server } = await testServer(runtime, {}, (fresh) => fresh.stream("texts", () => [text, text, text]));
    const reasons: number[] = [];
    server.onClientDisconnect((_connection, reason) => reasons.push(reason.code));
    // It accepts 16 MiB in addition to the streams' credit.
    const { client } = testClient(runtime, { maxMessageBytes: MIB });
    await client.connect();
    const streams = Array.from({ length: 600 }, () => client.stream("texts"));
    await runtime.settle();
    expect(reasons).toEqual([]);
    const lengths = streams.map(async (stream) => {
      let length = 0;
      for await (const item of stream) length += (item as string).length;
      return length;
    });
    expect(new Set(await Promise.all(lengths))).toEqual(new Set([180_000]));
  });
});

describe("many streams that wait for the overdraft of another", () => {
  test("aren't all tried for each byte of credit that a peer returns", async () => {
    const { runtime, peer, open } = await toServer({ streams: 1000, overdraft: 1 }, { receiveQueueSize: 1000 });
    const sizes = [100_000];
    open(1, "bytes", { sizes }, { output: 1 });
    await runtime.settle();
    for (let id = 2; id <= 901; id += 1) open(id, "bytes", { sizes }, { output: 1 });
    peer.send(StreamFrame.STREAM_ACK, { bytes: 200_000 });
    await runtime.settle();
    const sendable = vi.spyOn(StreamSender.prototype, "isSendable", "get");
    const returned = 200;
    for (let n = 0; n < returned; n += 1) peer.send(StreamFrame.OUTPUT_CREDIT, { bytes: 1 }, { id: 1 });
    await runtime.settle();
    const tried = sendable.mock.calls.length;
    sendable.mockRestore();
    // 900 per byte would be 180,000.
    expect(tried).toBeLessThan(returned * 100);
    // They continue when the first stream has returned all credit.
    peer.send(StreamFrame.OUTPUT_CREDIT, { bytes: 200_000 }, { id: 1 });
    for (let id = 2; id <= 901; id += 1) {
      peer.send(StreamFrame.STREAM_ACK, { bytes: 200_000 });
      peer.send(StreamFrame.OUTPUT_CREDIT, { bytes: 200_000 }, { id });
      await runtime.settle();
    }
    await runtime.settle();
    const ended = (await peer.received()).filter(({ type }) => type === Type.RPC_RESPONSE);
    expect(ended).toHaveLength(901);
  });
});

describe("a stream that can't be sent", () => {
  test("leaves no listener on the signal of its caller", async () => {
    const { runtime, server } = await toServer(null);
    const { call: _none, ...extensions } = { ...BASE, stream: STREAM };
    await rawClient(runtime, server.address.port, { extensions });
    const connection = server.connections.at(-1);
    const { signal } = new AbortController();
    const step = connection?.stream("any", {}, { signal }).next();
    await expect(step).rejects.toMatchObject({ code: ErrorCode.PEER_UNSUPPORTED });
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});

describe("an input on the wire", () => {
  test("is opened by the first credit, which comes when the handler starts", async () => {
    const { peer, open, go, taken } = await toServer();
    open(7, "read", {}, { input: true });
    expect(await peer.next(StreamFrame.INPUT_CREDIT)).toMatchObject({ id: 7n, payload: { bytes: 256 * 1024 } });
    peer.write(items(7, 1, "two"), items(7, { three: 3 }), frame(StreamFrame.INPUT_END, undefined, { id: 7 }));
    go.open();
    expect(await peer.next(Type.RPC_RESPONSE)).toMatchObject({ id: 7n, payload: { result: "read" } });
    expect(taken).toEqual([1, "two", { three: 3 }]);
  });

  test("that its handler doesn't read takes no memory behind the result", async () => {
    const { runtime, server, peer, open, go } = await toServer();
    open(7, "ignore", {}, { input: true });
    await peer.next(StreamFrame.INPUT_CREDIT);
    const item = rawFrame(StreamFrame.INPUT, new Uint8Array(10_000), { id: 7 });
    peer.write(item, item);
    await runtime.settle();
    const { _connection: protocol } = server.connections[0] as unknown as {
      readonly _connection: ProtocolConnection<unknown>;
    };
    expect(protocol.streamBytes).toBeGreaterThan(20_000);
    go.open();
    expect(await peer.next(Type.RPC_RESPONSE)).toMatchObject({ payload: { result: "ignored" } });
    peer.write(item, frame(StreamFrame.INPUT_END, undefined, { id: 7 }));
    await runtime.settle();
    expect(protocol.streamBytes).toBe(0);
  });

  test("that isn't valid MessagePack fails its call alone", async () => {
    const { peer, open, go, reasons } = await toServer();
    go.open();
    open(7, "read", {}, { input: true });
    await peer.next(StreamFrame.INPUT_CREDIT);
    peer.write(rawFrame(StreamFrame.INPUT, new Uint8Array([0xc1]), { id: 7 }));
    expect(await peer.next(StreamFrame.INPUT_STOP)).toMatchObject({ id: 7n });
    expect(await peer.next(Type.RPC_ERROR)).toMatchObject({ id: 7n, payload: { code: ErrorCode.INTERNAL } });
    expect(reasons).toEqual([]);
  });
});

describe("requests with streams", () => {
  test.each([
    ["a method without an output", "add", { output: 100 }, ErrorCode.STREAM_MISMATCH],
    ["a stream without a wish for one", "numbers", {}, ErrorCode.STREAM_MISMATCH],
    ["a method without an input", "add", { input: true }, ErrorCode.STREAM_MISMATCH],
    ["a credit that isn't an integer", "numbers", { output: "much" }, ErrorCode.INVALID_PAYLOAD_SHAPE],
    ["a credit below 0", "numbers", { output: -1 }, ErrorCode.INVALID_PAYLOAD_SHAPE],
  ])("for %s are answered with a code", async (_what, method, keys, code) => {
    const { peer, open, reasons } = await toServer();
    open(5, method, {}, keys);
    expect(await peer.next(Type.RPC_ERROR)).toMatchObject({ id: 5n, payload: { code } });
    expect(reasons).toEqual([]);
  });

  test("are refused if the extension isn't in force", async () => {
    const { peer, open } = await toServer(null);
    open(5, "numbers", { to: 1 }, { output: 100 });
    expect(await peer.next(Type.RPC_ERROR)).toMatchObject({ payload: { code: ErrorCode.INVALID_PAYLOAD_SHAPE } });
  });

  test("beyond the limit are refused, and those that ended make room", async () => {
    const { peer, open, go } = await toServer(STREAM, { maxStreams: 2 });
    for (const id of [1, 2, 3]) open(id, "read", {}, { input: true });
    expect(await peer.next(Type.RPC_ERROR)).toMatchObject({ id: 3n, payload: { code: ErrorCode.TOO_MANY_STREAMS } });
    go.open();
    peer.write(frame(StreamFrame.INPUT_END, undefined, { id: 1 }));
    expect(await peer.next(Type.RPC_RESPONSE)).toMatchObject({ id: 1n });
    open(4, "read", {}, { input: true });
    peer.write(frame(StreamFrame.INPUT_END, undefined, { id: 2 }), frame(StreamFrame.INPUT_END, undefined, { id: 4 }));
    expect(await peer.next(Type.RPC_RESPONSE)).toMatchObject({ id: 2n });
    expect(await peer.next(Type.RPC_RESPONSE)).toMatchObject({ id: 4n });
  });
});

describe("a hostile client", () => {
  const beyond = Array.from({ length: 6 }, () => rawFrame(StreamFrame.INPUT, new Uint8Array(60_000), { id: 7 }));
  test.each([
    ["sends items for a stream that was never opened", ErrorCode.UNKNOWN_STREAM, [items(99, 1)]],
    [
      "ends a stream that was never opened",
      ErrorCode.UNKNOWN_STREAM,
      [frame(StreamFrame.INPUT_END, undefined, { id: 99 })],
    ],
    [
      "ends an input twice",
      ErrorCode.UNKNOWN_STREAM,
      [frame(StreamFrame.INPUT_END, undefined, { id: 7 }), frame(StreamFrame.INPUT_END, undefined, { id: 7 })],
    ],
    [
      "sends items behind the end",
      ErrorCode.UNKNOWN_STREAM,
      [frame(StreamFrame.INPUT_END, undefined, { id: 7 }), items(7, 1)],
    ],
    [
      "sends an output, although it was not called",
      ErrorCode.UNKNOWN_STREAM,
      [rawFrame(StreamFrame.OUTPUT, encode(1), { id: 7 })],
    ],
    ["sends items beyond its credit", ErrorCode.FLOW_CONTROL_ERROR, beyond],
    [
      "sends a frame without items",
      ErrorCode.INVALID_PAYLOAD_SHAPE,
      [rawFrame(StreamFrame.INPUT, new Uint8Array(0), { id: 7 })],
    ],
    [
      "sends an item that never ends",
      ErrorCode.MESSAGE_TOO_LARGE,
      Array.from({ length: 20 }, () =>
        rawFrame(StreamFrame.INPUT, new Uint8Array(65_536), { id: 7, flags: StreamFlag.MORE }),
      ),
    ],
    [
      "sends an item in small parts",
      ErrorCode.INVALID_PAYLOAD_SHAPE,
      [rawFrame(StreamFrame.INPUT, new Uint8Array(65_535), { id: 7, flags: StreamFlag.MORE })],
    ],
    [
      "returns credit that is none",
      ErrorCode.INVALID_PAYLOAD_SHAPE,
      [frame(StreamFrame.OUTPUT_CREDIT, { bytes: 0 }, { id: 8 })],
    ],
    ["acknowledges a text", ErrorCode.INVALID_PAYLOAD_SHAPE, [frame(StreamFrame.STREAM_ACK, { bytes: "all" })]],
  ])("that %s is cut with a code", async (_what, code, frames) => {
    const { runtime, peer, open, reasons } = await toServer(STREAM, { maxMessageBytes: MIB });
    open(7, "read", {}, { input: true });
    open(8, "numbers", { to: 1e6 }, { output: 100 });
    await peer.next(StreamFrame.INPUT_CREDIT);
    peer.write(...frames);
    await runtime.settle();
    expect(reasons).toEqual([code]);
  });

  test("that sends items faster than the rate limit of bytes is read at that rate, and no call of it is refused", async () => {
    const { runtime, peer, open, go, taken, reasons } = await toServer(STREAM, {
      rateLimit: { bytesPerSecond: 100_000 },
    });
    go.open();
    open(7, "read", {}, { input: true });
    await peer.next(StreamFrame.INPUT_CREDIT);
    const sent = 20;
    for (let n = 0; n < sent; n += 1) peer.write(items(7, "x".repeat(10_000)));
    open(8, "add", {}, {});
    peer.write(frame(StreamFrame.INPUT_END, undefined, { id: 7 }));
    await runtime.settle();
    const atOnce = taken.length;
    expect([atOnce >= 9, atOnce <= 11]).toEqual([true, true]);
    await runtime.advance(500);
    expect(taken.length - atOnce).toBeLessThanOrEqual(6);
    await runtime.advance(1000);
    expect([taken.length, reasons]).toEqual([sent, []]);
    expect(await peer.next(Type.RPC_RESPONSE)).toMatchObject({ id: 8n });
  });

  test("may return any credit, and acknowledge any number of bytes", async () => {
    const { runtime, peer, open, reasons } = await toServer();
    open(8, "numbers", { to: 1000 }, { output: 100 });
    for (let n = 0; n < 3; n += 1) {
      peer.send(StreamFrame.OUTPUT_CREDIT, { bytes: Number.MAX_SAFE_INTEGER }, { id: 8 });
      peer.send(StreamFrame.STREAM_ACK, { bytes: Number.MAX_SAFE_INTEGER });
    }
    expect(await peer.next(Type.RPC_RESPONSE)).toMatchObject({ id: 8n });
    peer.send(StreamFrame.OUTPUT_CREDIT, { bytes: 10 }, { id: 8 });
    peer.send(StreamFrame.INPUT_STOP, undefined, { id: 8 });
    await runtime.settle();
    expect(reasons).toEqual([]);
  });
});

test("a client that disconnects in the middle of an input ends it with an error, so that it isn't taken for all of it", async () => {
  const { client, peer } = await clientAtRawServer({ extensions: { ...BASE, stream: STREAM } });
  const input = ["a", "b", "c"].map((letter) => letter.repeat(100));
  const called = expect(client.call("take", {}, { input })).rejects.toMatchObject({
    code: ErrorCode.CONNECTION_CLOSED,
  });
  const { id } = await peer.next(Type.RPC_REQUEST);
  peer.send(StreamFrame.INPUT_CREDIT, { bytes: 1 }, { id });
  await peer.next(StreamFrame.INPUT);
  const leaving = client.disconnect();
  expect(await peer.next(StreamFrame.INPUT_END)).toMatchObject({ id, payload: { code: ErrorCode.CONNECTION_CLOSED } });
  await called;
  peer.stream.destroy(null);
  await leaving;
});

describe("a hostile server", () => {
  async function toRawServer(stream = STREAM) {
    const { runtime, client, errors, peer } = await clientAtRawServer({ extensions: { ...BASE, stream } });
    const reasons: number[] = [];
    client.onDisconnect((_client, reason) => reasons.push(reason.code));
    return { runtime, client, errors, peer, reasons };
  }

  test("that sends items beyond the credit, or for a call that has its reply, is cut with a code", async () => {
    for (const code of [ErrorCode.FLOW_CONTROL_ERROR, ErrorCode.UNKNOWN_STREAM]) {
      const { runtime, client, peer, reasons } = await toRawServer();
      const stream = client.stream("any");
      const { id, payload } = await peer.next(Type.RPC_REQUEST);
      expect(payload?.["output"]).toBe(256 * 1024);
      const data = rawFrame(StreamFrame.OUTPUT, new Uint8Array(65_000), { id });
      if (code === ErrorCode.UNKNOWN_STREAM) {
        peer.write(frame(Type.RPC_RESPONSE, { success: true, result: null }, { id }), data);
      } else {
        peer.write(data, data, data, data, data, data);
      }
      await runtime.settle();
      expect(reasons).toEqual([code]);
      await stream.return?.();
    }
  });

  test("may send items until it has answered a stream that was given up", async () => {
    const { runtime, client, peer, reasons } = await toRawServer();
    const stream = client.stream("any");
    const { id } = await peer.next(Type.RPC_REQUEST);
    await stream.return?.();
    expect(await peer.next(CANCEL_FRAME)).toMatchObject({ id });
    const data = rawFrame(StreamFrame.OUTPUT, new Uint8Array(65_000), { id });
    peer.write(data, data, frame(Type.RPC_ERROR, { success: false, error: "cancelled", code: 1003 }, { id }));
    await runtime.settle();
    expect(reasons).toEqual([]);
    peer.write(data);
    await runtime.settle();
    expect(reasons).toEqual([ErrorCode.UNKNOWN_STREAM]);
  });

  test("that never answers streams that were given up gets no more than so many, whatever number it takes", async () => {
    const { runtime, client, peer } = await toRawServer({ ...STREAM, streams: 1e9 });
    const ids: bigint[] = [];
    for (let n = 0; n < MAX_GIVEN_UP_STREAMS; n += 1) {
      const stream = client.stream("any");
      ids.push((await peer.next(Type.RPC_REQUEST)).id);
      await stream.return?.();
      peer.send(Type.CREDIT, { frames: 1, bytes: 100 });
    }
    await runtime.settle();
    await expect(client.stream("any").next()).rejects.toMatchObject({ code: ErrorCode.TOO_MANY_STREAMS });
    peer.write(frame(Type.RPC_RESPONSE, { success: true, result: null }, { id: ids[0] ?? 0n }));
    await runtime.settle();
    const next = outcome(client.stream("any").next());
    expect(await peer.next(Type.RPC_REQUEST)).toMatchObject({ payload: { method: "any" } });
    expect(next.state).toBe("pending");
  });

  /** Starts a client of a server that permits one stream, with a cancelled stream that isn't answered yet. */
  async function givenUp() {
    const made = await toRawServer({ ...STREAM, streams: 1 });
    const stream = made.client.stream("first");
    const { id } = await made.peer.next(Type.RPC_REQUEST);
    await stream.return?.();
    expect(await made.peer.next(CANCEL_FRAME)).toMatchObject({ id });
    const answer = (): void =>
      made.peer.write(frame(Type.RPC_ERROR, { success: false, error: "cancelled", code: 1003 }, { id }));
    return { ...made, answer };
  }

  test.for([
    ["a stream", (client: Client) => client.stream("next").next()],
    ["a call with an input", (client: Client) => client.call("next", {}, { input: [1] })],
    ["a call with progress", (client: Client) => client.call("next", {}, { onProgress: () => undefined })],
  ] as const)("that takes no more gets %s when it has answered the one that was given up", async ([, open]) => {
    const { runtime, client, peer, answer } = await givenUp();
    const opened = outcome(open(client));
    await expect(client.stream("another").next()).rejects.toMatchObject({ code: ErrorCode.TOO_MANY_STREAMS });
    await runtime.settle();
    expect(await peer.received()).toEqual([]);
    answer();
    expect(await peer.next(Type.RPC_REQUEST)).toMatchObject({ payload: { method: "next" } });
    expect(opened.state).toBe("pending");
  });

  test("that takes no more leaves no listener on the signal of a stream that waited for it", async () => {
    const { client, peer, answer } = await givenUp();
    const { signal } = new AbortController();
    const opened = client.stream("next", {}, { signal }).next();
    answer();
    const { id } = await peer.next(Type.RPC_REQUEST);
    peer.write(frame(Type.RPC_RESPONSE, { success: true, result: null }, { id }));
    expect(await opened).toEqual({ done: true, value: undefined });
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  test("that takes no more is not waited for by a stream that is left, aborted, late, or cut off", async () => {
    const { runtime, client, peer, answer } = await givenUp();
    const left = client.stream("left");
    await left.return?.();
    const controller = new AbortController();
    const aborted = outcome(client.stream("aborted", {}, { signal: controller.signal }).next());
    controller.abort();
    await runtime.settle();
    expect(aborted).toMatchObject({ state: "rejected", error: { code: ErrorCode.CANCELLED } });
    const late = outcome(client.call("late", {}, { onProgress: () => undefined, timeoutMs: 1000 }));
    await runtime.advance(1100);
    expect(late).toMatchObject({ state: "rejected", error: { code: ErrorCode.TIMEOUT } });
    expect(String(late.error)).toContain("the peer hasn't answered abandoned streams");
    answer();
    await runtime.settle();
    expect(await peer.received()).toEqual([]);
    const again = await givenUp();
    const cut = outcome(again.client.stream("cut").next());
    again.peer.end();
    await again.runtime.settle();
    expect(cut).toMatchObject({ state: "rejected", error: { code: ErrorCode.CONNECTION_CLOSED } });
  });

  test("that opens an input after its caller gave up hears that nothing follows, and no progress is reported", async () => {
    const { runtime, client, peer } = await toRawServer();
    const controller = new AbortController();
    const log: unknown[] = [];
    const input: AsyncIterableIterator<number> = {
      next: async () => ({ done: false, value: log.push("asked") }),
      return: async () => ({ done: true, value: log.push("closed") }),
      [Symbol.asyncIterator]: () => input,
    };
    const onProgress = (value: unknown): unknown => log.push(value);
    const call = outcome(client.call("any", {}, { input, onProgress, signal: controller.signal }));
    const { id } = await peer.next(Type.RPC_REQUEST);
    peer.send(StreamFrame.PROGRESS, { value: "half" }, { id });
    await runtime.settle();
    controller.abort();
    expect(await peer.next(CANCEL_FRAME)).toMatchObject({ id });
    peer.send(StreamFrame.PROGRESS, { value: "whole" }, { id });
    peer.send(StreamFrame.INPUT_CREDIT, { bytes: 100 }, { id });
    expect(await peer.next(StreamFrame.INPUT_END)).toMatchObject({ id });
    expect(call).toMatchObject({ state: "rejected", error: { code: ErrorCode.CANCELLED } });
    expect(log).toEqual(["half", "closed"]);
  });

  test("that opens the input of a call without one is cut with a code", async () => {
    const { runtime, client, peer, reasons } = await toRawServer();
    const stream = client.stream("any");
    const { id } = await peer.next(Type.RPC_REQUEST);
    peer.send(StreamFrame.INPUT_CREDIT, { bytes: 100 }, { id });
    await runtime.settle();
    expect(reasons).toEqual([ErrorCode.UNKNOWN_STREAM]);
    await stream.return?.();
  });
});
