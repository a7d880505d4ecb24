/** Order of outgoing and queued frames, as seen from both ends of a connection. */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { MemoryPairOptions } from "../../bytes/memory-pair.ts";
import { runtimeContextOf } from "../../context/runtime-context.ts";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { outcome, testServer } from "../../test-support/peers.ts";
import { rawClient } from "../../test-support/raw-memory.ts";
import { StubStream } from "../../test-support/stub-stream.ts";
import { frame, type ReceivedFrame, typeName } from "../../testing/raw-frames.ts";
import { FrameType } from "../../wire/constants.ts";
import { SendCredit } from "./send-credit.ts";
import { SendQueue } from "./send-queue.ts";

interface SceneOptions {
  readonly stream?: MemoryPairOptions;
  readonly server?: Parameters<typeof testServer>[1];
}

/** Starts a server with a method `echo` and a raw client. */
async function scene({ stream, server: options }: SceneOptions = {}) {
  const runtime = fakeRuntime(stream);
  const { server, port } = await testServer(runtime, options, (fresh) => fresh.rpc("echo", ({ n }) => n));
  const peer = await rawClient(runtime, port);
  const connection = server.connections[0] as (typeof server.connections)[0];
  /** Pauses the peer and fills the stream. */
  const block = async (): Promise<void> => {
    peer.pause();
    connection.send("filler", "x".repeat(70_000));
    await runtime.settle();
  };
  const pausedByPeer = async (): Promise<void> => {
    peer.send(FrameType.PAUSE);
    await runtime.settle();
  };
  return { runtime, server, peer, connection, block, pausedByPeer };
}

/** Returns the data of messages, the results of replies and the names of other frames, without fillers. */
function read(frames: readonly ReceivedFrame[]): unknown[] {
  const seen: unknown[] = [];
  for (const received of frames) {
    const { payload } = received;
    if (received.type === FrameType.RPC_RESPONSE) seen.push(payload?.["result"]);
    else if (received.type !== FrameType.MESSAGE) seen.push(typeName(received));
    else if (payload?.["type"] !== "filler") seen.push(brief(payload?.["data"]));
  }
  return seen;
}

/** Replaces large binaries by digests, which compare faster. */
function brief(data: unknown): unknown {
  if (!(data instanceof Uint8Array)) return data;
  return `${data.length} bytes, ${createHash("sha256").update(data).digest("hex")}`;
}

/** Returns bytes that differ from their neighbours and from those of other seeds. */
function binary(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index += 1) bytes[index] = index * 31 + seed + (index >> 8);
  return bytes;
}

describe("a peer that does not read", () => {
  test("gets messages and replies in the order in which they were made, once it reads", async () => {
    const { runtime, peer, connection, block } = await scene();
    await block();
    const expected: unknown[] = [];
    for (let n = 0; n < 200; n += 2) {
      connection.send("n", n);
      peer.call("echo", { n: n + 1 }, n + 1);
      await runtime.settle();
      expected.push(n, n + 1);
    }
    peer.resume();
    expect(read(await peer.received())).toEqual(expected);
  });

  test("gets a PONG ahead of what waits", async () => {
    const { runtime, peer, connection, block } = await scene();
    await block();
    connection.send("n", 1);
    peer.send(FrameType.HEARTBEAT_PING);
    await runtime.settle();
    peer.resume();
    expect(read(await peer.received())).toEqual(["HEARTBEAT_PONG", 1]);
  });

  test("gets what is sent while the stream drains behind what waited", async () => {
    const { peer, connection, block } = await scene();
    await block();
    connection.send("n", "x".repeat(100_000));
    peer.resume();
    connection.send("n", "last");
    expect(read(await peer.received())).toEqual(["x".repeat(100_000), "last"]);
  });

  test("makes bufferedBytes grow by what waits; it is 0 once all has left", async () => {
    const { peer, connection, block } = await scene();
    expect(connection.bufferedBytes).toBe(0);
    await block();
    const before = connection.bufferedBytes;
    expect(before).toBeGreaterThan(70_000);
    connection.send("n", "x".repeat(1000));
    expect(connection.bufferedBytes - before).toBeGreaterThan(1000);
    peer.resume();
    await peer.received();
    expect(connection.bufferedBytes).toBe(0);
  });

  test("costs nothing once the connection has ended, although the application keeps it", async () => {
    const { runtime, peer, connection, block } = await scene();
    await block();
    connection.send("n", "x".repeat(100_000));
    connection.send("n", binary(1024 * 1024, 1));
    const drained = outcome(connection.drained());
    peer.reset();
    await runtime.settle();
    expect([connection.isConnected, connection.bufferedBytes, drained.state]).toEqual([false, 0, "resolved"]);
  });

  test("makes send return false from 80 percent of the queue on, and drained() wait for half of it", async () => {
    const { runtime, peer, connection, block } = await scene({ server: { sendQueueSize: 10 } });
    await block();
    const room = Array.from({ length: 8 }, (_, n) => connection.send("n", n));
    expect(room).toEqual([true, true, true, true, true, true, true, false]);
    const drained = outcome(connection.drained());
    await runtime.settle();
    expect(drained.state).toBe("pending");
    peer.resume();
    await runtime.settle();
    expect(drained.state).toBe("resolved");
  });

  test("may be sent a message of any size while the queue has room, and none when it has not", async () => {
    const maxMessageBytes = 200_000;
    const { connection, block } = await scene({ server: { maxMessageBytes, sendQueueBytes: 210_000 } });
    await block();
    connection.send("n", "x".repeat(150_000));
    connection.send("n", "x".repeat(150_000));
    expect(() => connection.send("n")).toThrow(/send queue/);
  });
});

