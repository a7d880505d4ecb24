import { encode } from "@msgpack/msgpack";
import { describe, expect, test } from "vitest";
import { RuntimeContext } from "../../context/runtime-context.ts";
import { ConduitError, ErrorCode } from "../../errors.ts";
import type { Schema } from "../../rpc/schema.ts";
import { Validator } from "../../rpc/validation.ts";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { rawFrame } from "../../testing/raw-frames.ts";
import { FrameDecoder } from "../../wire/frame-decoder.ts";
import { anyFrameType } from "../../wire/frame-types.ts";
import { StreamFlag, StreamFrame } from "./stream-frames.ts";
import { StreamReceiver } from "./stream-receiver.ts";

const MIB = 1024 * 1024;

const strings: Schema<string> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => (typeof value === "string" ? { value } : { issues: [{ message: "no string" }] }),
  },
};

/** Creates a stream of strings, with the bytes that its connection counts for it. */
function stringStream(window: number = MIB) {
  const counted = { held: 0, window, overdraft: 0 };
  const returned: number[] = [];
  const host = {
    reader: new RuntimeContext(fakeRuntime()).reader(MIB, false),
    maxReceivedItemBytes: MIB,
    takeWindow: () => 0,
    returnWindow: (bytes: number) => {
      counted.window -= bytes;
    },
    countReceivedOverdraft: (change: number) => {
      counted.overdraft += change;
      return false;
    },
    countHeld: (change: number) => {
      counted.held += change;
    },
    passTurn: () => null,
  };
  const stream = { name: "strings", returnCredit: (bytes: number) => returned.push(bytes), stopped: () => undefined };
  const receiver = new StreamReceiver(host, stream, window, new Validator(strings, "data"));
  receiver.granted();
  const receiveFrames = (...all: Uint8Array[]): void => {
    const frames = new FrameDecoder(MIB, anyFrameType);
    for (const frame of all) frames.push(frame);
    while (frames.next()) receiver.receive(frames);
  };
  const receive = (...values: unknown[]): void =>
    receiveFrames(...values.map((value) => rawFrame(StreamFrame.INPUT, encode(value))));
  return { receiver, counted, returned, receive, receiveFrames };
}

/** First part of an item that continues in another frame. */
const partOfItem = (): Uint8Array =>
  rawFrame(StreamFrame.INPUT, encode("x".repeat(100_000)).subarray(0, 65_536), { flags: StreamFlag.MORE });

describe("a stream that ends within an item", () => {
  test("fails behind the items that are complete, and nothing stays counted as held", async () => {
    const { receiver, counted, receive, receiveFrames } = stringStream();
    receive("one");
    receiveFrames(partOfItem());
    receiver.end(null);
    expect(await receiver.next()).toEqual({ done: false, value: "one" });
    await expect(receiver.next()).rejects.toMatchObject({ code: ErrorCode.TRUNCATED_PAYLOAD });
    expect([await receiver.next(), counted.held]).toEqual([{ done: true, value: undefined }, 0]);
  });

  test("has the peer's error, if there is one", async () => {
    const { receiver, counted, receiveFrames } = stringStream();
    receiveFrames(partOfItem());
    receiver.end(new ConduitError(ErrorCode.CONNECTION_CLOSED, "Closed"));
    await expect(receiver.next()).rejects.toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
    expect(counted.held).toBe(0);
  });

  test("ends well if the application had left", async () => {
    const { receiver, counted, receiveFrames } = stringStream();
    receiveFrames(partOfItem());
    receiver.stop();
    receiveFrames(partOfItem());
    receiver.end(null);
    expect([await receiver.next(), counted.held]).toEqual([{ done: true, value: undefined }, 0]);
  });
});

describe("an item that fails its schema", () => {
  test("leaves nothing counted as held", async () => {
    const { receiver, counted, receive } = stringStream();
    receive("one", 2, "three");
    expect(await receiver.next()).toEqual({ done: false, value: "one" });
    await expect(receiver.next()).rejects.toMatchObject({ code: ErrorCode.VALIDATION });
    expect(counted.held).toBe(0);
  });

  test("rejects the next that waits for it", async () => {
    const { receiver, counted, receive } = stringStream();
    const step = receiver.next();
    receive(1);
    await expect(step).rejects.toMatchObject({ code: ErrorCode.VALIDATION });
    expect([await receiver.next(), counted.held]).toEqual([{ done: true, value: undefined }, 0]);
  });
});

describe("what the connection has granted", () => {
  const NOTHING = { held: 0, window: 0, overdraft: 0 };

  test("returns with the items that are taken after the peer's end", async () => {
    const { receiver, counted, receive } = stringStream();
    receive("one", "two");
    receiver.end(null);
    expect(counted.window).toBeLessThan(1000);
    for (let n = 0; n < 3; n += 1) await receiver.next();
    expect(counted).toEqual(NOTHING);
  });

  test("returns when the application leaves items behind after the peer's end, or before it", () => {
    const [after, before] = [stringStream(), stringStream()];
    for (const { receive } of [after, before]) receive("one", "two");
    after.receiver.end(null);
    after.receiver.stop();
    before.receiver.stop();
    before.receiver.end(null);
    expect([after.counted, before.counted]).toEqual([NOTHING, NOTHING]);
  });

  test("returns with the overdraft of an item that was larger than the window", async () => {
    const { receiver, counted, receive } = stringStream(1000);
    receive("x".repeat(50_000));
    expect(counted.overdraft).toBeGreaterThan(49_000);
    receiver.end(null);
    await receiver.next();
    expect(counted).toEqual(NOTHING);
  });

  test("is granted again when half of it has been taken, so that the peer needn't stop", async () => {
    const { receiver, returned, receive } = stringStream(1000);
    // With their headers, they take 94 bytes each.
    receive(...Array.from({ length: 10 }, () => "x".repeat(60)));
    for (let n = 0; n < 4; n += 1) await receiver.next();
    expect(returned).toEqual([]);
    for (let n = 4; n < 8; n += 1) await receiver.next();
    expect(returned.length).toBe(1);
    expect(returned[0]).toBeGreaterThanOrEqual(500);
  });
});
