/** Chunked frames of more than 64 KiB, as seen by raw peers and by this library's servers and clients. */

import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { CHUNK_ACK_FRAME } from "../extensions/chunk.ts";
import { CREDIT_FRAME } from "../extensions/credit.ts";
import { DRAIN_FRAME } from "../extensions/drain.ts";
import { MAX_CHUNK_BYTES } from "../limits.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { clientAtRawServer, outcome, testClient, testServer } from "../test-support/peers.ts";
import { rawClient } from "../test-support/raw-memory.ts";
import { call, chunksOf, FrameParser, frame, message, type ReceivedFrame } from "../testing/raw-frames.ts";
import { Flag, FrameType } from "../wire/constants.ts";

const MIB = 1024 * 1024;
const CHUNKS = { messages: 3, bytes: 16 * MIB };
const CREDIT = { frames: 1000, bytes: 64 * MIB };
const BASE = { reply: true, close: true, cancel: true, deadline: true, call: true, credit: CREDIT };

/** Reassembles chunks. Returns the complete frames and the ids of unfinished frames. */
function assembled(frames: readonly ReceivedFrame[]): { whole: ReceivedFrame[]; unfinished: bigint[] } {
  const parts = new Map<bigint, { parser: FrameParser; left: number }>();
  const whole: ReceivedFrame[] = [];
  for (const received of frames) {
    if (received.type !== FrameType.CHUNK) {
      whole.push(received);
      continue;
    }
    const part = parts.get(received.id) ?? { parser: new FrameParser(), left: 0 };
    parts.set(received.id, part);
    if (received.payloadBytes.length === 0) parts.delete(received.id);
    for (const one of part.parser.push(received.payloadBytes)) {
      whole.push(one);
      parts.delete(received.id);
    }
  }
  return { whole, unfinished: [...parts.keys()] };
}

/** Starts a server and a raw client that supports chunks. */
async function toServer(options: Record<string, unknown> = {}, chunk: unknown = CHUNKS, others = {}) {
  const runtime = fakeRuntime();
  const heard: unknown[] = [];
  const { server, port, errors } = await testServer(runtime, options, (fresh) => {
    fresh.rpc("length", (params) => String(params["text"]).length);
    fresh.rpc("repeat", ({ count }) => "x".repeat(count as number));
    fresh.on("note", (_client, data) => void heard.push(typeof data === "string" ? data.length : data));
  });
  const reasons: number[] = [];
  server.onClientDisconnect((_connection, reason) => reasons.push(reason.code));
  const peer = await rawClient(runtime, port, { extensions: { ...BASE, chunk, ...others } });
  const connection = server.connections[0] as (typeof server.connections)[0];
  const acknowledge = (bytes: number): void => peer.send(CHUNK_ACK_FRAME, { bytes });
  return { runtime, server, port, errors, heard, reasons, peer, connection, acknowledge };
}

/** Starts a client and a raw server that supports chunks. */
async function toRawServer(chunk: unknown = CHUNKS, others = {}, options: Record<string, unknown> = {}) {
  const { runtime, client, errors, peer } = await clientAtRawServer(
    { extensions: { ...BASE, chunk, ...others } },
    options,
  );
  const acknowledge = (bytes: number): void => peer.send(CHUNK_ACK_FRAME, { bytes });
  return { runtime, client, errors, peer, acknowledge };
}

const text = (count: number): string => "x".repeat(count);

/** Returns the length of a message's text. */
const lengthOf = ({ payload }: ReceivedFrame): number => String(payload?.["data"]).length;