describe("the peer's PAUSE", () => {
  test("stops messages, and neither replies nor PONGs", async () => {
    const { peer, connection, pausedByPeer } = await scene();
    await pausedByPeer();
    connection.send("n", 1);
    peer.call("echo", { n: 2 });
    peer.send(FrameType.HEARTBEAT_PING);
    expect(read(await peer.received()).sort()).toEqual([2, "HEARTBEAT_PONG"]);
    peer.send(FrameType.RESUME);
    expect(read(await peer.received())).toEqual([1]);
  });

  test("keeps what was sent before it ahead of what was sent during it and after it", async () => {
    const { peer, connection, pausedByPeer } = await scene();
    connection.send("n", 1);
    await pausedByPeer();
    connection.send("n", 2);
    connection.send("n", 3);
    peer.send(FrameType.RESUME);
    expect(read(await peer.received())).toEqual([1, 2, 3]);
    connection.send("n", 4);
    expect(read(await peer.received())).toEqual([4]);
  });

  test("puts the messages it stopped behind the replies that waited for the peer to read", async () => {
    const { runtime, peer, connection, block, pausedByPeer } = await scene();
    await block();
    connection.send("n", 1);
    await pausedByPeer();
    connection.send("n", 3);
    peer.call("echo", { n: 2 });
    peer.send(FrameType.RESUME);
    await runtime.settle();
    connection.send("n", 4);
    peer.resume();
    expect(read(await peer.received())).toEqual([1, 2, 3, 4]);
  });

  test("keeps the order of messages when it is taken back within the chunk that brought it", async () => {
    const { server, peer } = await scene();
    server.on("repeat", (client, n) => void client.send("n", n));
    const repeat = (n: number): Uint8Array => frame(FrameType.MESSAGE, { type: "repeat", data: n });
    const [pause, resume] = [frame(FrameType.PAUSE), frame(FrameType.RESUME)];
    peer.write(repeat(1), pause, repeat(2), resume, repeat(3));
    expect(read(await peer.received())).toEqual([1, 2, 3]);
  });

  test("that was not said changes nothing when it is taken back", async () => {
    const { peer, connection } = await scene();
    peer.send(FrameType.RESUME);
    connection.send("n", 1);
    expect(read(await peer.received())).toEqual([1]);
  });
});

