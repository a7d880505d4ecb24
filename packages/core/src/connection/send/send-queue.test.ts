import { describe, expect, test } from "vitest";
import { ErrorCode } from "../../errors.ts";
import { type FakeRuntime, fakeRuntime } from "../../test-support/fake-runtime.ts";
import { outcome } from "../../test-support/peers.ts";
import { StubStream } from "../../test-support/stub-stream.ts";
import type { FrameBytes } from "../../wire/scattered-frame.ts";
import { RuntimeContext } from "../runtime-context.ts";
import { type Lane, SendQueue } from "./send-queue.ts";

interface Bench {
  readonly runtime: FakeRuntime;
  readonly runtimeContext: RuntimeContext;
  readonly stream: StubStream;
  readonly sendQueue: SendQueue;
  /** How often the owner heard that there is room. */
  readonly drains: () => number;
  /** Writes a frame of this text, each behind the one before in one slab, as the frame writer does. */
  push(text: string, lane?: Lane): void;
}

function bench(
  options: { readonly maxFrames?: number; readonly maxBytes?: number; readonly runtimeContext?: RuntimeContext } = {},
): Bench {
  const runtime = fakeRuntime();
  const runtimeContext = options.runtimeContext ?? new RuntimeContext(runtime);
  const stream = new StubStream();
  let drains = 0;
  const { maxFrames = 1000, maxBytes = 1_000_000 } = options;
  const sendQueue = new SendQueue(
    { runtimeContext, settings: { sendQueueSize: maxFrames, sendQueueBytes: maxBytes } },
    stream,
    {
      hasBacklog: false,
      sendQueueDrained: () => {
        drains += 1;
      },
    },
  );
  const slab = new Uint8Array(1_000_000);
  let used = 0;
  const push = (text: string, lane: Lane = "message"): void => {
    const start = used;
    for (const character of text) slab[used++] = character.charCodeAt(0);
    sendQueue.push({ bytes: slab, start, end: used, large: null }, lane);
  };
  return { runtime, runtimeContext, stream, sendQueue, drains: () => drains, push };
}

function frameOf(text: string): FrameBytes {
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  return { bytes, start: 0, end: bytes.length, large: null };
}

/** The stream says stop with the next write. */
async function block(at: Bench): Promise<void> {
  at.stream.takes = false;
  at.push("!");
  await at.runtime.settle();
  at.stream.writes.length = 0;
}

function unblock(at: Bench): void {
  at.stream.takes = true;
  at.sendQueue.streamDrained();
}