describe("frames in chunks", () => {
  test("go both ways between a server and a client, with values and order intact", async () => {
    const runtime = fakeRuntime();
    const sizes: number[] = [];
    await testServer(runtime, {}, (server) => {
      server.rpc("echo", (params) => params);
      server.on("note", (_client, data) => void sizes.push((data as string).length));
    });
    const { client } = testClient(runtime);
    await client.connect();
    const bytes = new Uint8Array(3 * MIB).map((_, index) => index % 251);
    for (const size of [200_000, 10, 65_600, 65_500, 5]) client.send("note", text(size));
    const answers = await Promise.all([
      client.call("echo", { bytes }),
      client.call("echo", { text: text(MIB) }),
      client.call("echo", { small: 1 }),
    ]);
    expect(answers).toEqual([{ bytes }, { text: text(MIB) }, { small: 1 }]);
    await runtime.settle();
    expect(sizes).toEqual([200_000, 10, 65_600, 65_500, 5]);
  });

  test.each([65_530, 65_537, 65_600, 131_072 + 40, 131_072 - 20])(
    "keep a request of about %i bytes whole, its deadline included",
    async (size) => {
      const runtime = fakeRuntime();
      await testServer(runtime, {}, (server) => {
        server.rpc("length", (params, context) => [String(params["text"]).length, context.deadline !== null]);
      });
      const { client } = testClient(runtime);
      await client.connect();
      expect(await client.call("length", { text: text(size) }, { timeoutMs: 5000 })).toEqual([size, true]);
    },
  );

  test("may be compressed as a whole", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime, { enableCompression: true }, (server) => server.rpc("echo", (params) => params));
    const { client } = testClient(runtime, { enableCompression: true });
    await client.connect();
    // Half of it can't be compressed.
    const bytes = new Uint8Array(500_000).map((_, index) => (index % 2 === 0 ? 0 : Math.floor(Math.random() * 256)));
    const before = client.stats?.bytesSent ?? 0;
    expect(await client.call("echo", { bytes })).toEqual({ bytes });
    const sent = (client.stats?.bytesSent ?? 0) - before;
    expect(sent).toBeGreaterThan(4 * MAX_CHUNK_BYTES);
    expect(sent).toBeLessThan(bytes.length);
  });

  test.each(["server", "client"])(
    "are not used if the %s grants no credit, so that no reply is stuck",
    async (side) => {
      const runtime = fakeRuntime();
      const options = { maxMessageBytes: MIB, sendQueueBytes: 2 * MIB, receiveQueueSize: 4 };
      const without = { ...options, enableBackpressure: false };
      await testServer(runtime, side === "server" ? without : options, (fresh) => {
        fresh.rpc("repeat", ({ count }) => text(count as number));
      });
      const { client } = testClient(runtime, side === "client" ? without : options);
      await client.connect();
      const calls = Array.from({ length: 30 }, () => outcome(client.call("repeat", { count: 500_000 })));
      await runtime.advance(1000);
      expect(calls.filter(({ state }) => state !== "resolved")).toEqual([]);
    },
  );

  test("are not used with a peer that doesn't take them", async () => {
    const { runtime, peer, connection } = await toServer({}, {});
    connection.send("note", text(MIB));
    await runtime.settle();
    expect((await peer.received()).map(({ type }) => type)).toEqual([FrameType.MESSAGE]);
  });
});

