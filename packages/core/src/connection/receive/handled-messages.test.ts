import { expect, test } from "vitest";
import { HandledMessages } from "./handled-messages.ts";

function numbered(count: number) {
  let changes = 0;
  const handled = new HandledMessages(() => {
    changes += 1;
  });
  const requests = Array.from({ length: count }, () => ({}));
  for (const request of requests) {
    handled.arrived();
    handled.started(request);
  }
  return { handled, requests, changes: () => changes };
}

test("knows what has been handled, in whatever order handlers end", () => {
  const { handled, requests, changes } = numbered(8);
  for (const number of [3, 5, 4, 7, 1]) handled.settled(requests[number] as object);
  expect([handled.handled, handled.handledAbove, handled.unfinished]).toEqual([0, [1, 2, 3, 6, 7, 8], 3]);
  handled.settled(requests[2] as object);
  expect(handled.handledAbove).toEqual([1, 6, 7, 8]);
  handled.settled(requests[0] as object);
  expect([handled.handled, handled.handledAbove]).toEqual([6, [7, 8]]);
  handled.settled(requests[6] as object);
  handled.settled(requests[6] as object);
  expect([handled.handled, handled.handledAbove, handled.unfinished, changes()]).toEqual([8, [], 0, 8]);
});

test("agrees with a plain set, over many random orders", () => {
  for (let round = 0; round < 200; round += 1) {
    const { handled, requests } = numbered(30);
    const order = requests.map((_, number) => number).sort(() => Math.random() - 0.5);
    const known = new Set<number>();
    for (const number of order) {
      handled.settled(requests[number] as object);
      known.add(number);
      let all = 0;
      while (known.has(all)) all += 1;
      expect(handled.handled).toBe(all);
      const above: number[] = [];
      const ranges = handled.handledAbove;
      for (let i = 0; i < ranges.length; i += 2) {
        for (let n = ranges[i] as number; n < (ranges[i + 1] as number); n += 1) above.push(n);
      }
      expect(above).toEqual([...known].filter((n) => n >= all).sort((a, b) => a - b));
    }
  }
});

test("refused ones count as handled, and dropped ones don't", () => {
  const handled = new HandledMessages(() => undefined);
  const request = {};
  for (let i = 0; i < 4; i += 1) handled.arrived();
  handled.lastRefused();
  handled.started(request);
  handled.nextRefused();
  expect([handled.handled, handled.handledAbove]).toEqual([0, [1, 2, 3, 4]]);
  handled.dropped();
  handled.settled(request);
  expect([handled.handled, handled.handledAbove]).toEqual([2, [3, 4]]);
});