describe("large binary data", () => {
  const streams: readonly (readonly [string, MemoryPairOptions])[] = [
    ["takes everything", { highWaterMark: 100_000_000 }],
    ["takes one piece", { highWaterMark: 1 }],
    ["takes 100,000 bytes", { highWaterMark: 100_000 }],
  ];

  test.each(streams)("arrives whole among other messages over a stream that %s", async (_how, stream) => {
    const { runtime, peer, connection } = await scene({ stream });
    const sent = [
      "first",
      binary(1_300_000, 1),
      "middle",
      binary(70_000, 2),
      { a: [new Uint8Array(20_000), 1] },
      "last",
    ];
    peer.pause();
    for (const data of sent) connection.send("n", data);
    await runtime.settle();
    peer.resume();
    expect(read(await peer.received())).toEqual(sent.map(brief));
  });

  test.each(streams)("is the application's again at once over a stream that %s", async (_how, stream) => {
    const { peer, connection } = await scene({ stream });
    const data = binary(300_000, 1);
    const before = data.slice();
    connection.send("n", data);
    connection.send("n", data);
    data.fill(0);
    expect(read(await peer.received())).toEqual([brief(before), brief(before)]);
  });

  test("is the application's again at once while the peer's PAUSE stops it", async () => {
    const { peer, connection, pausedByPeer } = await scene();
    await pausedByPeer();
    const data = binary(100_000, 1);
    const before = data.slice();
    connection.send("n", data);
    data.fill(0);
    peer.send(FrameType.RESUME);
    expect(read(await peer.received())).toEqual([brief(before)]);
  });

  test("is not cut in two by a PONG", async () => {
    const { runtime, peer, connection } = await scene({ stream: { highWaterMark: 100_000 } });
    const data = binary(2_000_000, 1);
    peer.pause();
    connection.send("n", data);
    peer.send(FrameType.HEARTBEAT_PING);
    await runtime.settle();
    peer.resume();
    expect(read(await peer.received())).toEqual([brief(data), "HEARTBEAT_PONG"]);
  });

  test("isn't overwritten while a stream may still send it, also after the connection has ended", async () => {
    const runtime = fakeRuntime();
    const context = runtimeContextOf(runtime);
    const stream = new StubStream();
    stream.takes = false;
    const settings = { sendQueueSize: 10, sendQueueBytes: 10_000_000 };
    const events = { countHeldBytes: () => undefined, sendQueueDrained: () => undefined, heldChanged: () => undefined };
    const queue = new SendQueue({ context, stream, settings, ...events });
    const writer = context.writer(10_000_000, false);
    writer.message(0, 0, "n", binary(600_000, 1));
    queue.push(writer, "message");
    stream.queuedBytes = 600_000;
    const sent = stream.writes.map((bytes) => bytes.slice());
    queue.over();
    // Other connections borrow memory and write to it.
    for (let count = 0; count < 4; count += 1) context.buffers.take(512 * 1024).fill(0);
    expect(stream.writes.map((bytes, index) => Buffer.compare(bytes, sent[index] as Uint8Array))).toEqual([0]);
  });

  test("counts as one message, and with all of its bytes, while a part of it waits", async () => {
    const { runtime, peer, connection } = await scene({ server: { sendQueueSize: 2 } });
    peer.pause();
    const data = binary(1_000_000, 1);
    expect(connection.send("n", data)).toBe(true);
    await runtime.settle();
    expect(connection.bufferedBytes).toBeGreaterThan(data.length);
    expect(connection.send("n", 1)).toBe(false);
    expect(() => connection.send("n", 2)).toThrow(/send queue holds 2 messages/);
  });

  test("is flushed before a connection that closes ends", async () => {
    const { runtime, peer, connection } = await scene({ stream: { highWaterMark: 100_000 } });
    const data = binary(2_000_000, 1);
    peer.pause();
    connection.send("n", data);
    void connection.close();
    await runtime.settle();
    peer.resume();
    expect(read(await peer.received())).toEqual([brief(data), "CLOSE"]);
    expect(peer.ended).toBeNull();
  });
});

describe("what waited for a peer that reads at last", () => {
  /** Creates a queue with 40 waiting replies of 50 KB, with its turns of the event loop. */
  function backlogScene() {
    const runtime = fakeRuntime();
    const turns: (() => void)[] = [];
    runtime.nextTurn = (task) => turns.push(task);
    const stream = new StubStream();
    const context = runtimeContextOf(runtime);
    const settings = { sendQueueSize: 1000, sendQueueBytes: 10_000_000 };
    const events = { countHeldBytes: () => undefined, sendQueueDrained: () => undefined, heldChanged: () => undefined };
    const queue = new SendQueue({ context, stream, settings, ...events });
    const writer = context.writer(10_000_000, false);
    const reply = (data: unknown): void => {
      writer.message(0, 0, "n", data);
      queue.push(writer, "reply");
    };
    stream.takes = false;
    reply("x".repeat(70_000));
    for (let n = 0; n < 40; n += 1) reply(n + "x".repeat(50_000));
    stream.writes.length = 0;
    stream.takes = true;
    queue.streamDrained();
    const written = (): number => stream.writes.reduce((sum, bytes) => sum + bytes.length, 0);
    return { stream, queue, turns, reply, written };
  }

  test("leaves in several turns of the event loop, so that others are served in between", () => {
    const { turns, written } = backlogScene();
    const steps: number[] = [];
    for (let before = 0; turns.length > 0 || before < written(); turns.shift()?.()) {
      steps.push(written() - before);
      before = written();
    }
    expect(Math.max(...steps)).toBeLessThan(350_000);
    expect(written()).toBeGreaterThan(2_000_000);
  });

  test("is not overtaken by replies that are made meanwhile", () => {
    const { stream, turns, reply } = backlogScene();
    reply("the last");
    while (turns.length > 0) turns.shift()?.();
    expect(Buffer.from(stream.writes.at(-1) as Uint8Array).includes("the last")).toBe(true);
    expect(stream.writes.filter((bytes) => Buffer.from(bytes).includes("the last"))).toHaveLength(1);
  });

  test("is flushed before the stream closes, and dropped when it has ended", () => {
    const closing = backlogScene();
    closing.queue.end();
    expect(closing.stream.closeCalls).toBe(0);
    while (closing.turns.length > 0) closing.turns.shift()?.();
    expect([closing.stream.closeCalls, closing.written() > 2_000_000]).toEqual([1, true]);

    const ended = backlogScene();
    const before = ended.written();
    ended.queue.over();
    while (ended.turns.length > 0) ended.turns.shift()?.();
    expect(ended.written()).toBe(before);
  });
});

