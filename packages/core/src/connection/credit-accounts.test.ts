/** Accounting of credit: granted, used and returned. */

import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { CANCEL_FRAME } from "../extensions/cancel.ts";
import { CREDIT_FRAME } from "../extensions/credit.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { type Gate, gate } from "../test-support/gate.ts";
import { clientAtRawServer, testServer } from "../test-support/peers.ts";
import { rawClient } from "../test-support/raw-memory.ts";
import { call, frame, message, type ReceivedFrame } from "../testing/raw-frames.ts";

const EXTENSIONS = { reply: true, cancel: true, close: true, call: true, credit: { frames: 1000, bytes: 1_000_000 } };

/** Starts a server whose method `wait` is completed by the test, and a raw client with credit. */
async function scene(options: Record<string, unknown>) {
  const runtime = fakeRuntime();
  const gates: Gate[] = [];
  const all = { maxMessageBytes: 8192, ...options };
  const { server, port, errors } = await testServer(runtime, all, (fresh) => {
    fresh.rpc("wait", () => {
      const own = gate();
      gates.push(own);
      return own.promise;
    });
    fresh.rpc("big", () => "x".repeat(1000));
    fresh.on("note", () => undefined);
  });
  const reasons: number[] = [];
  server.onClientDisconnect((_connection, reason) => reasons.push(reason.code));
  const peer = await rawClient(runtime, port, { extensions: EXTENSIONS });
  return { runtime, server, errors, peer, gates, reasons };
}

/** Returns the sum of all credit in these frames. */
function returned(frames: readonly ReceivedFrame[]): { frames: number; bytes: number } {
  const sum = { frames: 0, bytes: 0 };
  for (const { type, payload } of frames) {
    if (type !== CREDIT_FRAME) continue;
    sum.frames += payload?.["frames"] as number;
    sum.bytes += payload?.["bytes"] as number;
  }
  return sum;
}

test("a message with large binary data costs credit like any other", async () => {
  const { client, peer } = await clientAtRawServer({
    extensions: { ...EXTENSIONS, credit: { frames: 2, bytes: 1_000_000 } },
  });
  for (let n = 0; n < 4; n += 1) client.send("file", new Uint8Array(20_000).fill(n));
  const data = (await peer.received()).map(({ payload }) => payload?.["data"]);
  expect(data).toEqual([0, 1].map((n) => new Uint8Array(20_000).fill(n)));
  peer.send(CREDIT_FRAME, { frames: 100, bytes: 30_000 });
  const more = (await peer.received()).map(({ payload }) => payload?.["data"]);
  expect(more).toEqual([2, 3].map((n) => new Uint8Array(20_000).fill(n)));
});

