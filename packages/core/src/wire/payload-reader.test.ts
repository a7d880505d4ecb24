import { ExtData, encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ErrorCodeName } from "../error-codes.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { Flag, FrameType } from "./constants.ts";
import { FrameDecoder } from "./frame-decoder.ts";
import { anyFrameType } from "./frame-types.ts";
import { FrameWriter } from "./frame-writer.ts";
import { PayloadReader, type PayloadSource } from "./payload-reader.ts";

function source(bytes: Uint8Array, flags = 0): PayloadSource {
  return { bytes, payloadStart: 0, payloadEnd: bytes.length, flags, exclusive: false, isShared: true };
}

/** A stub of zlib that "inflates" to the bytes after the first. */
function unwrap(bytes: Uint8Array, maxBytes: number): Uint8Array {
  if (bytes.length - 1 > maxBytes) throw new ConduitError(ErrorCode.INFLATED_TOO_LARGE, `limit ${maxBytes}`);
  return bytes.slice(1);
}

function wrapped(value: unknown): PayloadSource {
  return source(Uint8Array.from([0, ...encode(value)]), Flag.COMPRESSED);
}

function newReader(): PayloadReader {
  return new PayloadReader(unwrap, 1000);
}

function refusing(code: ErrorCodeName): unknown {
  return expect.objectContaining({ name: expect.stringMatching(/^ConduitError /), code: ErrorCode[code] });
}

describe("PayloadReader, of a MESSAGE", () => {
  test.each([
    ["in the usual form", { type: "t", data: { a: 1 } }, { a: 1 }],
    ["with its keys the other way round", { data: { a: 1 }, type: "t" }, { a: 1 }],
    ["with more keys", { type: "t", data: { a: 1 }, id: 7 }, { a: 1 }],
    ["with a key in between", { type: "t", more: 1, data: { a: 1 } }, { a: 1 }],
    ["without data", { type: "t" }, null],
    ["with nil data", { type: "t", data: null }, null],
  ])("reads one %s", (_form, payload, data) => {
    const reader = newReader();
    reader.readMessage(source(encode(payload)));
    expect([reader.name, reader.value]).toEqual(["t", data]);
  });

  test.each<[string, unknown, ErrorCodeName]>([
    ["without a type", { data: 1 }, "INVALID_PAYLOAD_SHAPE"],
    ["whose type is a number", { type: 5, data: 1 }, "INVALID_PAYLOAD_SHAPE"],
    ["that is an array", ["t", 1], "INVALID_PAYLOAD_SHAPE"],
    ["that is nil", null, "INVALID_PAYLOAD_SHAPE"],
    ["that is a binary", new Uint8Array(3), "INVALID_PAYLOAD_SHAPE"],
    ["that is a timestamp", new Date(0), "INVALID_PAYLOAD_SHAPE"],
  ])("refuses one %s", (_form, payload, code) => {
    expect(() => newReader().readMessage(source(encode(payload)))).toThrow(refusing(code));
  });

  test("refuses an empty one", () => {
    expect(() => newReader().readMessage(source(new Uint8Array(0)))).toThrow(refusing("INVALID_PAYLOAD_SHAPE"));
  });

  test("leaves the name where only what follows it is malformed", () => {
    const reader = newReader();
    const bytes = encode({ type: "t", data: [1, 2] });
    bytes[bytes.length - 1] = 0xc1;
    expect(() => reader.readMessage(source(bytes))).toThrow(refusing("MALFORMED_PAYLOAD"));
    expect(reader.name).toBe("t");
  });

  test("does not leave the name of an earlier message", () => {
    const reader = newReader();
    reader.readMessage(source(encode({ type: "t", data: 1 })));
    expect(() => reader.readMessage(source(encode(5)))).toThrow();
    expect([reader.name, reader.value]).toEqual(["", null]);
  });

  test("refuses bytes behind the data", () => {
    const bytes = Uint8Array.from([...encode({ type: "t", data: 1 }), 0xc0]);
    expect(() => newReader().readMessage(source(bytes))).toThrow(refusing("TRAILING_BYTES"));
  });

  test("takes a forbidden key's spelling as a type", () => {
    const reader = newReader();
    for (const _ of [1, 2]) reader.readMessage(source(encode({ type: "__proto__", data: 1 })));
    expect(reader.name).toBe("__proto__");
  });

  test.each(["__proto__", "constructor", "prototype"])("refuses the key %s, also after a type of that name", (name) => {
    const reader = newReader();
    for (const _ of [1, 2, 3]) reader.readMessage(source(encode({ type: name, data: 1 })));
    const data = Object.defineProperty({}, name, { value: 1, enumerable: true });
    expect(() => reader.readMessage(source(encode({ type: "t", data })))).toThrow(refusing("FORBIDDEN_KEY"));
  });
});

