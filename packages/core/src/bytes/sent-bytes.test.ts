import { describe, expect, test } from "vitest";
import { SentBytes } from "./sent-bytes.ts";

const KIB = 1024;

function kept(sent: SentBytes): number[] {
  return [...sent.unacknowledged()].flatMap((bytes) => [...bytes]);
}

test("an acknowledgement of less than before, or of more than was sent, is refused and changes nothing", () => {
  const sent = new SentBytes();
  sent.append(Uint8Array.of(1, 2, 3, 4));
  expect(sent.acknowledge(2)).toBe(true);
  expect([1, 5].map((received) => [sent.isPossible(received), sent.acknowledge(received)])).toEqual([
    [false, false],
    [false, false],
  ]);
  expect([sent.acknowledged, kept(sent)]).toEqual([2, [3, 4]]);
});

describe("the memory of what was sent", () => {
  test("is 8 KiB at most, however much was sent, when only a short write isn't acknowledged", () => {
    const sent = new SentBytes();
    for (let round = 0; round < 500; round += 1) sent.append(new Uint8Array(200 + round));
    const { end } = sent;
    sent.append(new Uint8Array(45).fill(7));
    expect(sent.capacity).toBeGreaterThanOrEqual(sent.length);
    sent.acknowledge(end);
    expect(kept(sent)).toEqual(Array(45).fill(7));
    expect(sent.capacity).toBeLessThanOrEqual(8 * KIB);
  });

  test("is 8 KiB at most behind a large write that was acknowledged", () => {
    const sent = new SentBytes();
    sent.append(new Uint8Array(500 * KIB));
    const { end } = sent;
    sent.append(new Uint8Array(45));
    expect(sent.capacity).toBeGreaterThanOrEqual(500 * KIB);
    sent.acknowledge(end);
    expect(sent.capacity).toBeLessThanOrEqual(8 * KIB);
  });

  test("is none when all is acknowledged, or when nothing is kept any more", () => {
    const sent = new SentBytes();
    sent.append(new Uint8Array(20 * KIB));
    sent.append(new Uint8Array(100));
    sent.acknowledge(sent.end);
    expect(sent.capacity).toBe(0);
    sent.append(new Uint8Array(100));
    sent.clear();
    expect(sent.capacity).toBe(0);
  });
});