describe("a turn's frames", () => {
  test("leave in one write when the turn has settled", async () => {
    const at = bench();
    at.push("a");
    at.push("b", "reply");
    at.push("c", "urgent");
    expect(at.stream.writes).toHaveLength(0);
    await at.runtime.settle();
    expect(at.stream.writes.map((bytes) => String.fromCharCode(...bytes))).toEqual(["abc"]);
  });

  test("that are adjacent in the slab are written without a copy", async () => {
    const at = bench();
    const slab = new Uint8Array(100);
    at.sendQueue.push({ bytes: slab, start: 10, end: 20, large: null }, "message");
    at.sendQueue.push({ bytes: slab, start: 20, end: 40, large: null }, "message");
    await at.runtime.settle();
    expect(at.stream.writes.map((bytes) => [bytes.buffer === slab.buffer, bytes.byteOffset, bytes.length])).toEqual([
      [true, 10, 30],
    ]);
  });

  test("that are not adjacent are joined, in order, into one write", async () => {
    const at = bench();
    for (const text of ["one ", "two ", "three"]) at.sendQueue.push(frameOf(text), "message");
    await at.runtime.settle();
    expect(at.stream.writes.map((bytes) => String.fromCharCode(...bytes))).toEqual(["one two three"]);
  });

  test("a broadcast hands one and the same array to every connection", async () => {
    const { runtimeContext, runtime } = bench();
    const receivers = Array.from({ length: 3 }, () => bench({ runtimeContext }));
    const slab = new Uint8Array(100);
    for (const receiver of receivers)
      receiver.sendQueue.push({ bytes: slab, start: 32, end: 64, large: null }, "message");
    for (const receiver of receivers)
      receiver.sendQueue.push({ bytes: slab, start: 64, end: 96, large: null }, "message");
    await runtime.settle();
    const written = receivers.map((receiver) => receiver.stream.writes[0]);
    expect(new Set(written).size).toBe(1);
    expect(written[0]?.length).toBe(64);
  });

  test("a whole array is handed on as it is", async () => {
    const at = bench();
    const frame = frameOf("whole");
    at.sendQueue.push(frame, "message");
    await at.runtime.settle();
    expect(at.stream.writes[0]).toBe(frame.bytes);
  });

  test("of 64 KiB and more are written without waiting for the turn's end", () => {
    const at = bench();
    at.push("x".repeat(65_536));
    expect(at.stream.writes).toHaveLength(1);
  });

  test("of a kibibyte and more begin to leave before its end, in writes that double", async () => {
    const at = bench();
    for (let count = 0; count < 130; count += 1) at.push("x".repeat(1000));
    await at.runtime.settle();
    expect(at.stream.writes.map((bytes) => bytes.length)).toEqual([2000, 3000, 5000, 9000, 17_000, 33_000, 61_000]);
    at.stream.writes.length = 0;
    for (let count = 0; count < 3; count += 1) at.push("x".repeat(1000));
    await at.runtime.settle();
    expect(at.stream.writes.map((bytes) => bytes.length)).toEqual([2000, 1000]);
  });

  test("are not gathered behind a stream that says stop: a loop that sends cannot fill the memory", () => {
    const at = bench();
    at.stream.takes = false;
    for (let count = 0; count < 100; count += 1) at.sendQueue.push(frameOf("x".repeat(10_000)), "message");
    expect([at.stream.writes.map((bytes) => bytes.length), at.sendQueue.queuedFrames]).toEqual([[10_000], 99]);
  });

  test("that are not adjacent count as buffered too", () => {
    const at = bench();
    for (const text of ["one", "two"]) at.sendQueue.push(frameOf(text), "message");
    expect(at.sendQueue.bufferedBytes).toBe(6);
  });

  test("count as buffered until they are written, and as sent from then on", async () => {
    const at = bench();
    at.push("four");
    expect([at.sendQueue.bufferedBytes, at.sendQueue.bytesSent]).toEqual([4, 0]);
    await at.runtime.settle();
    expect([at.sendQueue.bufferedBytes, at.sendQueue.bytesSent]).toEqual([0, 4]);
  });

  test("what the stream holds counts as buffered", () => {
    const at = bench();
    at.stream.queuedBytes = 7;
    expect(at.sendQueue.bufferedBytes).toBe(7);
  });
});

describe("a stream that says stop", () => {
  test("is not written to until it drains; order is kept", async () => {
    const at = bench();
    await block(at);
    for (const text of ["a", "b"]) at.push(text);
    await at.runtime.settle();
    at.push("c", "reply");
    expect([at.stream.text, at.sendQueue.queuedFrames]).toEqual(["", 3]);
    unblock(at);
    at.push("d");
    await at.runtime.settle();
    expect(at.stream.text).toBe("abcd");
  });

  test("in the middle of a turn takes nothing more of it", async () => {
    const at = bench();
    at.stream.takes = false;
    at.push("x".repeat(65_536));
    at.push("y");
    await at.runtime.settle();
    expect([at.stream.writes.length, at.sendQueue.queuedFrames]).toEqual([1, 1]);
  });

  test("that drains a little and stops again keeps the rest waiting", async () => {
    const at = bench();
    await block(at);
    at.push("a".repeat(20_000));
    at.push("b".repeat(20_000));
    at.sendQueue.streamDrained();
    expect([at.stream.text[0], at.stream.writes.length, at.sendQueue.queuedFrames]).toEqual(["a", 1, 1]);
  });

  test("one PAUSE or RESUME waits at most: the second takes the first back, and neither counts as an answer", async () => {
    const at = bench({ maxFrames: 2 });
    await block(at);
    for (let turns = 0; turns < 50; turns += 1) {
      at.push("PAUSE ", "flow");
      at.push("RESUME ", "flow");
    }
    at.push("PAUSE ", "flow");
    expect([at.sendQueue.isBackedUp, at.sendQueue.queuedFrames]).toEqual([false, 0]);
    at.push("ping ", "urgent");
    at.push("message");
    unblock(at);
    expect(at.stream.text).toBe("PAUSE ping message");
  });

  test("urgent frames overtake what waits, in their own order", async () => {
    const at = bench();
    await block(at);
    at.push("message");
    at.push("1", "urgent");
    at.push("2", "urgent");
    unblock(at);
    expect(at.stream.text).toBe("12message");
  });

  test("the owner hears when there is room again", async () => {
    const at = bench();
    await block(at);
    at.push("a");
    expect(at.drains()).toBe(0);
    unblock(at);
    expect(at.drains()).toBe(1);
  });
});

