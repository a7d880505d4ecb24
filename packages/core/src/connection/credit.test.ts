/** Credit between peers, as seen by raw peers and by this library's servers and clients. */

import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { CANCEL_FRAME } from "../extensions/cancel.ts";
import { CREDIT_FRAME } from "../extensions/credit.ts";
import { DRAIN_FRAME } from "../extensions/drain.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { type Gate, gate } from "../test-support/gate.ts";
import { clientAtRawServer, outcome, testClient, testServer } from "../test-support/peers.ts";
import { rawClient } from "../test-support/raw-memory.ts";
import { frame, type ReceivedFrame } from "../testing/raw-frames.ts";
import { FrameType } from "../wire/constants.ts";

const LARGE = 16 * 1024 * 1024;

/** Returns all extensions with this grant, for an offer or an answer. */
function granting(frames = 1000, bytes = LARGE): Record<string, unknown> {
  return { reply: true, close: true, cancel: true, deadline: true, call: true, credit: { frames, bytes } };
}

/** Starts a server whose method `wait` is completed by the test, and a raw client with credit. */
async function toServer(options: Record<string, unknown> = {}, grant = granting()) {
  const runtime = fakeRuntime();
  const gates: Gate<string>[] = [];
  const signals: AbortSignal[] = [];
  const { server, port, errors } = await testServer(runtime, options, (fresh) => {
    fresh.rpc("wait", (_params, { signal }) => {
      const own = gate<string>();
      gates.push(own);
      signals.push(signal);
      return own.promise;
    });
    fresh.rpc("now", () => "x".repeat(1000));
    fresh.on("note", () => undefined);
  });
  const reasons: number[] = [];
  server.onClientDisconnect((_connection, reason) => reasons.push(reason.code));
  const peer = await rawClient(runtime, port, { extensions: grant });
  const call = (from: number, to: number): void => {
    for (let id = from; id <= to; id += 1) peer.call("wait", {}, id);
  };
  const connection = server.connections[0] as (typeof server.connections)[0];
  return { runtime, server, errors, reasons, peer, gates, signals, call, connection };
}

/** Starts a client and a raw server with this grant. */
async function toRawServer(frames: number, options: Record<string, unknown> = {}, bytes = LARGE, others = {}) {
  const { runtime, client, peer } = await clientAtRawServer(
    { extensions: { ...granting(frames, bytes), ...others } },
    options,
  );
  const give = (count: number, size = LARGE): void => peer.send(CREDIT_FRAME, { frames: count, bytes: size });
  return { runtime, client, peer, give };
}

function credits(frames: readonly ReceivedFrame[]): unknown[] {
  return frames.filter(({ type }) => type === CREDIT_FRAME).map(({ payload }) => payload);
}

