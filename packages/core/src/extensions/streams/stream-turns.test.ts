import { describe, expect, test } from "vitest";
import type { Continuable } from "../../context/turn-queue.ts";
import { StreamTurns } from "./stream-turns.ts";

function scene(): { turns: StreamTurns; queued: Continuable[] } {
  const queued: Continuable[] = [];
  return { turns: new StreamTurns({ add: (work) => queued.push(work) }), queued };
}

/** Handles items of `bytes` bytes until the turn ends. Returns their number. */
function itemsInTurn(turns: StreamTurns, bytes: number): number {
  let count = 1;
  while (turns.pass(bytes) === null) count += 1;
  return count;
}

describe("turns of streams", () => {
  test("a stream handles hundreds of small items in a turn, or a few large ones", () => {
    expect(itemsInTurn(scene().turns, 64)).toBeGreaterThan(400);
    expect(itemsInTurn(scene().turns, 65_536)).toBeLessThan(10);
  });

  test("of thousands that wait, a bounded number continues in each turn, in order", async () => {
    const { turns, queued } = scene();
    itemsInTurn(turns, 64);
    const woken: number[] = [];
    for (let n = 0; n < 2000; n += 1) void turns.pass(64)?.then(() => woken.push(n));
    expect(queued).toHaveLength(1);
    queued.shift()?.continueTurn();
    await Promise.resolve();
    expect(woken.length).toBeLessThan(520);
    while (queued.length > 0) queued.shift()?.continueTurn();
    await Promise.resolve();
    expect(woken).toEqual(Array.from({ length: 2000 }, (_, n) => n));
  });

  test("of many that begin at once, each turn lets as many continue as have room in it if their items are like the last one", async () => {
    const { turns, queued } = scene();
    let begun = 0;
    const begin = async (): Promise<void> => {
      await turns.begin();
      begun += 1;
      turns.count(65_536);
    };
    for (let n = 0; n < 8; n += 1) {
      void begin();
      await Promise.resolve();
    }
    for (let n = 0; n < 100; n += 1) void begin();
    await Promise.resolve();
    expect(begun).toBe(8);
    queued.shift()?.continueTurn();
    await Promise.resolve();
    expect(begun).toBe(16);
  });

  test("the next turn has its whole share again", () => {
    const { turns, queued } = scene();
    const first = itemsInTurn(turns, 64);
    queued.shift()?.continueTurn();
    expect(itemsInTurn(turns, 64)).toBe(first);
  });
});
