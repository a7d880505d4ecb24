import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { decodeFrames, type Frame } from "../test-support/frame-values.ts";
import { Flag, FrameType } from "./constants.ts";
import { FrameWriter, type FrameWriterOptions } from "./frame-writer.ts";
import { Slab } from "./slab.ts";

function writerWith(options: Partial<FrameWriterOptions> = {}): FrameWriter {
  return new FrameWriter({
    wallClock: () => 1_700_000_000_123,
    maxMessageBytes: 1_000_000,
    compress: null,
    ...options,
  });
}

function written(writer: FrameWriter): Frame | undefined {
  return decodeFrames(writer.bytes.slice(writer.start, writer.end))[0];
}

describe("FrameWriter", () => {
  test("writes the timeout of a request behind its params", () => {
    const writer = writerWith();
    writer.rpcRequest(0, 1, "add", { a: 1 }, 2500);
    expect(written(writer)?.payload).toEqual({ method: "add", params: { a: 1 }, timeout_ms: 2500 });
  });

  test.each([
    [0.2, 1],
    [4_000_000_000, 4_000_000_000],
    [Number.POSITIVE_INFINITY, 0xffff_ffff],
  ])("writes a timeout of %d ms as %d", (timeoutMs, expected) => {
    const writer = writerWith();
    writer.rpcRequest(0, 1, "add", {}, timeoutMs);
    expect(written(writer)?.payload).toHaveProperty("timeout_ms", expected);
  });

  test("writes undefined params as an empty map, undefined data and results as nil", () => {
    const writer = writerWith();
    writer.rpcRequest(0, 1, "add", undefined, 0);
    const request = written(writer)?.payload;
    writer.message(0, 0, "tick", undefined);
    const message = written(writer)?.payload;
    writer.rpcResponse(0, 1, undefined);
    const response = written(writer)?.payload;
    expect([request, message, response]).toEqual([
      { method: "add", params: {} },
      { type: "tick", data: null },
      { success: true, result: null },
    ]);
  });

  test("writes details of an error only when there are some", () => {
    const writer = writerWith();
    writer.rpcError(0, 1, "no", 4000, { retry_after: 2 });
    const withDetails = written(writer)?.payload;
    writer.rpcError(0, 1, "no", null, undefined);
    expect([withDetails, written(writer)?.payload]).toEqual([
      { success: false, error: "no", code: 4000, details: { retry_after: 2 } },
      { success: false, error: "no", code: null },
    ]);
  });

  test.each([
    [0xffff_ffff, 0xffff_ffff, 0xffff_ffff_ffff_ffffn],
    [1, 0, 2 ** 32],
    [0, 0x8000_0000, 2 ** 31],
  ])("writes correlation id %i/%i", (hi, lo, id) => {
    const writer = writerWith();
    writer.control(FrameType.ACK, hi, lo);
    expect(written(writer)?.correlationId).toBe(id);
  });

  test("puts consecutive frames side by side, so that they can leave as one piece", () => {
    const writer = writerWith();
    writer.message(0, 0, "a", 1);
    const { bytes, start, end } = writer;
    writer.rpcResponse(0, 1, { b: 2 });
    expect([writer.bytes === bytes, writer.start === end]).toEqual([true, true]);
    expect(decodeFrames(bytes.slice(start, writer.end)).map((frame) => frame.payload)).toEqual([
      { type: "a", data: 1 },
      { success: true, result: { b: 2 } },
    ]);
  });

  test("leaves nothing of an earlier frame in the header of a later one", () => {
    const slab = new Slab((bytes, start, end) => bytes.subarray(start, end));
    const writer = new FrameWriter({ wallClock: () => 0, maxMessageBytes: 1000, compress: null, slab });
    writer.message(0xffff_ffff, 0xffff_ffff, "a", 1);
    writer.bytes.fill(0xff, writer.start, writer.end);
    slab.endTurn(false);
    writer.control(FrameType.ACK, 0, 0);
    expect([writer.start, written(writer)]).toMatchObject([0, { flags: 0, correlationId: 0, timestampMs: 0 }]);
  });

  test("never touches in one turn what it has written", () => {
    const writer = writerWith();
    const frames: { readonly view: Uint8Array; readonly copy: Uint8Array }[] = [];
    for (let i = 0; i < 500; i++) {
      writer.message(0, i, `type${i % 7}`, { i, text: "x".repeat((i * 37) % 1500) });
      const view = writer.bytes.subarray(writer.start, writer.end);
      frames.push({ view, copy: view.slice() });
    }
    expect(frames.every(({ view, copy }) => Buffer.from(view).equals(copy))).toBe(true);
    expect(new Set(frames.map(({ view }) => view.buffer)).size).toBeGreaterThan(3);
  });

  test("gives a frame over 16 KiB an array of exactly its size, and continues where it was", () => {
    const writer = writerWith();
    writer.message(0, 0, "small", 1);
    const { bytes, end } = writer;
    writer.message(0, 0, "large", "x".repeat(20_000));
    expect([writer.start, writer.end]).toEqual([0, writer.bytes.length]);
    writer.message(0, 0, "small", 1);
    expect([writer.bytes === bytes, writer.start]).toEqual([true, end]);
  });

  test("leaves its place alone when a value cannot be encoded", () => {
    const writer = writerWith();
    writer.message(0, 0, "a", 1);
    const { end } = writer;
    expect(() => writer.message(0, 0, "a", { f: () => 0 })).toThrow("Cannot encode data.f: a function");
    expect(() => writer.rpcRequest(0, 1, "a", { f: () => 0 }, 0)).toThrow("Cannot encode params.f: a function");
    expect(() => writer.rpcResponse(0, 1, { f: () => 0 })).toThrow("Cannot encode result.f: a function");
    writer.message(0, 0, "b", 2);
    expect([writer.start, written(writer)?.payload]).toEqual([end, { type: "b", data: 2 }]);
  });

  test("is not disturbed by a getter that sends a frame itself", () => {
    const writer = writerWith();
    const inner: (Frame | undefined)[] = [];
    const value = {
      a: 1,
      get b() {
        writer.message(0, 0, "inner", { deep: [1, 2] });
        inner.push(written(writer));
        return 2;
      },
      c: 3,
    };
    writer.message(0, 0, "outer", value);
    expect(written(writer)?.payload).toEqual({ type: "outer", data: { a: 1, b: 2, c: 3 } });
    expect(inner.map((frame) => frame?.payload)).toContainEqual({ type: "inner", data: { deep: [1, 2] } });
  });

  test("refuses a payload over the limit before anything is written, with both numbers", () => {
    const writer = writerWith({ maxMessageBytes: 100 });
    // {type: "t", data: <str 8>} takes 15 bytes in addition to the text.
    writer.message(0, 0, "t", "x".repeat(85));
    const { end } = writer;
    expect(() => writer.message(0, 0, "t", "x".repeat(86))).toThrow(
      expect.objectContaining({
        code: ErrorCode.MESSAGE_TOO_LARGE,
        message:
          "Cannot send 't': 101 bytes exceed maxMessageBytes 100; send it as a file or a stream, or raise the option",
        details: { bytes: 101, limit: 100 },
      }),
    );
    writer.control(FrameType.ACK, 0, 0);
    expect(writer.start).toBe(end);
  });

  test("measures a payload before it is compressed", () => {
    const writer = writerWith({ maxMessageBytes: 2000, compress: () => new Uint8Array(10) });
    expect(() => writer.message(0, 0, "t", "x".repeat(3000))).toThrow("exceed maxMessageBytes 2000");
  });

  test.each([
    ["over 1024 bytes that gets smaller", 1025, 1024, Flag.COMPRESSED, 1024],
    ["over 1024 bytes that stays as large", 1025, 1025, 0, 1025],
    ["of 1024 bytes", 1024, 100, 0, 1024],
  ])("compresses as netconduit does: a payload %s", (_what, plainBytes, compressedBytes, flags, sentBytes) => {
    const writer = writerWith({ compress: () => new Uint8Array(compressedBytes) });
    // {type: "t", data: <str 16>} takes 16 bytes in addition to the text.
    writer.message(0, 0, "t", "x".repeat(plainBytes - 16));
    const view = new DataView(writer.bytes.buffer, writer.start);
    expect([view.getUint16(8), view.getUint32(12)]).toEqual([flags, sentBytes]);
  });

  test.each([1, 31, 32, 200, 300, 70_000])("takes names of %i characters, the second time as the first", (length) => {
    const writer = writerWith();
    const name = "é".repeat(length);
    writer.message(0, 0, name, 1);
    const first = written(writer)?.payload;
    writer.message(0, 0, name, 1);
    expect([first, written(writer)?.payload]).toEqual([
      { type: name, data: 1 },
      { type: name, data: 1 },
    ]);
  });

  test("keeps messages and methods of one name apart", () => {
    const writer = writerWith();
    writer.message(0, 0, "add", {});
    writer.rpcRequest(0, 1, "add", {}, 0);
    expect(written(writer)?.payload).toEqual({ method: "add", params: {} });
  });

  test("stays right over more names than it remembers", () => {
    const writer = writerWith();
    for (let i = 0; i < 3000; i++) writer.message(0, 0, `type${i}`, null);
    writer.message(0, 0, "type5", null);
    expect(written(writer)?.payload).toEqual({ type: "type5", data: null });
  });

  test.each([
    ["\ud800", ErrorCode.UNSERIALIZABLE],
    [undefined as unknown as string, ErrorCode.INVALID_CONFIG],
  ])("refuses the name %s", (name, code) => {
    expect(() => writerWith().message(0, 0, name, 1)).toThrow(expect.objectContaining({ code }));
  });
});

describe("FrameWriter.gather", () => {
  test("makes a scattered frame the one that a writer without scattering writes", () => {
    const binary = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => index & 0xff);
    const options = { wallClock: () => 1, maxMessageBytes: 10_000_000, compress: null };
    const scattering = new FrameWriter({ ...options, scatter: true });
    const plain = new FrameWriter(options);
    for (const data of [binary(16_384), { a: binary(65_535), b: "x", c: [binary(65_536)] }, "none"]) {
      for (const writer of [scattering, plain]) writer.rpcRequest(1, 2, "method", { data }, 1000);
      scattering.gather();
      const [left, right] = [scattering, plain].map(({ bytes, start, end }) => Buffer.from(bytes.subarray(start, end)));
      expect(left?.equals(right as Uint8Array)).toBe(true);
      expect(scattering.large).toBeNull();
    }
  });
});
