import { expect, test } from "vitest";
import { fillPattern } from "./recorder.ts";
import { CHUNK_BYTES, type Stage } from "./stage.ts";

/** Order, completeness and ownership of bytes. */
export function describeDelivery(stage: Stage): void {
  test("bytes arrive in order, in both directions", () =>
    stage.withOpenPair(async ({ a, b, atA, atB }) => {
      a.write(Uint8Array.of(1, 2));
      b.write(Uint8Array.of(9));
      a.write(Uint8Array.of(3));
      await Promise.all([atB.received(3), atA.received(1)]);
      expect([...atB.bytes()]).toEqual([1, 2, 3]);
      expect([...atA.bytes()]).toEqual([9]);
    }));

  test("an empty write sends nothing and does no harm", () =>
    stage.withOpenPair(async ({ a, atB }) => {
      a.write(new Uint8Array(0));
      a.write(Uint8Array.of(7));
      await atB.received(1);
      expect([...atB.bytes()]).toEqual([7]);
    }));

  test("what was sent before open is delivered after it", () =>
    stage.withPair(async ({ a, b, atA, atB }) => {
      atA.open(a);
      a.write(Uint8Array.of(1, 2, 3));
      b.write(Uint8Array.of(4));
      await atA.received(1);
      atB.open(b);
      await atB.received(3);
      expect([...atB.bytes()]).toEqual([1, 2, 3]);
    }));

  test("bytes arrive in order where the sink wants them, and beside that", () =>
    stage.withOpenPair(async ({ a, atB }) => {
      const total = 40 * CHUNK_BYTES;
      atB.verifyPattern();
      atB.onData = () => {
        // Space for more than one read delivers, for less, and no space.
        const size = [3 * CHUNK_BYTES, 1000, 0][Math.floor(atB.total / CHUNK_BYTES) % 3] as number;
        if (atB.readTarget() === null && size > 0) atB.landIn(new Uint8Array(size));
      };
      for (let offset = 0; offset < total; offset += CHUNK_BYTES) {
        a.write(fillPattern(new Uint8Array(CHUNK_BYTES), offset));
      }
      await atB.received(total);
      expect([atB.total, atB.firstMismatch]).toEqual([total, -1]);
    }));

  test("10,000 tiny writes arrive complete and in order", () =>
    stage.withOpenPair(async ({ a, atB }) => {
      for (let i = 0; i < 10_000; i++) a.write(Uint8Array.of(i & 0xff, i >> 8));
      await atB.received(20_000);
      const bytes = atB.bytes();
      const values = Array.from({ length: 10_000 }, (_, i) => (bytes[2 * i] ?? 0) | ((bytes[2 * i + 1] ?? 0) << 8));
      expect(values).toEqual(Array.from({ length: 10_000 }, (_, i) => i));
    }));

  test("written bytes are never changed and may be written to many streams", () =>
    stage.withOpenPair(async ({ a, b, atA, atB }) => {
      const bytes = fillPattern(new Uint8Array(CHUNK_BYTES), 0);
      for (let i = 0; i < 4; i++) {
        a.write(bytes);
        b.write(bytes);
      }
      await Promise.all([atB.received(4 * CHUNK_BYTES), atA.received(4 * CHUNK_BYTES)]);
      expect(bytes).toEqual(fillPattern(new Uint8Array(CHUNK_BYTES), 0));
    }));
}
