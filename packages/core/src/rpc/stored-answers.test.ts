import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { memoryStore } from "../store/memory-store.ts";
import type { Store } from "../store/store.ts";
import { mortalStore } from "../test-support/mortal-store.ts";
import type { Codec } from "./answer-record.ts";
import type { OnceRequest } from "./once-window.ts";
import { StoredAnswers } from "./stored-answers.ts";

const ONCE_MS = 600_000;
const BIG = "x".repeat(300 * 1024);
const REQUEST: OnceRequest = { key: "k", isCall: true, name: "m", value: {}, delivery: 1, deliveries: 1 };

const codec: Codec = {
  encode: (value) => new TextEncoder().encode(JSON.stringify(value)),
  decode: (bytes) => JSON.parse(new TextDecoder().decode(bytes)),
};

/** Answers in a store, with a clock. */
function scene(makeView: (store: Store) => Store = (store) => store) {
  const clock = { ms: 0 };
  const store = makeView(memoryStore({ now: () => clock.ms }));
  const answers = new StoredAnswers({
    store,
    codec,
    onceMs: ONCE_MS,
    run: "this process",
    now: () => clock.ms,
    wallClock: () => clock.ms,
    sha256: (bytes) => createHash("sha256").update(bytes).digest(),
    every: () => () => undefined,
    storeFailed: () => undefined,
    interrupted: () => undefined,
  });
  return { answers, clock };
}

test("an answer that is too large for the store is forgotten after onceMs", async () => {
  const { answers, clock } = scene();
  await answers.begin("u", "id", REQUEST);
  await answers.end("u", "id", 1, { result: BIG });
  clock.ms = ONCE_MS - 1;
  expect(await answers.begin("u", "id", REQUEST)).toEqual({ result: BIG });
  clock.ms = ONCE_MS;
  expect(await answers.begin("u", "id", REQUEST)).toBe(1);
});

test("answers that are too large for the store give way to later ones after onceMs", async () => {
  const { answers, clock } = scene();
  // More than 64 MiB in all.
  for (let i = 0; i < 230; i += 1) {
    await answers.begin("u", `id ${i}`, REQUEST);
    await answers.end("u", `id ${i}`, 1, { result: BIG });
    clock.ms += ONCE_MS / 10;
  }
  expect(await answers.begin("u", "id 229", REQUEST)).toEqual({ result: BIG });
});

test("what the store couldn't keep is forgotten after onceMs", async () => {
  const { answers, clock } = scene((store) => {
    const view = mortalStore(store);
    view.failing.add("put");
    return view;
  });
  await answers.begin("u", "id", REQUEST);
  await answers.end("u", "id", 1, { result: 1 });
  expect(await answers.begin("u", "id", REQUEST)).toEqual({ result: 1 });
  clock.ms = ONCE_MS;
  expect(await answers.begin("u", "id", REQUEST)).toBe(1);
});