describe("a receiver", () => {
  test("grants its receive queue at login", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime, { receiveQueueSize: 7, maxMessageBytes: 2048, receiveQueueBytes: 5000 });
    const { client } = testClient(runtime);
    await client.connect();
    const raw = await rawClient(runtime, 8080, { extensions: granting() });
    const success = raw.frames.all.find(({ type }) => type === FrameType.AUTH_SUCCESS);
    expect(success?.payload?.["extensions"]).toMatchObject({ credit: { frames: 7, bytes: 5000 } });
  });

  test("grants nothing with enableBackpressure off", async () => {
    const { peer } = await toServer({ enableBackpressure: false });
    const success = peer.frames.all.find(({ type }) => type === FrameType.AUTH_SUCCESS);
    expect(success?.payload?.["extensions"]).not.toHaveProperty("credit");
  });

  test("returns credit when half of it has been used and taken", async () => {
    const { peer } = await toServer({ receiveQueueSize: 10 });
    const note = frame(FrameType.MESSAGE, { type: "note", data: 1 });
    for (let count = 0; count < 4; count += 1) peer.write(note);
    expect(credits(await peer.received())).toEqual([]);
    peer.write(note);
    expect(credits(await peer.received())).toEqual([{ frames: 5, bytes: 5 * note.length }]);
  });

  test("returns credit for large messages before half of their number has come", async () => {
    const { peer } = await toServer({ maxMessageBytes: 2048, receiveQueueBytes: 4096 });
    peer.message("note", "x".repeat(2000));
    const [given] = credits(await peer.received()) as { frames: number; bytes: number }[];
    expect(given).toMatchObject({ frames: 1 });
    expect(given?.bytes).toBeGreaterThan(2000);
  });

  test("returns credit by the half mebibyte, so that large messages can follow each other", async () => {
    const { peer } = await toServer({ maxMessageBytes: 1024 * 1024, receiveQueueBytes: 64 * 1024 * 1024 });
    for (let count = 0; count < 11; count += 1) peer.message("note", "x".repeat(50_000));
    const [given] = credits(await peer.received()) as { frames: number; bytes: number }[];
    expect(given).toMatchObject({ frames: 11 });
  });

  test("returns no credit for what waits, and reads on", async () => {
    const { peer, call, gates, runtime, connection } = await toServer({ handlerConcurrency: 1, receiveQueueSize: 10 });
    call(1, 10);
    expect(credits(await peer.received())).toEqual([]);
    expect([peer.stream.queuedBytes, connection.state]).toEqual([0, "active"]);
    for (let index = 0; index < 4; index += 1) {
      gates[index]?.open("done");
      await runtime.settle();
    }
    expect(credits(await peer.received())).toMatchObject([{ frames: 5 }]);
  });

  test("reads and obeys control frames while its queue is full", async () => {
    const { peer, call, signals, runtime } = await toServer({ handlerConcurrency: 2, receiveQueueSize: 10 });
    call(1, 10);
    peer.send(FrameType.HEARTBEAT_PING, undefined, { id: 5 });
    peer.send(CANCEL_FRAME, undefined, { id: 1 });
    await runtime.settle();
    expect(await peer.receivedTypes()).toContain("HEARTBEAT_PONG");
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
  });

  test("returns credit for calls that are cancelled in the queue", async () => {
    const { peer, call } = await toServer({ handlerConcurrency: 1, receiveQueueSize: 10 });
    call(1, 10);
    await peer.received();
    for (let id = 2; id <= 5; id += 1) peer.send(CANCEL_FRAME, undefined, { id });
    expect(credits(await peer.received())).toMatchObject([{ frames: 5 }]);
  });

  test.each(["frames", "bytes"])("cuts a peer that sends more %s than it was granted", async (what) => {
    const queue = what === "frames" ? { receiveQueueSize: 3 } : { maxMessageBytes: 1024, receiveQueueBytes: 3 * 1024 };
    const { peer, reasons } = await toServer({ handlerConcurrency: 1, ...queue });
    for (let id = 1; id <= 6; id += 1) peer.call("wait", { filler: "x".repeat(900) }, id);
    expect((await peer.next(FrameType.CLOSE)).payload).toMatchObject({ code: ErrorCode.FLOW_CONTROL_ERROR });
    peer.end();
    await peer.received();
    expect(reasons).toEqual([ErrorCode.FLOW_CONTROL_ERROR]);
  });

  test("takes a frame that is larger than what is left of the bytes", async () => {
    const { peer, connection } = await toServer({
      handlerConcurrency: 1,
      maxMessageBytes: 2000,
      receiveQueueBytes: 3024,
    });
    for (let id = 1; id <= 2; id += 1) peer.call("wait", { filler: "x".repeat(1800) }, id);
    await peer.received();
    expect(connection.state).toBe("active");
  });

  test("asks for credit for RPC_LIST, too, which is answered", async () => {
    const { peer } = await toServer({ handlerConcurrency: 1, receiveQueueSize: 2 });
    peer.send(FrameType.RPC_LIST, undefined, { id: 1 });
    expect(credits(await peer.received())).toMatchObject([{ frames: 1 }]);
  });

  test.each([
    ["no map", undefined],
    ["text", { frames: "1", bytes: 1 }],
    ["a fraction", { frames: 0.5, bytes: 1 }],
    ["a negative number", { frames: -1, bytes: 1 }],
  ])("reports CREDIT with %s, and ignores it", async (_what, payload) => {
    const { peer, errors, connection } = await toServer();
    peer.send(CREDIT_FRAME, payload);
    await peer.received();
    expect(errors).toMatchObject([{ code: ErrorCode.INVALID_PAYLOAD_SHAPE, stage: "protocol" }]);
    expect(connection.isConnected).toBe(true);
  });

  test("tells a peer that breaks the protocol at once, whatever waits for its credit", async () => {
    const { runtime, peer, connection } = await toServer({}, granting(1));
    for (let count = 0; count < 3; count += 1) connection.send("note", count);
    await peer.received();
    peer.send(FrameType.CHUNK);
    peer.send(CREDIT_FRAME, { frames: 10, bytes: 1000 });
    await runtime.settle();
    expect(await peer.received()).toMatchObject([
      { type: FrameType.CLOSE, payload: { code: ErrorCode.UNEXPECTED_FRAME } },
    ]);
  });

  test("waits no longer for the credit of a peer that breaks the protocol while it closes", async () => {
    const { runtime, peer, connection } = await toServer({}, granting(1));
    for (let count = 0; count < 3; count += 1) connection.send("note", count);
    void connection.close();
    await runtime.settle();
    await peer.received();
    peer.send(FrameType.CHUNK);
    await runtime.settle();
    expect(await peer.receivedTypes()).toEqual(["CLOSE"]);
  });

  test("refuses CREDIT from a peer that has not agreed on it", async () => {
    const { peer } = await toServer({}, { close: true });
    peer.send(CREDIT_FRAME, { frames: 1, bytes: 1 });
    expect((await peer.next(FrameType.CLOSE)).payload).toMatchObject({ code: ErrorCode.UNEXPECTED_FRAME });
  });
});