describe("PayloadReader, of an RPC_REQUEST", () => {
  test.each([
    ["in the usual form", { method: "m", params: { a: 1 } }, { a: 1 }, 0],
    ["with a timeout", { method: "m", params: { a: 1 }, timeout_ms: 250 }, { a: 1 }, 250],
    ["with the timeout in front", { method: "m", timeout_ms: 250, params: { a: 1 } }, { a: 1 }, 250],
    ["with another third key", { method: "m", params: { a: 1 }, trace: "x" }, { a: 1 }, 0],
    ["with its keys the other way round", { params: { a: 1 }, method: "m" }, { a: 1 }, 0],
    ["without params", { method: "m" }, {}, 0],
    ["with nil params", { method: "m", params: null }, {}, 0],
    ["with a nil timeout", { method: "m", params: {}, timeout_ms: null }, {}, 0],
    ["with nil for what it has not", { method: "m", output: null, input: null, progress: null, meta: null }, {}, 0],
    ["that has no input and no progress", { method: "m", input: false, progress: false }, {}, 0],
  ])("reads one %s", (_form, payload, params, timeoutMs) => {
    const reader = newReader();
    reader.readRpcRequest(source(encode(payload)));
    expect([reader.name, reader.value, reader.timeoutMs]).toEqual(["m", params, timeoutMs]);
    expect([reader.streams, reader.meta]).toEqual([null, null]);
  });

  test.each([[[1, 2]], ["x"], [5], [true], [new Uint8Array(1)], [new Date(0)]])(
    "refuses params %s with INVALID_PARAMS, and leaves the method's name",
    (params) => {
      const reader = newReader();
      expect(() => reader.readRpcRequest(source(encode({ method: "m", params })))).toThrow(refusing("INVALID_PARAMS"));
      expect(reader.name).toBe("m");
    },
  );

  test.each<[string, unknown]>([
    ["without a method", { params: {} }],
    ["whose method is nil", { method: null, params: {} }],
    ["whose timeout is negative", { method: "m", params: {}, timeout_ms: -1 }],
    ["whose timeout is a string", { method: "m", params: {}, timeout_ms: "1" }],
    ["whose timeout is not a number", { method: "m", params: {}, timeout_ms: Number.NaN }],
    ["whose timeout is infinite", { method: "m", params: {}, timeout_ms: Number.POSITIVE_INFINITY }],
    ["whose output is 0", { method: "m", output: 0 }],
    ["whose output is a boolean", { method: "m", output: true }],
    ["whose input is a number", { method: "m", input: 1 }],
    ["whose progress is a string", { method: "m", progress: "yes" }],
  ])("refuses one %s", (_form, payload) => {
    expect(() => newReader().readRpcRequest(source(encode(payload)))).toThrow(refusing("INVALID_PAYLOAD_SHAPE"));
  });
});

describe("PayloadReader, of a plain peer", () => {
  const extensions = { timeout_ms: "5", meta: [1], output: true, input: 7, progress: "yes" };

  test("ignores keys of extensions, whatever their values", () => {
    const reader = newReader();
    reader.readRpcRequest(source(encode({ method: "m", params: { a: 1 }, ...extensions })), true);
    expect([reader.name, reader.value]).toEqual(["m", { a: 1 }]);
    expect([reader.timeoutMs, reader.streams, reader.meta]).toEqual([0, null, null]);
    reader.readMessage(source(encode({ type: "t", data: 1, ...extensions })), true);
    expect([reader.name, reader.value, reader.timeoutMs, reader.meta]).toEqual(["t", 1, 0, null]);
  });

  test.each([250, -1, "5"])("ignores a timeout of %s in its usual place", (timeout_ms) => {
    const reader = newReader();
    reader.readRpcRequest(source(encode({ method: "m", params: {}, timeout_ms })), true);
    expect(reader.timeoutMs).toBe(0);
    reader.readMessage(source(encode({ type: "t", data: 1, timeout_ms })), true);
    expect(reader.timeoutMs).toBe(0);
  });
});

