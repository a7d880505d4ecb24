import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { HEADER_BYTES } from "../../limits.ts";
import { SendBacklog, type UnsentRequest } from "./send-backlog.ts";
import { SendCredit } from "./send-credit.ts";

function bytesOf(length: number, value = 1): Uint8Array {
  return new Uint8Array(length).fill(value);
}

function drain(backlog: SendBacklog): Uint8Array[] {
  const runs: Uint8Array[] = [];
  for (let run = backlog.shift(0); run !== null; run = backlog.shift(0)) runs.push(run);
  return runs;
}

describe("SendBacklog", () => {
  test("has nothing to give when it is empty", () => {
    expect(new SendBacklog().shift(0)).toBeNull();
  });

  test("gives several small frames as one run", () => {
    const backlog = new SendBacklog();
    for (const value of [1, 2, 3]) backlog.append(bytesOf(10, value), 0, 10, false);
    expect(drain(backlog).map((run) => run.length)).toEqual([30]);
  });

  test("never cuts a frame in two", () => {
    const backlog = new SendBacklog();
    for (let count = 0; count < 100; count += 1) backlog.append(bytesOf(3000), 0, 3000, false);
    for (const run of drain(backlog)) expect(run.length % 3000).toBe(0);
  });

  test("counts frames and bytes down as they leave", () => {
    const backlog = new SendBacklog();
    backlog.append(bytesOf(10), 0, 10, false);
    backlog.append(bytesOf(20_000), 0, 20_000, false);
    backlog.shift(0);
    expect([backlog.frames, backlog.bytes]).toEqual([1, 20_000]);
    backlog.shift(0);
    expect([backlog.frames, backlog.bytes]).toEqual([0, 0]);
  });

  test("tells the frames that the peer asked for from the others", () => {
    const backlog = new SendBacklog();
    backlog.append(bytesOf(10), 0, 10, true);
    backlog.append(bytesOf(20_000), 0, 20_000, false);
    const other = new SendBacklog();
    other.append(bytesOf(5), 0, 5, true);
    other.moveTo(backlog, null);
    expect([backlog.answers, backlog.answerBytes, other.answers, other.answerBytes]).toEqual([2, 15, 0, 0]);
    drain(backlog);
    expect([backlog.answers, backlog.answerBytes]).toEqual([0, 0]);
  });

  test("forgets everything on clear", () => {
    const backlog = new SendBacklog();
    backlog.append(bytesOf(10), 0, 10, false);
    backlog.clear();
    expect([backlog.shift(0), backlog.frames, backlog.bytes]).toEqual([null, 0, 0]);
  });

  test("a run that was given is not written to afterwards", () => {
    const backlog = new SendBacklog();
    backlog.append(bytesOf(10, 1), 0, 10, false);
    const run = backlog.shift(0) as Uint8Array;
    backlog.append(bytesOf(10, 2), 0, 10, false);
    expect([...new Uint8Array(run.buffer)]).not.toContain(2);
  });

  test("keeps the order of everything, also of what it takes over from another one", () => {
    const frame = fc.record({ length: fc.constantFrom(1, 32, 4096, 5000, 16_383, 16_384, 70_000), to: fc.nat(2) });
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 60 }), (frames) => {
        const backlog = new SendBacklog();
        let other = new SendBacklog();
        const first: number[] = [];
        const second: number[] = [];
        const given: number[] = [];
        const collect = (run: Uint8Array | null): void => {
          for (let at = 0; run !== null && at < run.length; ) {
            const index = run[at] as number;
            given.push(index);
            at += frames[index]?.length as number;
          }
        };
        for (const [index, { length, to }] of frames.entries()) {
          const bytes = bytesOf(length, index);
          if (to === 0) {
            backlog.append(bytes, 0, length, false);
            first.push(index);
          } else if (to === 1) {
            other.append(bytes, 0, length, false);
            second.push(index);
          } else {
            collect(backlog.shift(0));
          }
        }
        other.moveTo(backlog, null);
        expect([other.frames, other.bytes, other.shift(0)]).toEqual([0, 0, null]);
        other = new SendBacklog();
        for (let run = backlog.shift(0); run !== null; run = backlog.shift(0)) collect(run);
        expect(given).toEqual([...first, ...second]);
        expect([backlog.frames, backlog.bytes]).toEqual([0, 0]);
      }),
    );
  });

  test("gives back everything but what was withdrawn, in order, whatever moves with credit in between", () => {
    const size = fc.constantFrom(32, 40, 100, 5000, 16_383, 16_384, 70_000);
    const step = fc.oneof(
      fc.record({ do: fc.constant("add"), size, request: fc.boolean() }),
      fc.record({ do: fc.constant("withdraw"), index: fc.nat(40) }),
      fc.record({ do: fc.constant("credit"), frames: fc.nat(5), bytes: fc.nat(40_000) }),
      fc.record({ do: fc.constant("shift") }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const held = new SendBacklog();
        const ready = new SendBacklog();
        const credit = new SendCredit(0, 0);
        const requests: { readonly number: number; readonly request: UnsentRequest }[] = [];
        const expected = new Set<number>();
        const given: number[] = [];
        const collect = (run: Uint8Array | null): void => {
          for (let at = 0; run !== null && at < run.length; ) {
            const view = new DataView(run.buffer, run.byteOffset + at);
            given.push(view.getUint32(16));
            at += HEADER_BYTES + view.getUint32(12);
          }
        };
        let number = 0;
        for (const one of steps) {
          if ("size" in one) {
            const bytes = new Uint8Array(one.size);
            new DataView(bytes.buffer).setUint32(12, one.size - HEADER_BYTES);
            new DataView(bytes.buffer).setUint32(16, number);
            if (one.request) requests.push({ number, request: held.appendRequest(bytes, 0, one.size, 0) });
            else held.append(bytes, 0, one.size, false);
            expected.add(number);
            number += 1;
          } else if ("index" in one) {
            const [taken] = requests.splice(one.index % Math.max(1, requests.length), 1);
            const backlog = taken?.request.block?.backlog;
            if (taken === undefined || backlog === undefined) continue;
            backlog.withdraw(taken.request);
            expected.delete(taken.number);
          } else if ("frames" in one) {
            credit.add(one.frames, one.bytes);
            held.moveTo(ready, credit);
          } else {
            collect(ready.shift(0));
          }
        }
        for (let run = ready.shift(0); run !== null; run = ready.shift(0)) collect(run);
        for (let run = held.shift(0); run !== null; run = held.shift(0)) collect(run);
        expect(given).toEqual([...expected]);
        expect([held.frames, held.bytes, ready.frames, ready.bytes]).toEqual([0, 0, 0, 0]);
      }),
    );
  });

  test("does not grow by requests that are withdrawn behind one that waits", () => {
    const backlog = new SendBacklog();
    backlog.append(bytesOf(32), 0, 32, false);
    const blocks = new Set<unknown>();
    for (let count = 0; count < 100_000; count += 1) {
      const request = backlog.appendRequest(bytesOf(100), 0, 100, 0);
      blocks.add(request.block);
      backlog.withdraw(request);
    }
    expect(blocks.size).toBe(1);
  });

  /** Creates a frame with its length in the header. */
  function frameOf(length: number, value: number): Uint8Array {
    const bytes = bytesOf(length, value);
    new DataView(bytes.buffer).setUint32(12, length - HEADER_BYTES);
    return bytes;
  }

  test("lets a request be withdrawn that moved with its block's front, and no other leaves with it", () => {
    const held = new SendBacklog();
    const ready = new SendBacklog();
    const requests = [1, 2, 3, 4].map((value) => held.appendRequest(frameOf(100, value), 0, 100, 0));
    const credit = new SendCredit(2, 1_000_000);
    held.moveTo(ready, credit);
    expect(requests.map(({ block }) => block?.backlog === ready)).toEqual([true, true, false, false]);
    ready.withdraw(requests[0] as UnsentRequest);
    held.withdraw(requests[3] as UnsentRequest);
    expect([ready.frames, ready.bytes, held.frames, held.bytes]).toEqual([1, 100, 1, 100]);
    expect([...drain(ready), ...drain(held)].map((run) => [run.length, run[0]])).toEqual([
      [100, 2],
      [100, 3],
    ]);
  });

  test("takes frames after it was cleared, and requests that it forgot can't be withdrawn", () => {
    const backlog = new SendBacklog();
    const forgotten = backlog.appendRequest(frameOf(100, 1), 0, 100, 0);
    backlog.clear();
    expect(forgotten.block).toBeNull();
    backlog.append(frameOf(100, 2), 0, 100, false);
    expect([backlog.frames, drain(backlog).map((run) => [run.length, run[0]])]).toEqual([1, [[100, 2]]]);
  });

  test("takes frames behind a block that moved elsewhere", () => {
    const held = new SendBacklog();
    const ready = new SendBacklog();
    held.append(frameOf(100, 1), 0, 100, false);
    held.moveTo(ready, null);
    held.append(frameOf(100, 2), 0, 100, false);
    expect([drain(ready).map((run) => run[0]), drain(held).map((run) => run[0])]).toEqual([[1], [2]]);
  });

  test("gives more than a hundred runs in order", () => {
    const backlog = new SendBacklog();
    for (let value = 0; value < 150; value += 1) backlog.append(bytesOf(16_384, value), 0, 16_384, false);
    expect(drain(backlog).map((run) => run[0])).toEqual(Array.from({ length: 150 }, (_, index) => index));
  });
});
