import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { Flag, FrameType, VERSION } from "../wire/constants.ts";
import { decodeFrames, encodeFrame, type Frame } from "./frame-values.ts";

const frame: Frame = {
  version: VERSION,
  type: FrameType.MESSAGE,
  flags: Flag.REQUIRE_ACK,
  reserved: 0xbeef,
  correlationId: 7,
  timestampMs: 1_700_000_000_123,
  payload: { type: "t", data: [1, 2] },
};

describe("encodeFrame and decodeFrames", () => {
  test.each([
    ["as it is", {}],
    ["without a payload", { payload: null }],
    ["with a payload that is no map", { payload: "text" }],
    ["with the largest id a number holds", { correlationId: Number.MAX_SAFE_INTEGER }],
    ["with a larger id", { correlationId: 2n ** 64n - 1n }],
  ])("carry a frame %s", (_what, overrides) => {
    const sent: Frame = { ...frame, ...overrides };
    expect(decodeFrames(encodeFrame(sent))).toStrictEqual([sent]);
  });

  test("carry several frames", () => {
    const bytes = Buffer.concat([encodeFrame(frame), encodeFrame(frame)]);
    expect(decodeFrames(bytes)).toStrictEqual([frame, frame]);
  });

  test("refuse a frame that is cut off", () => {
    expect(() => decodeFrames(encodeFrame(frame).slice(0, -1))).toThrow(
      expect.objectContaining({ code: ErrorCode.TRUNCATED_PAYLOAD }),
    );
  });

  test("refuse a compressed frame without a means to inflate it", () => {
    const sent = { ...frame, payload: "x".repeat(2000) };
    const bytes = encodeFrame(sent, { compress: () => new Uint8Array(5) });
    expect(() => decodeFrames(bytes)).toThrow(expect.objectContaining({ code: ErrorCode.INFLATE_FAILED }));
  });

  test("refuse a payload over the limit they are given", () => {
    expect(() => encodeFrame(frame, { maxMessageBytes: 5 })).toThrow("maxMessageBytes 5");
    expect(() => decodeFrames(encodeFrame(frame), { maxPayloadBytes: 5 })).toThrow("limit of 5 bytes");
  });
});
