import { encode } from "@msgpack/msgpack";
import { describe, expect, test } from "vitest";
import { RuntimeContext } from "../../context/runtime-context.ts";
import { ErrorCode } from "../../errors.ts";
import type { Schema } from "../../rpc/schema.ts";
import { Validator } from "../../rpc/validation.ts";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { rawFrame } from "../../testing/raw-frames.ts";
import { FrameDecoder } from "../../wire/frame-decoder.ts";
import { anyFrameType } from "../../wire/frame-types.ts";
import { StreamFrame } from "./stream-frames.ts";
import { StreamReceiver } from "./stream-receiver.ts";

const MIB = 1024 * 1024;

const strings: Schema<string> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => (typeof value === "string" ? { value } : { issues: [{ message: "no string" }] }),
  },
};

/** A stream of strings, and the bytes that its connection counts as held for it. */
function stringStream() {
  const counted = { held: 0 };
  const host = {
    reader: new RuntimeContext(fakeRuntime()).reader(MIB, false),
    maxReceivedItemBytes: MIB,
    takeWindow: () => 0,
    returnWindow: () => undefined,
    countReceivedOverdraft: () => false,
    countHeld: (change: number) => {
      counted.held += change;
    },
    passTurn: () => null,
  };
  const stream = { name: "strings", returnCredit: () => undefined, stopped: () => undefined };
  const receiver = new StreamReceiver(host, stream, MIB, new Validator(strings, "data"));
  receiver.granted();
  const receive = (...values: unknown[]): void => {
    const frames = new FrameDecoder(MIB, anyFrameType);
    for (const value of values) frames.push(rawFrame(StreamFrame.INPUT, encode(value)));
    while (frames.next()) receiver.receive(frames);
  };
  return { receiver, counted, receive };
}

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
