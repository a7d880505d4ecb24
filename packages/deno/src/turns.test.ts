import { expect, test } from "vitest";
import { afterPause, nextTurn } from "./turns.ts";

test("turns that are asked for during a pause come when it is over, and later ones as always", async () => {
  const events: string[] = [];
  await new Promise<void>((resolve) => {
    afterPause(() => {
      events.push("pause");
      queueMicrotask(resolve);
    });
    nextTurn(() => events.push("turn"));
    afterPause(() => events.push("again"));
  });
  expect(events).toEqual(["pause", "turn", "again"]);
  await new Promise<void>(nextTurn);
});