describe("a sender", () => {
  test("sends at most 128 KiB beyond the acknowledgement at first, and small calls, replies and heartbeats pass", async () => {
    const { runtime, peer, connection, acknowledge } = await toServer();
    connection.send("note", text(MIB));
    const called = outcome(connection.call("small"));
    peer.call("length", { text: "abc" }, 5);
    peer.send(FrameType.HEARTBEAT_PING);
    await runtime.settle();
    const frames = await peer.received();
    expect(frames.map(({ type }) => type)).toEqual([
      ...Array(2).fill(FrameType.CHUNK),
      FrameType.RPC_REQUEST,
      FrameType.RPC_RESPONSE,
      FrameType.HEARTBEAT_PONG,
    ]);
    acknowledge(MAX_CHUNK_BYTES);
    await runtime.settle();
    expect((await peer.received()).map(({ type }) => type)).toEqual([FrameType.CHUNK]);
    expect(called.state).toBe("pending");
  });

  test("answers small calls beside one reply that fills the queue, and not beside two", async () => {
    const { runtime, peer } = await toServer({ maxMessageBytes: 4 * MIB, sendQueueBytes: 4 * MIB + 1024 });
    const answersTo = async (id: number): Promise<boolean> => {
      peer.call("length", { text: "abc" }, id);
      await runtime.settle();
      return (await peer.received()).some(
        ({ type, id: other }) => type === FrameType.RPC_RESPONSE && other === BigInt(id),
      );
    };
    peer.call("repeat", { count: 4 * MIB - 1000 }, 1);
    const besideOne = await answersTo(2);
    peer.call("repeat", { count: 4 * MIB - 1000 }, 3);
    expect([besideOne, await answersTo(4)]).toEqual([true, false]);
  });

  test("has more on the way while nothing small is sent and the round trip stays short", async () => {
    const { runtime, peer, connection, acknowledge } = await toServer();
    connection.send("note", text(MIB));
    const counts: number[] = [];
    for (let turn = 0; turn < 3; turn += 1) {
      await runtime.settle();
      const { length } = await peer.received();
      counts.push(length);
      acknowledge(length * MAX_CHUNK_BYTES);
    }
    expect(counts).toEqual([2, 4, 8]);
  });

  test("interleaves calls fairly, and keeps messages in their order", async () => {
    const { runtime, client, peer, acknowledge } = await toRawServer();
    client.send("note", text(500_000));
    client.send("note", "second");
    void client.call("large", { text: text(300_000) }).catch(() => undefined);
    client.send("note", text(100_000));
    client.send("note", "fourth");
    client.callNoWait("fifth");
    const frames: ReceivedFrame[] = [];
    for (let turn = 0; turn < 30; turn += 1) {
      await runtime.settle();
      frames.push(...(await peer.received()));
      acknowledge(MAX_CHUNK_BYTES);
    }
    const { whole, unfinished } = assembled(frames);
    expect(unfinished).toEqual([]);
    const names = whole.map(({ payload }) => payload?.["method"] ?? (payload?.["data"] as string | undefined)?.length);
    expect(names.filter((name) => name !== "large")).toEqual([500_000, 6, 100_000, 6, "fifth"]);
    const ids = frames.filter(({ type }) => type === FrameType.CHUNK).map(({ id }) => id);
    expect(ids.slice(4, 10)).toEqual([1n, 2n, 1n, 2n, 1n, 2n]);
  });

  test("keeps messages with ack in their order, and among others", async () => {
    const runtime = fakeRuntime();
    const heard: unknown[] = [];
    await testServer(runtime, {}, (server) => {
      server.on("note", (_client, data) => void heard.push((data as string).length));
    });
    const { client } = testClient(runtime);
    await client.connect();
    const sent = [outcome(client.send("note", text(3 * MIB), { ack: true }))];
    client.send("note", text(1));
    sent.push(outcome(client.send("note", text(2), { ack: true })));
    client.send("note", text(2 * MIB));
    sent.push(outcome(client.send("note", text(MIB), { ack: true })));
    sent.push(outcome(client.send("note", text(3), { ack: true })));
    await runtime.settle();
    expect(heard).toEqual([3 * MIB, 1, 2, 2 * MIB, MIB, 3]);
    expect(sent.map(({ state }) => state)).toEqual(Array(4).fill("resolved"));
  });

  test("has no more messages and bytes unfinished than the peer takes", async () => {
    const { runtime, client, peer, acknowledge } = await toRawServer({ messages: 2, bytes: 500_000 });
    for (let count = 0; count < 4; count += 1) {
      void client.call("large", { text: text(200_000) }).catch(() => undefined);
    }
    const frames: ReceivedFrame[] = [];
    let most = 0;
    for (let turn = 0; turn < 30; turn += 1) {
      await runtime.settle();
      frames.push(...(await peer.received()));
      most = Math.max(most, assembled(frames).unfinished.length);
      acknowledge(MAX_CHUNK_BYTES);
    }
    expect(most).toBe(2);
    expect(assembled(frames).whole.length).toBe(4);
  });

  test("has room again for as many bytes once calls that had begun are given up", async () => {
    const { runtime, client, peer, acknowledge } = await toRawServer({ messages: 3, bytes: 700_000 });
    for (let count = 0; count < 3; count += 1) {
      const abort = new AbortController();
      const call = outcome(client.call("large", { text: text(300_000) }, { signal: abort.signal }));
      await runtime.settle();
      abort.abort();
      acknowledge(MIB);
      await runtime.settle();
      expect(call.error?.code).toBe(ErrorCode.CANCELLED);
    }
    await peer.received();
    for (let count = 0; count < 2; count += 1) {
      void client.call("large", { text: text(300_000) }).catch(() => undefined);
    }
    const ids: bigint[] = [];
    for (let turn = 0; turn < 30; turn += 1) {
      await runtime.settle();
      ids.push(...(await peer.received()).filter(({ type }) => type === FrameType.CHUNK).map(({ id }) => id));
      acknowledge(MAX_CHUNK_BYTES);
    }
    const [first, second] = [...new Set(ids)] as [bigint, bigint];
    expect(ids.indexOf(second)).toBeLessThan(ids.lastIndexOf(first));
  });

  test("aborts a call that its caller gives up when it is partly sent, and withdraws it before that", async () => {
    const { runtime, client, peer, acknowledge } = await toRawServer({ messages: 1, bytes: MIB });
    const aborts = [new AbortController(), new AbortController()];
    const calls = aborts.map(({ signal }) => outcome(client.call("large", { text: text(300_000) }, { signal })));
    const third = outcome(client.call("third", { text: text(200_000) }));
    await runtime.settle();
    await peer.received();
    for (const abort of aborts) abort.abort();
    acknowledge(2 * MAX_CHUNK_BYTES);
    await runtime.settle();
    expect(calls.map(({ error }) => error?.code)).toEqual([ErrorCode.CANCELLED, ErrorCode.CANCELLED]);
    const [abort, ...others] = await peer.received();
    expect([abort?.type, abort?.id, abort?.payloadBytes.length]).toEqual([FrameType.CHUNK, 1n, 0]);
    expect(assembled(others).whole.map(({ payload }) => payload?.["method"])).toEqual(["third"]);
    expect(third.state).toBe("pending");
    client.send("note", "still there");
    await runtime.settle();
    expect((await peer.received()).map(({ type }) => type)).toContain(FrameType.MESSAGE);
  });

  test("says of a call in chunks that it has not started when the connection breaks before all of it was sent", async () => {
    const { runtime, client, peer } = await toRawServer();
    const sizes = [300_000, 200_000];
    const calls = sizes.map((size) => outcome(client.call("large", { text: text(size) })));
    await runtime.settle();
    peer.reset();
    await runtime.settle();
    expect(calls.map(({ error }) => error?.details)).toEqual([{ started: false }, { started: false }]);
  });

  test("answers DRAIN when the last large call that waited for the stream is given up", async () => {
    const { runtime, client, peer } = await toRawServer(CHUNKS, { drain: true });
    peer.pause();
    for (let n = 0; n < 4; n += 1) client.send("filler", text(60_000));
    await runtime.settle();
    const abort = new AbortController();
    const call = outcome(client.call("large", { text: text(100_000) }, { signal: abort.signal }));
    peer.send(DRAIN_FRAME, { ends_in_ms: 1000, retry_after_ms: 0 });
    await runtime.settle();
    abort.abort();
    await runtime.settle();
    peer.resume();
    expect([await peer.receivedTypes(), call.error?.code]).toEqual([
      [...Array(4).fill("MESSAGE"), "DRAINED"],
      ErrorCode.CANCELLED,
    ]);
  });

  test("writes the time that remains when the last chunk leaves", async () => {
    const { runtime, client, peer, acknowledge } = await toRawServer();
    void client.call("large", { text: text(300_000) }, { timeoutMs: 1000 }).catch(() => undefined);
    await runtime.advance(400);
    acknowledge(2 * MAX_CHUNK_BYTES);
    await runtime.settle();
    const [request] = assembled(await peer.received()).whole;
    expect(request?.payload?.["timeout_ms"]).toBe(600);
  });

  test("is as full as its option says for messages in chunks, and takes small ones besides", async () => {
    const { connection } = await toServer({ maxMessageBytes: 4 * MIB, sendQueueBytes: 4 * MIB + 1024 });
    expect(connection.send("note", new Uint8Array(4 * MIB - 100))).toBe(false);
    expect(connection.send("note", new Uint8Array(4 * MIB - 100))).toBe(false);
    expect(() => connection.send("note", new Uint8Array(4 * MIB - 100))).toThrow(
      expect.objectContaining({ code: ErrorCode.SEND_QUEUE_FULL }),
    );
    expect(() => connection.send("note", "small")).not.toThrow();
  });

  test("sends everything before CLOSE, as the acknowledgements come", async () => {
    const { runtime, client, peer, acknowledge } = await toRawServer();
    client.send("note", text(300_000));
    client.send("note", "last");
    const closed = outcome(client.disconnect());
    const frames: ReceivedFrame[] = [];
    for (let turn = 0; turn < 8; turn += 1) {
      await runtime.settle();
      frames.push(...(await peer.received()));
      acknowledge(MAX_CHUNK_BYTES);
    }
    expect(assembled(frames).whole.map(({ type }) => type)).toEqual([
      FrameType.MESSAGE,
      FrameType.MESSAGE,
      FrameType.CLOSE,
    ]);
    peer.end();
    await runtime.settle();
    expect(closed.state).toBe("resolved");
  });

  test("drops what is in chunks when the peer closes", async () => {
    const { runtime, peer, connection } = await toServer();
    connection.send("note", text(MIB));
    peer.send(FrameType.CLOSE, { reason: "done", code: 5010 });
    await runtime.settle();
    expect(peer.ended).toBe(null);
    expect(connection.bufferedBytes).toBe(0);
  });

  test("needs credit for the whole message before its first chunk", async () => {
    const { runtime, client, peer } = await toRawServer(CHUNKS, { credit: { frames: 1, bytes: 16 * MIB } });
    client.send("note", text(70_000));
    client.send("note", text(80_000));
    await runtime.settle();
    expect(assembled(await peer.received()).whole.length).toBe(1);
    peer.send(CREDIT_FRAME, { frames: 1, bytes: 0 });
    await runtime.settle();
    peer.send(CHUNK_ACK_FRAME, { bytes: 200_000 });
    await runtime.settle();
    expect(assembled(await peer.received()).whole.length).toBe(1);
  });

  describe("whose large calls use up the credit", () => {
    /** Makes two large calls. The credit left by the first isn't sufficient for the second. */
    async function scene() {
      const one = await toRawServer(CHUNKS, { credit: { frames: 1000, bytes: 5 * MIB } });
      const { runtime, client, peer, acknowledge } = one;
      const received: ReceivedFrame[] = [];
      const receive = async () => {
        for (let turn = 0; turn < 60; turn += 1) {
          await runtime.settle();
          received.push(...(await peer.received()));
          acknowledge(MAX_CHUNK_BYTES);
        }
        const { whole, unfinished } = assembled(received);
        return { names: whole.map(({ payload }) => payload?.["method"] ?? payload?.["result"]), unfinished };
      };
      void client.call("first", { text: text(3 * MIB) }).catch(() => undefined);
      const abort = new AbortController();
      const second = outcome(client.call("second", { text: text(2 * MIB) }, { signal: abort.signal }));
      await receive();
      return { ...one, receive, abort, second };
    }

    test("begins the next one when credit returns, and sends small calls until then", async () => {
      const { client, peer, receive } = await scene();
      void client.call("small").catch(() => undefined);
      expect(await receive()).toEqual({ names: ["first", "small"], unfinished: [] });
      expect(client.state).toBe("paused");
      peer.send(CREDIT_FRAME, { frames: 1, bytes: 3 * MIB });
      expect(await receive()).toEqual({ names: ["first", "small", "second"], unfinished: [] });
      expect(client.state).toBe("active");
    });

    test("sends large replies meanwhile", async () => {
      const { client, peer, receive } = await scene();
      client.rpc("repeat", () => text(MIB));
      peer.call("repeat", {}, 7);
      expect((await receive()).names).toEqual(["first", text(MIB)]);
    });

    test("waits no longer for one that its caller gives up", async () => {
      const { client, receive, abort, second } = await scene();
      abort.abort();
      expect(await receive()).toEqual({ names: ["first"], unfinished: [] });
      expect([second.error?.code, client.state]).toEqual([ErrorCode.CANCELLED, "active"]);
      void client.call("third", { text: text(MIB) }).catch(() => undefined);
      expect((await receive()).names).toEqual(["first", "third"]);
    });
  });

  test("has the credit of a large message before messages behind it use up the rest", async () => {
    const { runtime, client, peer, acknowledge } = await toRawServer(CHUNKS, {
      credit: { frames: 4, bytes: 16 * MIB },
    });
    peer.pause();
    for (const size of [65_500, 200_000, 1, 2, 3]) client.send("note", text(size));
    await runtime.settle();
    peer.resume();
    await runtime.settle();
    acknowledge(200_100);
    const { whole } = assembled(await peer.received());
    // The peer needn't return credit before it has consumed the second message; there is none for the last.
    expect(whole.map(lengthOf)).toEqual([65_500, 200_000, 1, 2]);
  });

  test("sends small calls while a large message waits for credit, and keeps small messages behind it", async () => {
    const credit = { credit: { frames: 100, bytes: 300_000 } };
    const { runtime, client, peer, acknowledge } = await toRawServer(CHUNKS, credit);
    for (const size of [200_000, 200_001, 1]) client.send("note", text(size));
    const calling = outcome(client.call("now"));
    await runtime.settle();
    acknowledge(200_100);
    const { whole } = assembled(await peer.received());
    expect(whole.map(({ type }) => type)).toEqual([FrameType.RPC_REQUEST, FrameType.MESSAGE]);
    peer.send(CREDIT_FRAME, { frames: 1, bytes: 200_100 });
    await runtime.settle();
    acknowledge(200_100);
    const later = assembled(await peer.received()).whole;
    expect(later.map(lengthOf)).toEqual([200_001, 1]);
    peer.reset();
    await runtime.settle();
    expect(calling.state).toBe("rejected");
  });

  test("has its credit again when a large request behind another one is given up", async () => {
    const { runtime, client, peer, acknowledge } = await toRawServer(CHUNKS, {
      credit: { frames: 1000, bytes: 5 * MIB },
    });
    client.send("note", text(MIB));
    const controller = new AbortController();
    const asked = [1, 2].map(() => outcome(client.request("ask", text(MIB), { signal: controller.signal })));
    await runtime.settle();
    controller.abort();
    client.send("note", text(2 * MIB));
    const received: ReceivedFrame[] = [];
    for (let turn = 0; turn < 40; turn += 1) {
      await runtime.settle();
      received.push(...(await peer.received()));
      acknowledge(MAX_CHUNK_BYTES);
    }
    expect(asked.map(({ error }) => error?.code)).toEqual([ErrorCode.CANCELLED, ErrorCode.CANCELLED]);
    expect(assembled(received).whole.map(lengthOf)).toEqual([MIB, 2 * MIB]);
  });

  test("begins a large call that takes all of the credit if half of it is there", async () => {
    const credit = { frames: 1000, bytes: 2 * MIB };
    const { runtime, client, peer, acknowledge } = await toRawServer(CHUNKS, { credit });
    client.send("note", text(900_000));
    void client.call("large", { text: text(2 * MIB) }).catch(() => undefined);
    acknowledge(2 * MAX_CHUNK_BYTES);
    await runtime.settle();
    expect(assembled(await peer.received()).unfinished).toEqual([1n, 2n]);
  });
});

