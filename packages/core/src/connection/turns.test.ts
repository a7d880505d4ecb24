import { expect, test } from "vitest";
import { idleConnection } from "../test-support/idle-link.ts";
import { StubStream } from "../test-support/stub-stream.ts";
import { FrameType } from "../wire/constants.ts";
import { FrameWriter } from "../wire/frame-writer.ts";

/** A link whose handlers answer at once, or by a promise, and what it writes. */
function scene() {
  const stream = new StubStream();
  const { link, runtime, registry } = idleConnection({}, stream);
  registry.addHandler({ type: "now", data: null, takesPeer: false, handler: () => "an answer" });
  registry.addHandler({ type: "later", data: null, takesPeer: false, handler: async () => "an answer" });
  const writer = new FrameWriter({ wallClock: () => 0, maxMessageBytes: 1000, compress: null });
  /** One chunk with a message of each type. */
  const chunk = (...types: string[]): Uint8Array => {
    const frames = types.map((type) => {
      writer.message(0, 0, type, null);
      return writer.bytes.slice(writer.start, writer.end);
    });
    return Uint8Array.from(frames.flatMap((frame) => [...frame]));
  };
  return { stream, link, runtime, chunk };
}

/** How many frames each write has. */
function framesOf({ writes }: StubStream): number[] {
  return writes.map((bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let frames = 0;
    for (let at = 0; at < bytes.length; at += 32 + view.getUint32(at + 12)) {
      expect(view.getUint16(at + 6)).toBe(FrameType.MESSAGE);
      frames += 1;
    }
    return frames;
  });
}

test("what is answered at once leaves with the chunk that asked for it, in one piece", () => {
  const { stream, link, chunk } = scene();
  link.data(chunk("now", "now", "now"));
  expect(framesOf(stream)).toEqual([3]);
});

test("what promises answer leaves at the end of the turn, in one piece", async () => {
  const { stream, link, runtime, chunk } = scene();
  link.data(chunk("later", "now", "later"));
  expect(framesOf(stream)).toEqual([1]);
  await runtime.settle();
  expect(framesOf(stream)).toEqual([1, 2]);
});

test("what the application sent before a chunk came leaves with what the chunk is answered, at the end of the turn", async () => {
  const { stream, link, runtime, chunk } = scene();
  link.sendMessage("news", 1);
  link.data(chunk("now"));
  expect(framesOf(stream)).toEqual([]);
  await runtime.settle();
  expect(framesOf(stream)).toEqual([2]);
});

test("what a stream has not taken is not written over by later answers", async () => {
  const { stream, link, chunk } = scene();
  stream.queuedBytes = 1;
  link.data(chunk("now"));
  const kept = stream.writes[0]?.slice();
  stream.queuedBytes = 0;
  link.data(chunk("now"));
  link.data(chunk("now"));
  expect([stream.writes[0], stream.writes[1]?.byteOffset === stream.writes[2]?.byteOffset]).toEqual([kept, true]);
  expect(stream.writes[1]?.byteOffset).not.toBe(stream.writes[0]?.byteOffset);
});