describe("the bounds", () => {
  test("messages that wait are counted against the number allowed", async () => {
    const at = bench({ maxFrames: 2 });
    await block(at);
    at.push("a");
    expect(at.sendQueue.accepts).toBe(true);
    at.push("b");
    expect(at.sendQueue.accepts).toBe(false);
  });

  test("bytes that wait are counted against the bytes allowed", async () => {
    const at = bench({ maxBytes: 10 });
    await block(at);
    at.push("aaaaa");
    expect(at.sendQueue.accepts).toBe(true);
    at.push("bbbbb");
    expect(at.sendQueue.accepts).toBe(false);
  });

  test("a queue that is not full accepts a message of any size", async () => {
    const at = bench({ maxBytes: 10 });
    await block(at);
    at.push("a");
    expect(at.sendQueue.accepts).toBe(true);
    at.push("b".repeat(1000));
    expect(at.sendQueue.accepts).toBe(false);
  });

  test("an unblocked stream accepts everything", () => {
    const at = bench({ maxFrames: 1 });
    for (const text of ["a", "b", "c"]) at.push(text);
    expect([at.sendQueue.accepts, at.sendQueue.isCongested]).toEqual([true, false]);
  });

  test("from 80 percent on it is congested, and room() waits until half of it has left", async () => {
    const at = bench({ maxFrames: 10 });
    await block(at);
    for (const text of "abcdefg") at.push(text);
    expect(at.sendQueue.isCongested).toBe(false);
    await at.sendQueue.room();
    at.push("h");
    expect(at.sendQueue.isCongested).toBe(true);
    const room = outcome(at.sendQueue.room());
    await at.runtime.settle();
    expect(room.state).toBe("pending");
    unblock(at);
    await at.runtime.settle();
    expect(room.state).toBe("resolved");
  });

  test("room() rejects with CONNECTION_CLOSED when the stream is over first, and from then on", async () => {
    const at = bench({ maxFrames: 1 });
    await block(at);
    at.push("a");
    const waiting = at.sendQueue.room();
    at.sendQueue.over();
    await expect(waiting).rejects.toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
    await expect(at.sendQueue.room()).rejects.toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
  });

  test.each(["reply", "urgent"] as const)("a peer that asks and never reads is seen by its %s frames", async (lane) => {
    const at = bench({ maxFrames: 10 });
    await block(at);
    for (let count = 0; count < 7; count += 1) at.push("p", lane);
    expect([at.sendQueue.isBackedUp, at.sendQueue.isOverwhelmed]).toEqual([false, false]);
    at.push("p", lane);
    expect([at.sendQueue.isBackedUp, at.sendQueue.isOverwhelmed]).toEqual([true, false]);
    for (let count = 0; count < 2; count += 1) at.push("p", lane);
    expect([at.sendQueue.isBackedUp, at.sendQueue.isOverwhelmed]).toEqual([true, true]);
  });

  test("answers are bounded in bytes too", async () => {
    const at = bench({ maxBytes: 10 });
    await block(at);
    at.push("0123456789", "reply");
    expect(at.sendQueue.isOverwhelmed).toBe(true);
  });

  test("messages of this side's own do not count as answers", async () => {
    const at = bench({ maxFrames: 2 });
    await block(at);
    for (const text of ["a", "b"]) at.push(text);
    expect([at.sendQueue.isCongested, at.sendQueue.isBackedUp]).toEqual([true, false]);
  });
});