describe("a grant", () => {
  test("of frames can be used up, and not one frame more", async () => {
    const { runtime, peer, reasons } = await scene({ handlerConcurrency: 1, receiveQueueSize: 4 });
    for (let id = 1; id <= 4; id += 1) peer.call("wait", {}, id);
    await runtime.settle();
    expect([returned(await peer.received()).frames, reasons]).toEqual([0, []]);
    peer.call("wait", {}, 5);
    await runtime.settle();
    expect(reasons).toEqual([ErrorCode.FLOW_CONTROL_ERROR]);
  });

  test("of bytes can be used up to the last byte, and nothing after it", async () => {
    const receiveQueueBytes = 10_000;
    const { runtime, peer, reasons } = await scene({ handlerConcurrency: 1, receiveQueueBytes });
    const first = call(1, "wait", { pad: "x".repeat(4000) });
    const bare = call(2, "wait", { pad: "x".repeat(5000) }).length - 5000;
    peer.write(first, call(2, "wait", { pad: "x".repeat(receiveQueueBytes - first.length - bare) }));
    await runtime.settle();
    expect([returned(await peer.received()).bytes, reasons]).toEqual([0, []]);
    peer.message("note");
    await runtime.settle();
    expect(reasons).toEqual([ErrorCode.FLOW_CONTROL_ERROR]);
  });

  test("comes back as it was used: a peer that keeps to it sends for ever", async () => {
    const { runtime, peer, reasons } = await scene({ receiveQueueSize: 100, receiveQueueBytes: 10_000 });
    const used = { frames: 0, bytes: 0 };
    const back = { frames: 0, bytes: 0 };
    for (let n = 0; n < 200; n += 1) {
      const bytes = message("note", "x".repeat(n % 7 === 0 ? 3000 : 10));
      peer.write(bytes);
      used.frames += 1;
      used.bytes += bytes.length;
      await runtime.settle();
      const credit = returned(await peer.received());
      back.frames += credit.frames;
      back.bytes += credit.bytes;
      expect(back.frames).toBeLessThanOrEqual(used.frames);
      expect(back.bytes).toBeLessThanOrEqual(used.bytes);
      // At most half of the grant hasn't been returned yet.
      expect(used.frames - back.frames).toBeLessThan(50);
      expect(used.bytes - back.bytes).toBeLessThan(5000);
    }
    expect(reasons).toEqual([]);
  });

  test("comes back for requests that are cancelled before they start, refused by the rate, or refused by a drain", async () => {
    const { runtime, peer, gates, server, reasons } = await scene({
      handlerConcurrency: 1,
      receiveQueueSize: 10,
      rateLimit: { messagesPerSecond: 100 },
    });
    let back = 0;
    let used = 1;
    peer.call("wait", {}, 1);
    const collect = async (): Promise<void> => {
      await runtime.settle();
      back += returned(await peer.received()).frames;
      // The whole grant is ten.
      expect(used - back).toBeLessThan(10);
    };
    for (let id = 2; id < 40; id += 1) {
      peer.write(call(id, "wait"), frame(CANCEL_FRAME, undefined, { id }));
      used += 1;
      await collect();
    }
    for (let id = 40; id < 200; id += 4) {
      // If it exceeds the rate, it is read a second later.
      for (let n = 0; n < 4; n += 1) peer.write(message("note"));
      used += 4;
      await runtime.advance(1000);
      if (id === 40) gates[0]?.open();
      await collect();
    }
    for (let id = 200; id < 204; id += 1) peer.call("wait", {}, id);
    used += 4;
    await runtime.advance(1000);
    await collect();
    const stopping = server.stop({ drainMs: 60_000 });
    for (let id = 300; id < 340; id += 1) {
      peer.call("big", {}, id);
      used += 1;
      await runtime.advance(1000);
      await collect();
    }
    expect(reasons).toEqual([]);
    for (const one of gates) one.open();
    await runtime.advance(60_000);
    await stopping;
  });

  test("comes back for messages that the rate limit refuses", async () => {
    const { runtime, peer, reasons } = await scene({ receiveQueueSize: 10, rateLimit: { messagesPerSecond: 5 } });
    let [used, back] = [0, 0];
    for (let burst = 0; burst < 20; burst += 1) {
      for (let n = 0; n < 7; n += 1) peer.message("note");
      used += 7;
      await runtime.advance(4000);
      back += returned(await peer.received()).frames;
      expect([used - back < 10, reasons]).toEqual([true, []]);
    }
  });

  test("of requests that a peer cancelled while it didn't read its replies comes back when it reads", async () => {
    const { runtime, peer, errors } = await scene({
      handlerConcurrency: 1,
      receiveQueueSize: 50,
      sendQueueSize: 50,
      sendQueueBytes: 65_536,
    });
    peer.pause();
    for (let id = 1; id <= 150; id += 1) {
      peer.call("big", {}, id);
      await runtime.settle();
    }
    for (let id = 1; id <= 150; id += 1) peer.send(CANCEL_FRAME, undefined, { id });
    await runtime.settle();
    expect(errors).toEqual([]);
    peer.resume();
    expect(150 - returned(await peer.received()).frames).toBeLessThan(25);
  });

  test("doesn't come back while a peer doesn't read its replies, whatever it cancels", async () => {
    const { runtime, peer, errors } = await scene({
      handlerConcurrency: 1,
      receiveQueueSize: 50,
      sendQueueSize: 50,
      sendQueueBytes: 65_536,
    });
    peer.pause();
    for (let id = 1; id <= 110; id += 1) {
      peer.call("big", {}, id);
      await runtime.settle();
    }
    expect(errors).toEqual([]);
    for (let id = 200; id <= 1000 && errors.length === 0; id += 1) {
      peer.write(call(id, "wait"), frame(CANCEL_FRAME, undefined, { id }));
      await runtime.settle();
    }
    expect(errors[0]?.code).toBe(ErrorCode.FLOW_CONTROL_ERROR);
  });
});