describe("a receiver", () => {
  test("says how many unfinished messages and bytes it takes", async () => {
    const { peer } = await toServer({ maxMessageBytes: MIB, receiveQueueBytes: 2 * MIB });
    const success = peer.frames.all.find(({ type }) => type === FrameType.AUTH_SUCCESS);
    expect(success?.payload?.["extensions"]).toMatchObject({ chunk: { messages: 8, bytes: 2 * MIB } });
  });

  test("puts interleaved messages together, and acknowledges each 128 KiB", async () => {
    const { runtime, peer, heard } = await toServer();
    const first = chunksOf(message("note", text(200_000)), 1);
    const second = chunksOf(call(9n, "length", { text: text(150_000) }), 2);
    for (let index = 0; index < 4; index += 1) {
      peer.write(...[first[index], second[index]].filter((part) => part !== undefined));
    }
    await runtime.settle();
    expect(heard).toEqual([200_000]);
    const frames = await peer.received();
    expect(frames.find(({ type }) => type === FrameType.RPC_RESPONSE)?.payload?.["result"]).toBe(150_000);
    const acknowledged = frames.filter(({ type }) => type === CHUNK_ACK_FRAME).map(({ payload }) => payload?.["bytes"]);
    expect(acknowledged.reduce<number>((sum, bytes) => sum + (bytes as number), 0)).toBe(4 * MAX_CHUNK_BYTES);
  });

  test("acknowledges a chunk whose sender waits for that, once it is complete", async () => {
    const { runtime, peer } = await toServer();
    const [first, second] = chunksOf(message("note", text(100_000)), 1, 50_000) as [Uint8Array, Uint8Array];
    new DataView(second.buffer).setUint16(8, Flag.ACK_NOW);
    const acknowledged = async () => {
      await runtime.settle();
      return (await peer.received()).filter(({ type }) => type === CHUNK_ACK_FRAME).map(({ payload }) => payload);
    };
    peer.write(first, second.subarray(0, 1000));
    expect(await acknowledged()).toEqual([]);
    peer.write(second.subarray(1000));
    expect(await acknowledged()).toEqual([{ bytes: 100_000 }]);
  });

  test("refuses a compressed chunk", async () => {
    const { runtime, peer, reasons } = await toServer();
    const [only] = chunksOf(message("note", "short"), 1) as [Uint8Array];
    new DataView(only.buffer).setUint16(8, Flag.COMPRESSED);
    peer.write(only);
    await runtime.settle();
    expect(reasons).toEqual([ErrorCode.UNSUPPORTED_FLAG]);
  });

  test("takes chunks of any size, and messages that fit in one", async () => {
    const { runtime, peer, heard } = await toServer();
    peer.write(...chunksOf(message("note", text(1000)), 1, 1), ...chunksOf(message("note", "short"), 1));
    await runtime.settle();
    expect(heard).toEqual([1000, 5]);
  });

  test("refuses a larger frame that isn't in chunks", async () => {
    const { runtime, peer, reasons } = await toServer();
    peer.write(message("note", text(MAX_CHUNK_BYTES)));
    await runtime.settle();
    expect(reasons).toEqual([ErrorCode.MESSAGE_TOO_LARGE]);
  });

  test.each([
    ["a message that isn't in chunks", FrameType.MESSAGE, "65536 bytes (larger frames must be sent in chunks)"],
    ["a frame with a limit of its own", CREDIT_FRAME, "64 bytes"],
  ])("says no option of the limit of %s", async (_what, type, end) => {
    const { runtime, peer } = await toServer();
    peer.send(type, undefined, { length: 100_000 });
    await runtime.settle();
    const [close] = await peer.received();
    expect(close?.payload?.["reason"]).toBe(`Cannot decode frame: payload of 100000 bytes exceeds the limit of ${end}`);
  });

  test("has room for as many bytes again once messages are complete or aborted", async () => {
    const { runtime, peer, heard, reasons } = await toServer({
      maxMessageBytes: 300_000,
      receiveQueueBytes: 1_000_000,
    });
    for (let id = 1; id <= 10; id += 1) {
      peer.write(...chunksOf(message("note", text(200_000)), id));
      peer.write(
        chunksOf(message("note", text(200_000)), id)[0] as Uint8Array,
        frame(FrameType.CHUNK, undefined, { id }),
      );
      await runtime.settle();
    }
    expect([heard, reasons]).toEqual([Array(10).fill(200_000), []]);
  });

  test("frees a message that is aborted, and gives its credit back", async () => {
    const credit = { credit: { frames: 10, bytes: MIB } };
    const { runtime, peer, heard } = await toServer({ receiveQueueSize: 2, maxMessageBytes: MIB }, CHUNKS, credit);
    for (let id = 1; id <= 10; id += 1) {
      peer.write(chunksOf(message("note", text(200_000)), id)[0] as Uint8Array);
      peer.send(FrameType.CHUNK, undefined, { id });
      await runtime.settle();
    }
    // Unknown and aborted ids are ignored.
    peer.send(FrameType.CHUNK, undefined, { id: 10 });
    peer.write(...chunksOf(message("note", text(200_000)), 10));
    await runtime.settle();
    expect(heard).toEqual([200_000]);
    expect(peer.ended).toBe(undefined);
    const credits = (await peer.received()).filter(({ type }) => type === CREDIT_FRAME);
    expect(credits.length).toBe(11);
  });

  test.each([
    ["more messages than it takes", ErrorCode.FLOW_CONTROL_ERROR, 9, message("note", text(100_000))],
    ["more bytes than it takes", ErrorCode.FLOW_CONTROL_ERROR, 3, message("note", text(900_000))],
  ])("ends the connection of a peer that has unfinished %s", async (_what, code, count, large) => {
    const { runtime, peer, reasons } = await toServer({ maxMessageBytes: MIB, receiveQueueBytes: 2 * MIB });
    for (let id = 1; id < count; id += 1) peer.write(chunksOf(large, id)[0] as Uint8Array);
    await runtime.settle();
    expect(reasons).toEqual([]);
    peer.write(chunksOf(large, count)[0] as Uint8Array);
    await runtime.settle();
    expect(reasons).toEqual([code]);
  });

  const large = message("note", text(200_000));
  test.each<[string, number, Uint8Array[]]>([
    ["id 0", ErrorCode.INVALID_PAYLOAD_SHAPE, chunksOf(large, 0)],
    [
      "more bytes than the message has",
      ErrorCode.INVALID_PAYLOAD_SHAPE,
      chunksOf(Buffer.concat([large, Buffer.alloc(1)]), 1),
    ],
    ["a message over the limit", ErrorCode.MESSAGE_TOO_LARGE, chunksOf(message("note", text(2 * MIB)), 1)],
    ["a wrong magic number", ErrorCode.BAD_MAGIC, chunksOf(Buffer.concat([Buffer.alloc(4), large.subarray(4)]), 1)],
    ["a frame that may not be in chunks", ErrorCode.UNKNOWN_FRAME_TYPE, chunksOf(frame(FrameType.CLOSE, {}), 1)],
    ["chunks in chunks", ErrorCode.UNKNOWN_FRAME_TYPE, chunksOf(Buffer.concat(chunksOf(large, 2)), 1)],
  ])("ends the connection at %s", async (_what, code, chunks) => {
    const { runtime, peer, reasons, heard } = await toServer({ maxMessageBytes: MIB });
    peer.write(...chunks);
    await runtime.settle();
    expect([reasons, heard]).toEqual([[code], []]);
  });

  test("ends the connection at a chunk that was not agreed on", async () => {
    const { runtime, peer, reasons } = await toServer({}, {});
    peer.write(...chunksOf(large, 1));
    await runtime.settle();
    expect(reasons).toEqual([ErrorCode.UNEXPECTED_FRAME]);
  });

  test("ends the connection at a first chunk without credit for the message", async () => {
    const credit = { credit: { frames: 10, bytes: MIB } };
    const { runtime, peer, reasons, server } = await toServer({ receiveQueueSize: 1 }, CHUNKS, credit);
    const busy = gate();
    server.on("busy", () => busy.promise);
    peer.write(chunksOf(large, 1)[0] as Uint8Array);
    await runtime.settle();
    expect(reasons).toEqual([]);
    peer.write(chunksOf(large, 2)[0] as Uint8Array);
    await runtime.settle();
    expect(reasons).toEqual([ErrorCode.FLOW_CONTROL_ERROR]);
  });

  test("asks for credit for RPC_LIST in chunks, and returns no more than that", async () => {
    const credit = { credit: { frames: 10, bytes: MIB } };
    const { runtime, peer, reasons, server } = await toServer(
      { handlerConcurrency: 1, receiveQueueSize: 2 },
      CHUNKS,
      credit,
    );
    const list = (id: number): Uint8Array => Buffer.concat(chunksOf(frame(FrameType.RPC_LIST, undefined, { id }), id));
    for (let id = 1; id <= 10; id += 1) peer.write(list(id));
    await runtime.settle();
    const returned = (await peer.received()).filter(({ type }) => type === CREDIT_FRAME);
    expect(returned.map(({ payload }) => payload)).toEqual(Array(10).fill({ frames: 1, bytes: 32 }));
    const busy = gate();
    server.rpc("busy", () => busy.promise);
    peer.call("busy", {}, 11);
    for (let id = 12; id <= 13; id += 1) peer.write(list(id));
    await runtime.settle();
    expect(reasons).toEqual([]);
    peer.write(list(14));
    await runtime.settle();
    expect(reasons).toEqual([ErrorCode.FLOW_CONTROL_ERROR]);
  });

  test("answers heartbeats between chunks, and a call by the id of a half call", async () => {
    const { runtime, peer } = await toServer();
    const [first, ...rest] = chunksOf(call(7n, "length", { text: text(100_000) }), 1);
    peer.write(first as Uint8Array);
    peer.send(FrameType.HEARTBEAT_PING, undefined, { id: 3n });
    peer.send(0x0102, undefined, { id: 7n });
    await runtime.settle();
    expect((await peer.received()).map(({ type }) => type)).toContain(FrameType.HEARTBEAT_PONG);
    peer.write(...rest);
    await runtime.settle();
    const answer = (await peer.received()).find(({ type }) => type === FrameType.RPC_RESPONSE);
    expect([answer?.id, answer?.payload?.["result"]]).toEqual([7n, 100_000]);
  });

  test("takes an acknowledgement of more than was sent as one of all", async () => {
    const { runtime, peer, connection, acknowledge } = await toServer();
    acknowledge(Number.MAX_SAFE_INTEGER);
    connection.send("note", text(2 * MIB));
    await runtime.settle();
    const { length } = await peer.received();
    expect(length).toBeGreaterThanOrEqual(2);
    expect(length).toBeLessThan(32);
  });
});