describe("PAUSE and RESUME", () => {
  test("stop messages, not replies and not urgent frames", async () => {
    const at = bench();
    at.sendQueue.setPeerPaused(true);
    at.push("message");
    at.push("reply", "reply");
    at.push("urgent", "urgent");
    await at.runtime.settle();
    expect([at.stream.text, at.sendQueue.queuedFrames]).toEqual(["replyurgent", 1]);
  });

  test("release in order", async () => {
    const at = bench();
    at.sendQueue.setPeerPaused(true);
    for (const text of ["a", "b"]) at.push(text);
    at.sendQueue.setPeerPaused(false);
    at.push("c");
    await at.runtime.settle();
    expect(at.stream.text).toBe("abc");
  });

  test("keep the order of messages when both come within one turn", async () => {
    const at = bench();
    at.push("a");
    at.sendQueue.setPeerPaused(true);
    at.push("b");
    at.sendQueue.setPeerPaused(false);
    at.push("c");
    await at.runtime.settle();
    expect(at.stream.text).toBe("abc");
  });

  test("on a blocked stream: what was stopped goes behind what waited", async () => {
    const at = bench();
    await block(at);
    at.push("a");
    at.sendQueue.setPeerPaused(true);
    at.push("c");
    at.push("b", "reply");
    at.sendQueue.setPeerPaused(false);
    at.push("d");
    unblock(at);
    expect(at.stream.text).toBe("abcd");
  });

  test("messages that are stopped fill the queue", () => {
    const at = bench({ maxFrames: 2 });
    at.sendQueue.setPeerPaused(true);
    for (const text of ["a", "b"]) at.push(text);
    expect([at.sendQueue.accepts, at.sendQueue.isCongested]).toEqual([false, true]);
  });

  test("messages that are stopped do not keep replies back: the peer reads, it only wants no more messages", () => {
    const at = bench({ maxFrames: 2 });
    at.sendQueue.setPeerPaused(true);
    for (const text of ["a", "b"]) at.push(text);
    expect([at.sendQueue.isCongested, at.sendQueue.isBackedUp]).toEqual([true, false]);
  });

  test("RESUME without a PAUSE changes nothing", () => {
    const at = bench();
    at.sendQueue.setPeerPaused(false);
    expect(at.sendQueue.queuedFrames).toBe(0);
  });
});

describe("hold and release", () => {
  test("what was pushed before the hold still leaves, what comes after waits", async () => {
    const at = bench();
    at.push("a");
    at.sendQueue.hold();
    at.push("b");
    at.push("p", "urgent");
    await at.runtime.settle();
    expect(at.stream.text).toBe("a");
    at.sendQueue.release();
    await at.runtime.settle();
    expect(at.stream.text).toBe("apb");
  });

  test("release without a hold changes nothing", () => {
    const at = bench();
    at.sendQueue.release();
    expect(at.drains()).toBe(0);
  });

  test("a stream that drains while frames are held gets none of them", async () => {
    const at = bench();
    await block(at);
    at.sendQueue.hold();
    at.push("b");
    unblock(at);
    expect(at.stream.text).toBe("");
    at.sendQueue.release();
    expect(at.stream.text).toBe("b");
  });
});

describe("end", () => {
  test("writes what the turn gathered, then closes the stream", () => {
    const at = bench();
    at.push("last");
    at.sendQueue.end();
    expect([at.stream.text, at.stream.closeCalls]).toEqual(["last", 1]);
  });

  test("flushes held frames and messages that PAUSE stopped, in order", () => {
    const at = bench();
    at.sendQueue.setPeerPaused(true);
    at.sendQueue.hold();
    at.push("b");
    at.push("a", "reply");
    at.sendQueue.end();
    expect([at.stream.text, at.stream.closeCalls]).toEqual(["ab", 1]);
  });

  test("waits for a blocked stream", async () => {
    const at = bench();
    await block(at);
    at.push("a");
    at.sendQueue.end();
    expect(at.stream.closeCalls).toBe(0);
    unblock(at);
    expect([at.stream.text, at.stream.closeCalls]).toEqual(["a", 1]);
  });

  test("accepts nothing more, and ends once", async () => {
    const at = bench();
    at.sendQueue.end();
    at.sendQueue.end();
    at.push("late");
    at.push("later", "urgent");
    await at.runtime.settle();
    expect([at.stream.text, at.stream.closeCalls]).toEqual(["", 1]);
  });

  test("of a stream that is over discards what waits", async () => {
    const at = bench();
    await block(at);
    at.push("a");
    at.push("b", "urgent");
    at.sendQueue.over();
    unblock(at);
    expect([at.stream.text, at.sendQueue.queuedFrames, at.stream.closeCalls]).toEqual(["", 0, 0]);
  });

  test("room() that waits when the end begins rejects once the stream is over", async () => {
    const at = bench({ maxFrames: 1 });
    await block(at);
    at.push("a");
    const room = outcome(at.sendQueue.room());
    at.sendQueue.end();
    unblock(at);
    at.sendQueue.over();
    await at.runtime.settle();
    expect([room.state, room.error?.code]).toEqual(["rejected", ErrorCode.CONNECTION_CLOSED]);
  });
});