describe("PayloadReader, of an RPC_RESPONSE or RPC_ERROR", () => {
  test.each([
    ["in the usual form", { success: true, result: 5 }, 5],
    ["without a result", { success: true }, null],
    ["without success", { result: 5 }, 5],
    ["with more keys", { success: true, result: 5, took: 1 }, 5],
  ])("reads a response %s", (_form, payload, result) => {
    const reader = newReader();
    reader.readRpcResponse(source(encode(payload)));
    expect(reader.value).toBe(result);
  });

  test("refuses a response that says it is none", () => {
    const bytes = encode({ success: false, error: "x" });
    expect(() => newReader().readRpcResponse(source(bytes))).toThrow(refusing("INVALID_PAYLOAD_SHAPE"));
  });

  test.each([
    ["with everything", { error: "no", code: 4000, details: { a: 1 } }, ["no", 4000, { a: 1 }]],
    ["without a code", { success: false, error: "no" }, ["no", ErrorCode.UNKNOWN, undefined]],
    ["with a nil code", { error: "no", code: null, details: null }, ["no", ErrorCode.UNKNOWN, undefined]],
    ["with details that are no map", { error: "no", code: 1, details: "x" }, ["no", 1, undefined]],
  ])("reads an error %s", (_form, payload, expected) => {
    const reader = newReader();
    reader.readRpcError(source(encode(payload)));
    expect([reader.message, reader.code, reader.details]).toEqual(expected);
  });

  test.each([["without a text", encode({ code: 1 })] as const, ["that is empty", new Uint8Array(0)] as const])(
    "refuses an error %s",
    (_form, bytes) => {
      expect(() => newReader().readRpcError(source(bytes))).toThrow(refusing("INVALID_PAYLOAD_SHAPE"));
    },
  );
});

describe("PayloadReader, of other frames", () => {
  test("reads a map, and nothing as null", () => {
    expect(newReader().readMap(source(encode({ reason: "bye" })))).toEqual({ reason: "bye" });
    expect(newReader().readMap(source(new Uint8Array(0)))).toBeNull();
  });

  test("counts the size of a map alone, whatever was read before", () => {
    const reader = newReader();
    reader.readMessage(source(encode({ type: "t", data: "x".repeat(80_000) })));
    reader.readMap(source(encode({ data: { id: 8 } })));
    expect(reader.size).toBeLessThan(2000);
  });

  test("refuses what is not a map", () => {
    expect(() => newReader().readMap(source(encode([1])))).toThrow(refusing("INVALID_PAYLOAD_SHAPE"));
  });
});

describe("PayloadReader, of a compressed frame", () => {
  test("reads every kind of payload", () => {
    const reader = newReader();
    reader.readMessage(wrapped({ type: "t", data: 1 }));
    const message = [reader.name, reader.value];
    reader.readRpcRequest(wrapped({ method: "m", params: { a: 1 }, timeout_ms: 5 }));
    const request = [reader.name, reader.value, reader.timeoutMs];
    reader.readRpcResponse(wrapped({ success: true, result: 2 }));
    const response = reader.value;
    reader.readRpcError(wrapped({ error: "no" }));
    const { message: error } = reader;
    const map = reader.readMap(wrapped({ reason: "bye" }));
    expect([message, request, response, error, map]).toEqual([
      ["t", 1],
      ["m", { a: 1 }, 5],
      2,
      "no",
      { reason: "bye" },
    ]);
  });

  test("inflates up to the bound, which may change and may be another for one payload", () => {
    const reader = newReader();
    const large = wrapped({ reason: "x".repeat(1500) });
    expect(() => reader.readMap(large)).toThrow("limit 1000");
    expect(() => reader.readMap(large, 10)).toThrow("limit 10");
    reader.maxBytes = 2000;
    expect(reader.readMap(large)).not.toBeNull();
  });
});

