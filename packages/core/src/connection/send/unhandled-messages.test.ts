import { expect, test } from "vitest";
import { EncodedValue } from "../../wire/encoded-value.ts";
import { handledIn, UnhandledMessages } from "./unhandled-messages.ts";

function kept(count: number, maxBytes = 1_000_000): UnhandledMessages {
  const all = new UnhandledMessages(maxBytes);
  for (let number = 0; number < count; number += 1) {
    all.add({ isCall: false, name: String(number), value: new EncodedValue(new Uint8Array(900)), meta: undefined });
  }
  return all;
}

const names = (all: UnhandledMessages, handled: number, above: number[]): unknown => {
  const { messages, lost } = all.rest({ handled, above });
  return [messages.map(({ name }) => Number(name)), lost];
};

test("keeps messages until they have been handled", () => {
  const all = kept(8);
  expect(names(all, 0, [])).toEqual([[0, 1, 2, 3, 4, 5, 6, 7], 0]);
  all.handled(3);
  all.handled(2);
  expect(all.bytes).toBe(5000);
  expect(names(all, 3, [4, 6, 7, 8])).toEqual([[3, 6], 0]);
  all.handled(100);
  expect([names(all, 8, []), all.bytes]).toEqual([[[], 0], 0]);
});

test("gives up the oldest beyond maxBytes, which count as lost unless they have been handled", () => {
  const all = kept(8, 3000);
  expect(names(all, 0, [])).toEqual([[5, 6, 7], 5]);
  expect(names(all, 2, [3, 6])).toEqual([[6, 7], 1]);
});

test.each([
  [[1, 2], { handled: 0, above: [1, 2] }],
  [[], { handled: 0, above: [] }],
  [[0, 1], null],
  [[2, 2], null],
  [[3, 4, 1, 2], null],
  [[1, 3, 2, 4], null],
  [[1], null],
  [[1, "2"], null],
])("ranges %j of a peer count if they follow each other", (above, read) => {
  expect(handledIn({ handled: 0, above })).toEqual(read);
});