test("two sides that close at once, with messages held on both, end without their timers", async () => {
  const runtime = fakeRuntime();
  const options = { handlerConcurrency: 1, receiveQueueSize: 2 };
  const busy = gate();
  const { server } = await testServer(runtime, options, (fresh) => fresh.on("note", () => busy.promise));
  const { client } = testClient(runtime, options);
  client.on("note", () => busy.promise);
  await client.connect();
  const connection = server.connections[0] as (typeof server.connections)[0];
  for (let count = 0; count < 20; count += 1) {
    client.send("note", count);
    connection.send("note", count);
  }
  await runtime.settle();
  const closed = [outcome(client.disconnect()), outcome(connection.close())];
  await runtime.settle();
  expect(closed.map(({ state }) => state)).toEqual(["resolved", "resolved"]);
});

describe("a peer with credit that never reads", () => {
  test("is cut when it sends PINGs", async () => {
    const { runtime, peer, reasons, server } = await toServer({ closeTimeoutMs: 1000 });
    peer.pause();
    server.connections[0]?.send("filler", "x".repeat(200_000));
    await runtime.settle();
    const ping = frame(FrameType.HEARTBEAT_PING);
    for (let count = 0; count < 5000; count += 1) peer.write(ping);
    await runtime.advance(2000);
    expect(reasons).toEqual([ErrorCode.FLOW_CONTROL_ERROR]);
  });

  test("gets no more credit for calls, and keeps being read", async () => {
    const { runtime, peer, connection, reasons } = await toServer({ sendQueueSize: 20, receiveQueueSize: 100 });
    peer.pause();
    for (let id = 1; id <= 100; id += 1) peer.call("now", {}, id);
    await runtime.settle();
    // 64 KiB in the stream, plus the replies of a queue with a limit of 20.
    expect(connection.bufferedBytes).toBeLessThan(65_536 + 40 * 1100);
    for (let id = 101; id <= 300; id += 1) peer.call("now", {}, id);
    await runtime.advance(10_000);
    expect(reasons).toEqual([ErrorCode.FLOW_CONTROL_ERROR]);
  });

  test("gets all answers and its credit once it reads", async () => {
    const { runtime, peer } = await toServer({ sendQueueSize: 20, receiveQueueSize: 200 });
    peer.pause();
    for (let id = 1; id <= 200; id += 1) peer.call("now", {}, id);
    await runtime.settle();
    peer.resume();
    const frames = await peer.received();
    const answers = frames.filter(({ type }) => type === FrameType.RPC_RESPONSE).map(({ id }) => Number(id));
    expect(answers).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
    expect(credits(frames).length).toBeGreaterThan(0);
  });
});

