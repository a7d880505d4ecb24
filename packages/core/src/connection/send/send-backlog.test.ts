import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SendBacklog } from "./send-backlog.ts";

function bytesOf(length: number, value = 1): Uint8Array {
  return new Uint8Array(length).fill(value);
}

function drain(backlog: SendBacklog): Uint8Array[] {
  const runs: Uint8Array[] = [];
  for (let run = backlog.shift(); run !== null; run = backlog.shift()) runs.push(run);
  return runs;
}

describe("SendBacklog", () => {
  test("has nothing to give when it is empty", () => {
    expect(new SendBacklog().shift()).toBeNull();
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
    backlog.shift();
    expect([backlog.frames, backlog.bytes]).toEqual([1, 20_000]);
    backlog.shift();
    expect([backlog.frames, backlog.bytes]).toEqual([0, 0]);
  });

  test("tells the frames that the peer asked for from the others", () => {
    const backlog = new SendBacklog();
    backlog.append(bytesOf(10), 0, 10, true);
    backlog.append(bytesOf(20_000), 0, 20_000, false);
    const other = new SendBacklog();
    other.append(bytesOf(5), 0, 5, true);
    backlog.take(other);
    expect([backlog.answers, backlog.answerBytes, other.answers, other.answerBytes]).toEqual([2, 15, 0, 0]);
    drain(backlog);
    expect([backlog.answers, backlog.answerBytes]).toEqual([0, 0]);
  });

  test("forgets everything on clear", () => {
    const backlog = new SendBacklog();
    backlog.append(bytesOf(10), 0, 10, false);
    backlog.clear();
    expect([backlog.shift(), backlog.frames, backlog.bytes]).toEqual([null, 0, 0]);
  });

  test("a run that was given is not written to afterwards", () => {
    const backlog = new SendBacklog();
    backlog.append(bytesOf(10, 1), 0, 10, false);
    const run = backlog.shift() as Uint8Array;
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
            collect(backlog.shift());
          }
        }
        backlog.take(other);
        expect([other.frames, other.bytes, other.shift()]).toEqual([0, 0, null]);
        other = new SendBacklog();
        for (let run = backlog.shift(); run !== null; run = backlog.shift()) collect(run);
        expect(given).toEqual([...first, ...second]);
        expect([backlog.frames, backlog.bytes]).toEqual([0, 0]);
      }),
    );
  });

  test("gives more than a hundred runs in order", () => {
    const backlog = new SendBacklog();
    for (let value = 0; value < 150; value += 1) backlog.append(bytesOf(16_384, value), 0, 16_384, false);
    expect(drain(backlog).map((run) => run[0])).toEqual(Array.from({ length: 150 }, (_, index) => index));
  });
});
