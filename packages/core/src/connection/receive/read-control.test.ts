import { expect, test } from "vitest";
import { RuntimeContext } from "../../context/runtime-context.ts";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { ReadControl, type ReadHost } from "./read-control.ts";

/** Creates a read control and logs its calls of the stream. */
function bench() {
  const runtime = fakeRuntime();
  const [stream] = runtime.pair();
  const events: string[] = [];
  stream.pause = () => void events.push("pause");
  stream.resume = () => void events.push("resume");
  const state = { isOver: false };
  const host: ReadHost = {
    context: new RuntimeContext(runtime),
    stream,
    settings: { receiveQueueBytes: 1000, sendQueueBytes: 1000 },
    get isOver() {
      return state.isOver;
    },
    isHandshaking: false,
    pendingCalls: 0,
    sendQueue: { isHeldByPeer: false, replyBytes: 0 },
    scheduler: { queuedHandlers: 0, queuedBytes: 0 },
    readingChanged: () => undefined,
    pump: () => void events.push("pump"),
  };
  return { runtime, reading: new ReadControl(host), events, state };
}

test("a stream that is stopped while it waits for its rate is read once both allow it", async () => {
  const { runtime, reading, events } = bench();
  reading.throttle(1000);
  reading.stop();
  await runtime.advance(2000);
  expect([reading.isThrottled, reading.isReading, events]).toEqual([false, false, ["pause", "pump"]]);
  reading.start();
  expect([reading.isReading, events]).toEqual([true, ["pause", "pump", "resume"]]);
});

test("a stream that may be read again while it waits for its rate waits on", async () => {
  const { runtime, reading, events } = bench();
  reading.stop();
  reading.throttle(1000);
  reading.start();
  expect([reading.isReading, events]).toEqual([false, ["pause"]]);
  await runtime.advance(2000);
  expect([reading.isReading, events]).toEqual([true, ["pause", "resume", "pump"]]);
});

test("a stream that waits for its rate isn't made to wait longer", async () => {
  const { runtime, reading } = bench();
  reading.throttle(1000);
  reading.throttle(10_000);
  await runtime.advance(2000);
  expect(reading.isReading).toBe(true);
});

test("a stream that is read for a reply isn't decoded if its connection ends before that", async () => {
  const { runtime, reading, events, state } = bench();
  reading.stop();
  reading.startForReply();
  state.isOver = true;
  await runtime.settle();
  expect(events).toEqual(["pause", "resume"]);
});