describe("a sender", () => {
  test("sends as far as its credit reaches, and the rest in order as it comes back", async () => {
    const { runtime, client, peer, give } = await toRawServer(2);
    for (let n = 1; n <= 5; n += 1) client.send("n", n);
    const numbers = async (): Promise<unknown[]> => (await peer.received()).map(({ payload }) => payload?.["data"]);
    expect(await numbers()).toEqual([1, 2]);
    expect(client.state).toBe("paused");
    give(1);
    expect(await numbers()).toEqual([3]);
    give(10);
    expect(await numbers()).toEqual([4, 5]);
    await runtime.settle();
    expect(client.state).toBe("active");
  });

  test("may exceed its credit of bytes by one frame", async () => {
    const { client, peer, give } = await toRawServer(100, {}, 1000);
    for (let n = 1; n <= 3; n += 1) client.send("n", "x".repeat(800));
    expect(await peer.receivedTypes()).toEqual(["MESSAGE", "MESSAGE"]);
    give(0, 200);
    expect(await peer.receivedTypes()).toEqual([]);
    give(0, 900);
    expect(await peer.receivedTypes()).toEqual(["MESSAGE"]);
  });

  test("needs no credit for replies", async () => {
    const { client, peer } = await toRawServer(1);
    client.rpc("echo", ({ n }) => n);
    client.send("uses it up");
    client.send("waits");
    peer.call("echo", { n: 1 }, 1);
    expect(await peer.receivedTypes()).toEqual(["MESSAGE", "RPC_RESPONSE"]);
  });

  test("is told by send and drained() when its queue fills for want of credit", async () => {
    const { runtime, client, give } = await toRawServer(1, { sendQueueSize: 10 });
    client.send("uses it up");
    const room = Array.from({ length: 10 }, (_, n) => client.send("n", n));
    expect(room).toEqual([...Array(7).fill(true), ...Array(3).fill(false)]);
    expect(() => client.send("n")).toThrow(expect.objectContaining({ code: ErrorCode.SEND_QUEUE_FULL }));
    const drained = outcome(client.drained());
    give(6);
    await runtime.settle();
    expect(drained.state).toBe("resolved");
  });

  test("withdraws a call that is cancelled while it waits for credit: neither it nor a CANCEL is sent", async () => {
    const { client, peer, give } = await toRawServer(1);
    const abort = new AbortController();
    client.send("uses it up");
    const call = outcome(client.call("m", {}, { signal: abort.signal }));
    client.send("after");
    abort.abort();
    give(10);
    expect((await peer.received()).map(({ payload }) => payload?.["type"])).toEqual(["uses it up", "after"]);
    expect(call.error).toMatchObject({ code: ErrorCode.CANCELLED });
  });

  test("withdraws a call and a request that time out while they wait", async () => {
    const { runtime, client, peer, give } = await toRawServer(1);
    client.send("uses it up");
    const calls = [client.call("m", {}, { timeoutMs: 100 }), client.request("r", 1, { timeoutMs: 100 })].map(outcome);
    await runtime.advance(200);
    give(10);
    expect(await peer.receivedTypes()).toEqual(["MESSAGE"]);
    expect(calls.map(({ error }) => error?.code)).toEqual([ErrorCode.TIMEOUT, ErrorCode.TIMEOUT]);
  });

  test("makes room in its queue by withdrawing", async () => {
    const { runtime, client } = await toRawServer(1, { sendQueueSize: 2 });
    const abort = new AbortController();
    client.send("uses it up");
    for (let n = 0; n < 2; n += 1) client.call("m", {}, { signal: abort.signal }).catch(() => undefined);
    const drained = outcome(client.drained());
    abort.abort();
    await runtime.settle();
    expect([drained.state, client.state, client.bufferedBytes]).toEqual(["resolved", "active", 0]);
  });

  test("withdraws a call that waits for a peer which does not read, and its credit", async () => {
    const { runtime, client, peer } = await toRawServer(3);
    peer.pause();
    client.send("filler", "x".repeat(200_000));
    await runtime.settle();
    const abort = new AbortController();
    for (let n = 0; n < 2; n += 1) client.call("m", {}, { signal: abort.signal }).catch(() => undefined);
    abort.abort();
    client.send("one");
    client.send("two");
    peer.resume();
    expect((await peer.received()).map(({ payload }) => payload?.["type"])).toEqual(["filler", "one", "two"]);
  });

  test.each([false, true])(
    "sends what remains of timeout_ms when a call leaves (compression: %s)",
    async (enableCompression) => {
      const { runtime, client, peer, give } = await toRawServer(1, { enableCompression });
      client.send("uses it up");
      client.call("m", { filler: "x".repeat(5000) }, { timeoutMs: 1000 }).catch(() => undefined);
      client.request("m", "x".repeat(5000), { timeoutMs: 1000 }).catch(() => undefined);
      await runtime.advance(400);
      give(10);
      const sent = (await peer.received()).slice(1);
      expect(sent.map(({ payload }) => payload?.["timeout_ms"])).toEqual([600, 600]);
    },
  );

  test("answers a CLOSE once while it waits for credit to disconnect, however often the peer repeats it", async () => {
    const { runtime, client, peer } = await toRawServer(1);
    for (let n = 0; n < 2; n += 1) client.send("n", n);
    void client.disconnect();
    for (let n = 0; n < 3; n += 1) peer.send(FrameType.CLOSE);
    await runtime.settle();
    expect((await peer.receivedTypes()).filter((name) => name === "CLOSE_ACK")).toEqual(["CLOSE_ACK"]);
  });

  test("answers a DRAIN once, however often the peer repeats it", async () => {
    const { runtime, client, peer } = await toRawServer(1, {}, LARGE, { drain: true });
    peer.pause();
    client.send("n", "x".repeat(200_000));
    await runtime.settle();
    for (let n = 0; n < 3; n += 1) peer.send(DRAIN_FRAME, { ends_in_ms: 1000, retry_after_ms: 0 });
    await runtime.settle();
    peer.resume();
    expect(await peer.receivedTypes()).toEqual(["MESSAGE", "DRAINED"]);
  });

  test("that disconnects waits for credit and sends everything before CLOSE", async () => {
    const { runtime, client, peer, give } = await toRawServer(1);
    for (let n = 0; n < 3; n += 1) client.send("n", n);
    client.call("never sent").catch(() => undefined);
    const ended = outcome(client.disconnect());
    expect(await peer.receivedTypes()).toEqual(["MESSAGE"]);
    give(1);
    expect(await peer.receivedTypes()).toEqual(["MESSAGE"]);
    give(1);
    expect(await peer.receivedTypes()).toEqual(["MESSAGE", "CLOSE"]);
    peer.end();
    await runtime.settle();
    expect(ended.state).toBe("resolved");
  });

  test("that disconnects answers PINGs while it waits", async () => {
    const { client, peer } = await toRawServer(1);
    for (let n = 0; n < 3; n += 1) client.send("n", n);
    void client.disconnect();
    await peer.received();
    peer.send(FrameType.HEARTBEAT_PING);
    expect(await peer.receivedTypes()).toEqual(["HEARTBEAT_PONG"]);
  });

  test("that disconnects gives up on credit after closeTimeoutMs", async () => {
    const { runtime, client } = await toRawServer(1, { closeTimeoutMs: 1000 });
    for (let n = 0; n < 3; n += 1) client.send("n", n);
    const ended = outcome(client.disconnect());
    await runtime.advance(1100);
    expect(ended.state).toBe("resolved");
  });

  test("does not wait for the credit of a peer that closes", async () => {
    const { runtime, client, peer } = await toRawServer(1, { reconnect: { enabled: false } });
    for (let n = 0; n < 3; n += 1) client.send("n", n);
    await peer.received();
    peer.send(FrameType.CLOSE, { reason: "bye", code: 5010 });
    peer.end();
    await runtime.settle();
    expect([await peer.receivedTypes(), client.isConnected]).toEqual([["CLOSE_ACK"], false]);
  });
});

