import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { encodeFrame, type Frame } from "../test-support/frame-values.ts";
import { Flag, FrameType } from "./constants.ts";
import { FrameDecoder } from "./frame-decoder.ts";
import { anyFrameType, baseFrameTypes } from "./frame-types.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

function bytesOf(overrides: Partial<Frame> = {}): Uint8Array {
  return encodeFrame({
    version: 0x0100,
    type: FrameType.MESSAGE,
    flags: 0,
    correlationId: 0,
    timestampMs: 1_700_000_000_123,
    payload: { n: 1 },
    ...overrides,
  });
}

function header(payloadBytes: number): Uint8Array {
  const bytes = bytesOf({ payload: null });
  new DataView(bytes.buffer).setUint32(12, payloadBytes);
  return bytes;
}

function joined(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Returns payload bytes and correlation ids of all available frames. */
function drain(decoder: FrameDecoder): string[] {
  const frames: string[] = [];
  while (decoder.next()) {
    const payload = decoder.bytes.subarray(decoder.payloadStart, decoder.payloadEnd);
    frames.push(`${decoder.correlationHi}/${decoder.correlationLo} ${Buffer.from(payload).toString("hex")}`);
  }
  return frames;
}

function codeOf(decoder: FrameDecoder): unknown {
  try {
    decoder.next();
  } catch (error) {
    return (error as { code: unknown }).code;
  }
  return undefined;
}

describe("FrameDecoder", () => {
  test("describes a whole frame in the chunk itself, without a copy", () => {
    const decoder = new FrameDecoder(MIB, baseFrameTypes);
    const chunk = joined(bytesOf(), bytesOf());
    decoder.push(chunk);
    decoder.next();
    expect([decoder.bytes === chunk, decoder.exclusive, decoder.payloadStart, decoder.payloadEnd]).toEqual([
      true,
      false,
      32,
      36,
    ]);
  });

  test("gives a frame cut by a chunk's end an array of exactly its size", () => {
    const decoder = new FrameDecoder(MIB, baseFrameTypes);
    const frame = bytesOf({ payload: { text: "x".repeat(500 * KIB) } });
    decoder.push(frame.slice(0, 40));
    decoder.next();
    for (let at = 40; at < frame.length; at += 10_000) {
      decoder.push(frame.slice(at, at + 10_000));
      decoder.next();
    }
    expect(decoder.exclusive).toBe(true);
    expect(Buffer.from(decoder.bytes).equals(frame)).toBe(true);
  });

  describe("says where the rest of a large frame belongs", () => {
    const frame = bytesOf({ payload: { text: "x".repeat(1_500 * KIB) } });

    test.each([33, 100, 70_000, 1_200_000])("after %i bytes, until it is whole; it is not copied then", (begun) => {
      const decoder = new FrameDecoder(4 * MIB, baseFrameTypes);
      decoder.push(frame.slice(0, begun));
      expect(decoder.next()).toBe(false);
      let at = begun;
      for (let readTarget = decoder.readTarget(); readTarget !== null; readTarget = decoder.readTarget()) {
        const count = Math.min(50_000, readTarget.length);
        readTarget.set(frame.subarray(at, at + count));
        decoder.bytesRead(count);
        at += count;
        expect(decoder.next()).toBe(at === frame.length);
      }
      const next = bytesOf({ correlationId: 7 });
      decoder.push(joined(frame.subarray(at), next));
      if (at < frame.length) expect(decoder.next()).toBe(true);
      expect(decoder.exclusive).toBe(true);
      expect(Buffer.from(decoder.bytes).equals(frame)).toBe(true);
      expect(drain(decoder)).toHaveLength(1);
    });

    test("and never beyond its end", () => {
      const decoder = new FrameDecoder(4 * MIB, baseFrameTypes);
      decoder.push(frame.slice(0, frame.length - 40_000));
      decoder.next();
      expect(decoder.readTarget()?.length).toBe(40_000);
    });

    test("but not of a small rest, before the header, or while bytes wait", () => {
      const decoder = new FrameDecoder(4 * MIB, baseFrameTypes);
      expect(decoder.readTarget()).toBe(null);
      decoder.push(frame.slice(0, 31));
      decoder.next();
      expect(decoder.readTarget()).toBe(null);
      decoder.push(frame.slice(31, frame.length - 1000));
      expect(decoder.readTarget()).toBe(null);
      decoder.next();
      expect(decoder.readTarget()).toBe(null);
    });

    test("without taking memory for more than has come", () => {
      const decoder = new FrameDecoder(64 * MIB, baseFrameTypes);
      decoder.push(header(60 * MIB));
      decoder.next();
      expect(decoder.readTarget()?.length).toBeLessThan(2 * MIB);
      expect(decoder.heldBytes).toBeLessThan(2 * MIB);
    });
  });

  test("keeps all 64 bits of a correlation id", () => {
    const decoder = new FrameDecoder(MIB, baseFrameTypes);
    decoder.push(bytesOf({ correlationId: 0xfedc_ba98_7654_3210n }));
    decoder.next();
    expect([decoder.correlationHi, decoder.correlationLo]).toEqual([0xfedc_ba98, 0x7654_3210]);
  });

  test("can be left in the middle of a chunk, be given more, and continue", () => {
    const decoder = new FrameDecoder(MIB, baseFrameTypes);
    const frames = Array.from({ length: 40 }, (_, i) => bytesOf({ correlationId: i + 1, payload: { i } }));
    const all = joined(...frames);
    decoder.push(all.slice(0, 300));
    decoder.next();
    for (let at = 300; at < all.length; at++) decoder.push(all.slice(at, at + 1));
    expect(decoder.bufferedBytes).toBe(all.length - (frames[0] as Uint8Array).length);
    expect(decoder.heldBytes).toBeLessThan(3 * all.length);
    expect(drain(decoder).map((frame) => frame.split(" ")[0])).toEqual(frames.slice(1).map((_, i) => `0/${i + 2}`));
    expect(decoder.heldBytes).toBe(0);
  });

  test("holds nothing once every frame is read", () => {
    const decoder = new FrameDecoder(MIB, baseFrameTypes);
    const frame = bytesOf();
    decoder.push(frame.slice(0, 20));
    decoder.next();
    decoder.push(joined(frame.slice(20), frame));
    drain(decoder);
    expect([decoder.heldBytes, decoder.bytes.length]).toEqual([0, 0]);
  });

  test("takes Node's Buffers and hands out plain arrays", () => {
    const decoder = new FrameDecoder(MIB, baseFrameTypes);
    decoder.push(Buffer.from(bytesOf()));
    decoder.next();
    expect(decoder.bytes.constructor).toBe(Uint8Array);
  });

  test("tolerates the hints among flags it does not know, and a reserved field that is not zero", () => {
    const decoder = new FrameDecoder(MIB, baseFrameTypes);
    decoder.push(bytesOf({ flags: 0xf000 | Flag.PRIORITY, reserved: 7 }));
    expect([decoder.next(), decoder.flags]).toEqual([true, 0xf008]);
  });

  test.each([0x0001, 0x0010, 0x0100])("knows frame type %i", (type) => {
    const decoder = new FrameDecoder(MIB, baseFrameTypes);
    decoder.push(bytesOf({ type, payload: null }));
    expect([decoder.next(), decoder.type]).toEqual([true, type]);
  });

  test.each([0x0000, 0x0011, 0x00ff, 0x0102, 0xffff])("refuses frame type %i", (type) => {
    const decoder = new FrameDecoder(MIB, baseFrameTypes);
    decoder.push(bytesOf({ type, payload: null }));
    expect(codeOf(decoder)).toBe(ErrorCode.UNKNOWN_FRAME_TYPE);
  });

  test.each([Flag.ENCRYPTED, Flag.FRAGMENT, Flag.LAST_FRAGMENT, 0x0080, 0x0100, 0x0800])(
    "refuses flag %i, which was not agreed on",
    (flags) => {
      const decoder = new FrameDecoder(MIB, baseFrameTypes);
      decoder.push(bytesOf({ flags }));
      expect(codeOf(decoder)).toBe(ErrorCode.UNSUPPORTED_FLAG);
    },
  );

  test("refuses another protocol at its first byte", () => {
    const decoder = new FrameDecoder(MIB, baseFrameTypes);
    decoder.push(Buffer.from("G"));
    expect(() => decoder.next()).toThrow("it starts with 47 (hex) instead of 434e4454");
  });

  test.each([
    ["and which protocol's they are", "GET / HTTP/1.1\r\n", { received: "47455420", protocol: "HTTP" }],
    ["and no more, where that is not known", "220 mail", { received: "32323020" }],
  ])("says which bytes stand in place of the magic number, %s", (_what, sent, details) => {
    const decoder = new FrameDecoder(MIB, baseFrameTypes);
    decoder.push(Buffer.from(sent));
    expect(() => decoder.next()).toThrow(expect.objectContaining({ details }));
  });

  test("refuses a payload over the limit on its header alone, with both numbers", () => {
    const decoder = new FrameDecoder(1000, baseFrameTypes);
    decoder.push(header(1001));
    expect(() => decoder.next()).toThrow("payload of 1001 bytes exceeds the limit of 1000 bytes");
  });

  test("takes a payload of exactly the limit", () => {
    const decoder = new FrameDecoder(1000, baseFrameTypes);
    decoder.push(joined(header(1000), new Uint8Array(1000)));
    expect(decoder.next()).toBe(true);
  });

  test("applies the limit at the time of the header", () => {
    const decoder = new FrameDecoder(1000, baseFrameTypes);
    decoder.maxPayloadBytes = 2000;
    decoder.push(joined(header(1500), new Uint8Array(1500)));
    expect(decoder.next()).toBe(true);
  });

  test("stays failed, and takes no more bytes", () => {
    const decoder = new FrameDecoder(MIB, baseFrameTypes);
    decoder.push(Buffer.from("HTTP"));
    const first = codeOf(decoder);
    decoder.push(bytesOf());
    expect([first, codeOf(decoder), decoder.heldBytes]).toEqual([ErrorCode.BAD_MAGIC, ErrorCode.BAD_MAGIC, 0]);
  });

  test("costs at most 1040 KiB for a peer that claims 10 MiB and sends one byte", () => {
    const decoder = new FrameDecoder(10 * MIB, baseFrameTypes);
    decoder.push(joined(header(10 * MIB), new Uint8Array(1)));
    expect([decoder.next(), decoder.bufferedBytes, decoder.heldBytes]).toEqual([false, 33, 1040 * KIB]);
  });

  test("holds no more than 1040 KiB until these were received, and then memory for all of the frame", () => {
    const decoder = new FrameDecoder(10 * MIB, baseFrameTypes);
    decoder.push(header(10 * MIB));
    const held: number[] = [];
    while (!decoder.next()) {
      held.push(decoder.heldBytes - (decoder.bufferedBytes <= 1040 * KIB ? 1040 * KIB : 10 * MIB + 32));
      decoder.push(new Uint8Array(50_000));
    }
    expect(new Set(held)).toEqual(new Set([0]));
  });

  describe("gives memory back", () => {
    /** Creates a decoder and records released bytes. */
    function scene(): { decoder: FrameDecoder; released: number[]; push(bytes: Uint8Array): boolean } {
      const released: number[] = [];
      const memory = {
        allocate: (bytes: number) => new Uint8Array(bytes),
        release: (bytes: Uint8Array) => void released.push(bytes.length),
      };
      const decoder = new FrameDecoder(10 * MIB, baseFrameTypes, memory);
      return {
        decoder,
        released,
        push(bytes) {
          decoder.push(bytes);
          return decoder.next();
        },
      };
    }

    const cut = joined(header(50_000), new Uint8Array(50_000));

    test("that a frame has outgrown", () => {
      const { released, push } = scene();
      push(header(3 * MIB));
      push(new Uint8Array(MIB));
      expect(released).toEqual([]);
      push(new Uint8Array(MIB));
      expect(released).toEqual([1040 * KIB]);
    });

    test.each(["next", "leaveFrame"] as const)("of a frame that was read and is not shared, at %s()", (method) => {
      const { decoder, released, push } = scene();
      push(cut.subarray(0, 1000));
      expect(push(cut.subarray(1000))).toBe(true);
      decoder.isShared = false;
      expect(released).toEqual([]);
      decoder[method]();
      decoder[method]();
      expect(released).toEqual([cut.length]);
    });

    test("but not of one that is shared, or unread", () => {
      const { decoder, released, push } = scene();
      for (let round = 0; round < 2; round++) {
        push(cut.subarray(0, 1000));
        expect(push(cut.subarray(1000))).toBe(true);
        // Independent of the previous frame, which wasn't shared.
        expect(decoder.isShared).toBe(true);
        if (round === 0) decoder.leaveFrame();
      }
      decoder.leaveFrame();
      expect(released).toEqual([]);
    });

    test("but not the chunk that a whole frame lies in", () => {
      const { decoder, released, push } = scene();
      push(cut);
      decoder.isShared = false;
      decoder.leaveFrame();
      expect(released).toEqual([]);
    });
  });

  test("finds the same frames however the bytes are split", () => {
    const payload = fc.oneof(fc.constant(null), fc.record({ text: fc.string(), list: fc.array(fc.nat()) }));
    const sizes = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1 });
    const property = fc.property(fc.array(payload, { maxLength: 20 }), sizes, fc.nat(3), (payloads, cuts, lag) => {
      const all = joined(...payloads.map((value, i) => bytesOf({ correlationId: i + 1, payload: value })));
      const whole = new FrameDecoder(MIB, baseFrameTypes);
      whole.push(all);
      const cut = new FrameDecoder(MIB, baseFrameTypes);
      const found: string[] = [];
      for (let at = 0, i = 0; at < all.length; i++) {
        const size = cuts[i % cuts.length] as number;
        cut.push(all.slice(at, at + size));
        at += size;
        // Sometimes nothing is read, so that a chunk arrives while bytes are undecoded.
        if (i % (lag + 1) === 0) found.push(...drain(cut));
      }
      found.push(...drain(cut));
      expect(found).toEqual(drain(whole));
    });
    fc.assert(property);
  });

  test("hands out a CHUNK in pieces as it comes, without a copy, however the bytes are split", () => {
    const chunk = header(300);
    new DataView(chunk.buffer).setUint16(6, FrameType.CHUNK);
    const payload = Uint8Array.from({ length: 300 }, (_, index) => index % 256);
    const all = joined(chunk, payload, bytesOf({ correlationId: 7 }));
    for (const size of [1, 7, 32, 33, 100, 331, 332, 333, all.length]) {
      const decoder = new FrameDecoder(MIB, anyFrameType);
      const pieces: number[] = [];
      let messages = 0;
      for (let at = 0; at < all.length; at += size) {
        decoder.push(all.slice(at, at + size));
        while (decoder.next()) {
          if (decoder.type === FrameType.MESSAGE) messages += 1;
          else pieces.push(...decoder.bytes.subarray(decoder.payloadStart, decoder.payloadEnd));
        }
      }
      expect([pieces, messages]).toEqual([[...payload], 1]);
    }
  });

  test("answers random bytes with frames or a ConduitError, nothing else", () => {
    const start = fc.constantFrom(new Uint8Array(0), header(4), header(4).slice(0, 10));
    const property = fc.property(start, fc.uint8Array({ maxLength: 100 }), (before, after) => {
      const decoder = new FrameDecoder(MIB, baseFrameTypes);
      decoder.push(joined(before, after));
      try {
        drain(decoder);
      } catch (error) {
        expect(error).toMatchObject({ name: expect.stringMatching(/^ConduitError /) });
      }
    });
    fc.assert(property);
  });
});
