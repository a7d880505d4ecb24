import { expect, test } from "vitest";
import { fillPattern, sendPattern } from "./recorder.ts";
import { CHUNK_BYTES, MIB, rounds, type Stage, turns } from "./stage.ts";

/** Back-pressure: the result of `write`, `drained`, `pause`, `resume`. */
export function describeBackPressure(stage: Stage): void {
  const { capabilities, transferBytes } = stage;

  test(`${transferBytes / MIB} MiB each way arrive intact, and a writer that heeds write() bounds the queue`, () =>
    stage.withOpenPair(async ({ a, b, atA, atB }) => {
      atA.verifyPattern();
      atB.verifyPattern();
      const [mostAtA, mostAtB] = await Promise.all([
        sendPattern(a, atA, transferBytes, CHUNK_BYTES),
        sendPattern(b, atB, transferBytes, CHUNK_BYTES),
        atA.received(transferBytes),
        atB.received(transferBytes),
      ]);
      expect(atA.firstMismatch).toBe(-1);
      expect(atB.firstMismatch).toBe(-1);
      expect(Math.max(mostAtA, mostAtB)).toBeLessThan(capabilities.highWaterMark + CHUNK_BYTES);
    }));

  test("drained comes only after write returned false", () =>
    stage.withOpenPair(async ({ a, b, atA, atB }) => {
      expect(a.write(Uint8Array.of(1))).toBe(true);
      await atB.received(1);
      b.write(Uint8Array.of(2));
      await atA.received(1);
      expect(atA.drains).toBe(0);
      const flooded = stage.floodBytes;
      expect(a.write(new Uint8Array(flooded))).toBe(false);
      await Promise.all([atA.drainedTimes(1), atB.received(1 + flooded)]);
      expect(atA.drains).toBe(1);
    }));

  test("a peer that does not read makes write return false, and queuedBytes says what waits", () =>
    stage.withOpenPair(async ({ a, b }) => {
      b.pause();
      const flooded = stage.floodBytes;
      for (let sent = 0; sent < flooded; sent += MIB) a.write(new Uint8Array(MIB));
      expect(a.write(Uint8Array.of(1))).toBe(false);
      expect(a.queuedBytes).toBeGreaterThanOrEqual(capabilities.highWaterMark);
      a.destroy(null);
      expect(a.queuedBytes).toBe(0);
    }));

  test("a peer that never reads stops a writer that heeds write(), after a bounded number of bytes", () =>
    stage.withOpenPair(async (ends) => {
      const { a, b, atA } = ends;
      b.pause();
      // The paused side may have read a chunk that was in flight.
      const bound = capabilities.highWaterMark + capabilities.kernelBytes + 4 * CHUNK_BYTES;
      let written = 0;
      for (let drains = -1; drains !== atA.drains; await rounds(ends, 20)) {
        drains = atA.drains;
        for (let ready = true; ready && written <= bound; written += CHUNK_BYTES) {
          ready = a.write(new Uint8Array(CHUNK_BYTES));
        }
      }
      expect(written).toBeLessThanOrEqual(bound);
      expect(a.queuedBytes).toBeLessThan(capabilities.highWaterMark + CHUNK_BYTES);
    }));

  test("a stream that nobody opens takes little in, and hands all of it over once it is opened", () =>
    stage.withPair(async (ends) => {
      const { a, b, atA, atB } = ends;
      atA.open(a);
      atB.verifyPattern();
      a.write(fillPattern(new Uint8Array(stage.floodBytes), 0));
      await rounds(ends, 20);
      expect(a.queuedBytes).toBeGreaterThan(0);
      void a.close();
      atB.open(b);
      await atB.whenClosed;
      expect([atB.total, atB.firstMismatch, atB.closedCalls]).toEqual([stage.floodBytes, -1, [null]]);
    }));

  test("a paused stream delivers nothing more, and everything in order once it is resumed", () =>
    stage.withOpenPair(async (ends) => {
      const { a, b, atB } = ends;
      atB.verifyPattern();
      a.write(fillPattern(new Uint8Array(10), 0));
      await atB.received(10);
      b.pause();
      a.write(fillPattern(new Uint8Array(CHUNK_BYTES), 10));
      await rounds(ends, 20);
      const whilePaused = atB.total;
      a.write(fillPattern(new Uint8Array(CHUNK_BYTES), 10 + CHUNK_BYTES));
      await rounds(ends, 20);
      expect(atB.total).toBe(whilePaused);
      b.resume();
      await atB.received(10 + 2 * CHUNK_BYTES);
      expect(atB.firstMismatch).toBe(-1);
    }));

  test("a stream paused before open delivers nothing until it is resumed", () =>
    stage.withPair(async (ends) => {
      const { a, b, atA, atB } = ends;
      atA.open(a);
      b.pause();
      atB.open(b);
      a.write(Uint8Array.of(1));
      await rounds(ends, 20);
      expect(atB.total).toBe(0);
      b.resume();
      await atB.received(1);
    }));

  test("pause and resume before open leave the stream delivering", () =>
    stage.withPair(async ({ a, b, atA, atB }) => {
      b.pause();
      b.resume();
      atA.open(a);
      atB.open(b);
      a.write(Uint8Array.of(1));
      await atB.received(1);
      expect([...atB.bytes()]).toEqual([1]);
    }));

  test("data and the end that came while a stream was paused are delivered after resume, in order", () =>
    stage.withOpenPair(async ({ a, b, atB }) => {
      b.pause();
      a.write(Uint8Array.of(1, 2, 3));
      const closing = a.close();
      await turns(20);
      expect([atB.total, atB.closedCalls]).toEqual([0, []]);
      b.resume();
      await Promise.all([closing, atB.whenClosed]);
      expect([[...atB.bytes()], atB.closedCalls]).toEqual([[1, 2, 3], [null]]);
    }));

  test("a sink that pauses and resumes its stream within every chunk gets all of it, in order", () =>
    stage.withOpenPair(async ({ a, b, atB }) => {
      atB.verifyPattern();
      atB.onData = () => {
        b.pause();
        b.resume();
        b.pause();
        setImmediate(() => b.resume());
      };
      a.write(fillPattern(new Uint8Array(MIB), 0));
      await atB.received(MIB);
      atB.onData = null;
      expect([atB.total, atB.firstMismatch]).toEqual([MIB, -1]);
    }));
}