describe("more calls than the queue holds, all cancelled", () => {
  async function flooded() {
    const runtime = fakeRuntime();
    const signals: AbortSignal[] = [];
    const { server } = await testServer(runtime, { handlerConcurrency: 2, receiveQueueSize: 5 }, (fresh) => {
      fresh.rpc("wait", (_params, { signal }) => {
        signals.push(signal);
        return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      });
      fresh.rpc("ping", () => "pong");
    });
    const { client } = testClient(runtime);
    await client.connect();
    const abort = new AbortController();
    for (let n = 0; n < 20; n += 1) client.call("wait", {}, { signal: abort.signal }).catch(() => undefined);
    await runtime.advance(50);
    return { runtime, server, client, signals, abort };
  }

  test("end the running handlers, and leave nothing paused", async () => {
    const { runtime, server, client, signals, abort } = await flooded();
    abort.abort();
    const pong = outcome(client.call("ping"));
    await runtime.settle();
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true]);
    expect([client.state, server.connections[0]?.state, pong.value]).toEqual(["active", "active", "pong"]);
    const ended = [client.disconnect(), server.stop()].map(outcome);
    await runtime.settle();
    expect(ended.map(({ state }) => state)).toEqual(["resolved", "resolved"]);
  });
});

test("a client on a dead path loses its slot to the heartbeat, though handlers hang and all its credit is used", async () => {
  const { runtime, server, call } = await toServer({ handlerConcurrency: 2, receiveQueueSize: 5 });
  call(1, 5);
  await runtime.advance(200_000);
  expect(server.connectionCount).toBe(0);
});

test("a plain peer that is not read loses its slot to the heartbeat as well", async () => {
  const runtime = fakeRuntime();
  const { server, port } = await testServer(runtime, { allowPasswordHash: true, receiveQueueSize: 2 }, (fresh) => {
    fresh.onClientConnect(() => undefined);
    fresh.on("never", () => new Promise(() => {}));
  });
  const peer = await rawClient(runtime, port, { extensions: null, passwordHash: true });
  for (let n = 0; n < 1000; n += 1) peer.message("never", n);
  await runtime.advance(200_000);
  expect(server.connectionCount).toBe(0);
});