const step = fc.oneof(
  { weight: 6, arbitrary: fc.constant("message" as const) },
  { weight: 2, arbitrary: fc.constant("large" as const) },
  { weight: 6, arbitrary: fc.constant("call" as const) },
  { weight: 2, arbitrary: fc.constant("ping" as const) },
  { weight: 2, arbitrary: fc.constant("pause" as const) },
  { weight: 2, arbitrary: fc.constant("resume" as const) },
  { weight: 2, arbitrary: fc.constant("stop reading" as const) },
  { weight: 2, arbitrary: fc.constant("read" as const) },
  { weight: 4, arbitrary: fc.constant("settle" as const) },
);

interface Tally {
  readonly messages: unknown[];
  readonly replies: unknown[];
  pongs: number;
}

async function playOn(
  { runtime, peer, connection }: Awaited<ReturnType<typeof scene>>,
  steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[],
): Promise<Tally> {
  const expected: Tally = { messages: [], replies: [], pongs: 0 };
  for (const [n, what] of steps.entries()) {
    if (what === "message" || what === "large") {
      const data = what === "large" ? binary(40_000, n) : n;
      connection.send("n", data);
      expected.messages.push(brief(data));
    } else if (what === "call") {
      peer.call("echo", { n }, n + 1);
      expected.replies.push(n);
    } else if (what === "ping") {
      peer.send(FrameType.HEARTBEAT_PING);
      expected.pongs += 1;
    } else if (what === "pause") peer.send(FrameType.PAUSE);
    else if (what === "resume") peer.send(FrameType.RESUME);
    else if (what === "stop reading") peer.pause();
    else if (what === "read") peer.resume();
    else await runtime.settle();
  }
  peer.send(FrameType.RESUME);
  peer.resume();
  return expected;
}

function tallyOf(frames: readonly ReceivedFrame[]): Tally {
  const messages = frames.filter(({ type }) => type === FrameType.MESSAGE);
  const replies = frames.filter(({ type }) => type === FrameType.RPC_RESPONSE);
  return {
    messages: messages.map(({ payload }) => brief(payload?.["data"])),
    replies: replies.map(({ payload }) => payload?.["result"]),
    pongs: frames.filter(({ type }) => type === FrameType.HEARTBEAT_PONG).length,
  };
}

test("messages and replies each keep their order and none is lost, whatever waits for whom", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.constantFrom(1, 200, 65_536),
      async (steps, highWaterMark) => {
        const at = await scene({ stream: { highWaterMark } });
        const expected = await playOn(at, steps);
        expect(tallyOf(await at.peer.received())).toEqual(expected);
      },
    ),
  );
});

describe("whenPassing", () => {
  function scene() {
    const context = runtimeContextOf(fakeRuntime());
    const stream = new StubStream();
    const settings = { sendQueueSize: 10, sendQueueBytes: 10_000_000 };
    const events = { countHeldBytes: () => undefined, sendQueueDrained: () => undefined, heldChanged: () => undefined };
    const queue = new SendQueue({ context, stream, settings, ...events });
    const writer = context.writer(10_000_000, false);
    const send = (): void => {
      writer.message(0, 0, "n", "data");
      queue.push(writer, "message");
      queue.flush();
    };
    let hasPassed = false;
    const passed = async (): Promise<boolean> => {
      await new Promise((resolve) => setImmediate(resolve));
      return hasPassed;
    };
    const wait = (): void => void queue.whenPassing().then(() => (hasPassed = true));
    return { stream, queue, send, wait, passed };
  }

  test("resolves when the stream takes more, also if nothing else waits", async () => {
    const { stream, queue, send, wait, passed } = scene();
    stream.takes = false;
    send();
    wait();
    expect(await passed()).toBe(false);
    stream.takes = true;
    queue.streamDrained();
    expect(await passed()).toBe(true);
  });

  test("resolves when the peer returns credit, also if no message waits for it", async () => {
    const { queue, send, wait, passed } = scene();
    queue.useCredit(new SendCredit(1, 1000));
    send();
    wait();
    expect(await passed()).toBe(false);
    queue.addCredit(1, 1000);
    expect(await passed()).toBe(true);
  });

  test("resolves when the stream has ended", async () => {
    const { stream, queue, send, wait, passed } = scene();
    stream.takes = false;
    send();
    wait();
    queue.over();
    expect(await passed()).toBe(true);
  });
});
