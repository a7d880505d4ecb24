import { expect, test } from "vitest";
import { fillPattern } from "./recorder.ts";
import { MIB, type Stage, turns } from "./stage.ts";

/** `close` by one side or both, and the stream's behaviour afterwards. */
export function describeEnding(stage: Stage): void {
  test("close flushes what was written, and both sides close cleanly", () =>
    stage.withOpenPair(async ({ a, atA, atB }) => {
      atB.verifyPattern();
      const size = 8 * MIB;
      a.write(fillPattern(new Uint8Array(size), 0));
      await a.close();
      await atB.whenClosed;
      expect([atB.total, atB.firstMismatch]).toEqual([size, -1]);
      expect([atA.closedCalls, atB.closedCalls]).toEqual([[null], [null]]);
    }));

  test("data is delivered after close until the peer ends, which flushes what it wrote", () =>
    stage.withOpenPair(async ({ a, b, atA }) => {
      atA.verifyPattern();
      const size = 4 * MIB;
      b.write(fillPattern(new Uint8Array(size), 0));
      await a.close();
      expect([atA.total, atA.firstMismatch]).toEqual([size, -1]);
      expect(atA.closedCalls).toEqual([null]);
    }));

  test("close resolves after the sink was told, however often and late it is called", () =>
    stage.withOpenPair(async ({ a, b, atA, atB }) => {
      await Promise.all([a.close(), a.close(), b.close()]);
      expect(atA.closedCalls).toEqual([null]);
      await atB.whenClosed;
      await a.close();
      await b.close();
    }));

  test("write after close is ignored and returns false", () =>
    stage.withOpenPair(async ({ a, atB }) => {
      a.write(Uint8Array.of(1));
      const closing = a.close();
      expect(a.write(Uint8Array.of(2))).toBe(false);
      await closing;
      expect(a.write(Uint8Array.of(3))).toBe(false);
      await atB.whenClosed;
      expect([...atB.bytes()]).toEqual([1]);
    }));

  test("a stream whose peer ended delivers its data at open, then closes", () =>
    stage.withPair(async ({ a, b, atA, atB }) => {
      atA.open(a);
      a.write(Uint8Array.of(5, 6));
      const closing = a.close();
      atB.open(b);
      await Promise.all([closing, atB.whenClosed]);
      expect([...atB.bytes()]).toEqual([5, 6]);
      expect(atB.closedCalls).toEqual([null]);
    }));

  test("both sides closing at once flush what they wrote, and close cleanly", () =>
    stage.withOpenPair(async ({ a, b, atA, atB }) => {
      atA.verifyPattern();
      atB.verifyPattern();
      const bytes = fillPattern(new Uint8Array(2 * MIB), 0);
      a.write(bytes);
      b.write(bytes);
      await Promise.all([a.close(), b.close()]);
      await Promise.all([atA.whenClosed, atB.whenClosed]);
      expect([atA.total, atA.firstMismatch, atA.closedCalls]).toEqual([bytes.length, -1, [null]]);
      expect([atB.total, atB.firstMismatch, atB.closedCalls]).toEqual([bytes.length, -1, [null]]);
    }));

  test("after the end every call is answered, and none does anything", () =>
    stage.withOpenPair(async ({ a, atA, atB }) => {
      await a.close();
      await atB.whenClosed;
      a.pause();
      a.resume();
      expect([a.write(Uint8Array.of(1)), a.queuedBytes]).toEqual([false, 0]);
      a.destroy(new Error("too late"));
      await a.close();
      await turns(5);
      expect(atA.closedCalls).toEqual([null]);
    }));

  test("a stream whose peer ended long before open delivers its data at open, then closes", () =>
    stage.withPair(async ({ a, b, atA, atB }) => {
      atA.open(a);
      a.write(Uint8Array.of(5, 6));
      const closing = a.close();
      await turns(20);
      atB.open(b);
      await Promise.all([closing, atB.whenClosed]);
      expect([...atB.bytes()]).toEqual([5, 6]);
      expect(atB.closedCalls).toEqual([null]);
    }));

  test("addresses stay as they were after the stream has closed", () =>
    stage.withOpenPair(async ({ a, b, atB }) => {
      const before = [a.local, a.remote, b.local, b.remote].map((address) => ({ ...address }));
      await a.close();
      await atB.whenClosed;
      expect([a.local, a.remote, b.local, b.remote]).toEqual(before);
    }));
}