describe("an exclusive frame", () => {
  const large = new Uint8Array(10_000);

  function exclusive(value: unknown): PayloadSource {
    return { ...source(encode(value)), exclusive: true };
  }

  test.each([
    ["a message with large binary data", { type: "m", data: large }, true],
    ["one whose keys stand in another order", { data: large, type: "m" }, true],
    ["a message with a large text", { type: "m", data: "x".repeat(10_000) }, false],
    ["a message with small binary data", { type: "m", data: new Uint8Array(100) }, false],
    ["data in an extension type", { type: "m", data: new ExtData(5, large) }, true],
  ] as const)("%s: shared is %s", (_what, message, isShared) => {
    const frame = exclusive(message);
    newReader().readMessage(frame);
    expect(frame.isShared).toBe(isShared);
  });

  test("calls and their results say so as well", () => {
    const frames = [
      { method: "m", params: { large } },
      { method: "m", params: {} },
    ].map(exclusive);
    for (const frame of frames) newReader().readRpcRequest(frame);
    const results = [
      { success: true, result: large },
      { success: true, result: 1 },
    ].map(exclusive);
    for (const frame of results) newReader().readRpcResponse(frame);
    expect([...frames, ...results].map(({ isShared }) => isShared)).toEqual([true, false, true, false]);
  });

  test("that arrived compressed is not shared: what it inflated to is", () => {
    const frame = { ...wrapped({ type: "m", data: large.subarray(0, 900) }), exclusive: true };
    newReader().readMessage(frame);
    expect(frame.isShared).toBe(false);
  });

  test("that cannot be read counts as shared", () => {
    const frame = exclusive({ type: "m", data: large });
    expect(() => newReader().readMessage({ ...frame, payloadEnd: frame.payloadEnd - 1 })).toThrow();
    expect(frame.isShared).toBe(true);
  });
});

describe("PayloadReader and FrameWriter", () => {
  test("agree on whatever is sent", () => {
    const writer = new FrameWriter({ wallClock: () => 0, maxMessageBytes: 1_000_000, compress: null });
    const reader = newReader();
    const decoder = new FrameDecoder(1_000_000, anyFrameType);
    const key = fc.string().filter((text) => !["__proto__", "constructor", "prototype"].includes(text));
    const params = fc.dictionary(key, fc.jsonValue({ stringUnit: "binary" }), { noNullPrototype: true });
    const safe = params.filter((value) => !/"(__proto__|constructor|prototype)":|-0/.test(JSON.stringify(value)));
    const name = fc.string({ unit: "binary", maxLength: 60 });
    const property = fc.property(name, safe, fc.nat(), (method, value, timeoutMs) => {
      writer.rpcRequest(1, 2, method, value, timeoutMs);
      decoder.push(writer.bytes.slice(writer.start, writer.end));
      expect(decoder.next()).toBe(true);
      reader.readRpcRequest(decoder);
      expect([decoder.type, reader.name, reader.timeoutMs]).toEqual([FrameType.RPC_REQUEST, method, timeoutMs]);
      // JSON has no -0.
      expect(JSON.stringify(reader.value)).toBe(JSON.stringify(value));
    });
    fc.assert(property);
  });

  test("answer random payloads with fields or a ConduitError, nothing else", () => {
    const reader = newReader();
    const start = fc.constantFrom([], [0x82, 0xa4, 0x74, 0x79, 0x70, 0x65], [0x82, 0xa6, 0x6d, 0x65, 0x74, 0x68, 0x6f]);
    const property = fc.property(start, fc.uint8Array({ maxLength: 40 }), (before, after) => {
      const payload = source(Uint8Array.from([...before, ...after]));
      const reads = ["readMessage", "readRpcRequest", "readRpcResponse", "readRpcError", "readMap"] as const;
      for (const read of reads) {
        try {
          reader[read](payload);
        } catch (error) {
          expect(error).toMatchObject({ name: expect.stringMatching(/^ConduitError /) });
        }
      }
    });
    fc.assert(property, { numRuns: 500 });
  });
});
