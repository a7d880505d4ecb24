import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { memoryStore } from "../store/memory-store.ts";
import type { Store } from "../store/store.ts";
import { gate } from "../test-support/gate.ts";
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

/** Creates answers in a store with a clock. */
function scene(makeView: (store: Store) => Store = (store) => store, maxOwnerBytes = 256 * 1024 * 1024) {
  const clock = { ms: 0 };
  const store = makeView(memoryStore({ now: () => clock.ms }));
  const signs = new Set<() => void>();
  const interrupted: string[] = [];
  const answersOf = (run: string): StoredAnswers =>
    new StoredAnswers({
      store,
      codec,
      onceMs: ONCE_MS,
      run,
      now: () => clock.ms,
      wallClock: () => clock.ms,
      sha256: (bytes) => createHash("sha256").update(bytes).digest(),
      every: (_delayMs, task) => {
        signs.add(task);
        return () => signs.delete(task);
      },
      storeFailed: () => undefined,
      interrupted: (_owner, { name }) => void interrupted.push(name),
      maxOwnerBytes,
    });
  return { answers: answersOf("this process"), answersOf, clock, signs, interrupted };
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
  // More than 64 MiB in total.
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

test("its caller gets the answer that those who ask again get, whatever changes the result meanwhile", async () => {
  const { answers } = scene();
  const account = { balance: 70 };
  await answers.begin("u", "id", REQUEST);
  const ended = answers.end("u", "id", 1, { result: account });
  account.balance = 20;
  expect(await ended).toEqual({ result: { balance: 70 } });
  expect(await answers.begin("u", "id", REQUEST)).toEqual({ result: { balance: 70 } });
});

test.each([
  [1, 3],
  [3, 3],
  [5, 5],
])("a message with %i deliveries that ends its process each time is begun %i times", async (deliveries, times) => {
  const { answersOf, interrupted } = scene();
  const message: OnceRequest = { ...REQUEST, isCall: false, deliveries };
  for (let run = 1; run <= times; run += 1) {
    expect(await answersOf(`process ${run}`).begin("u", "id", message)).toBe(run);
  }
  expect(await answersOf("the last").begin("u", "id", message)).toMatchObject({
    error: { code: ErrorCode.OUTCOME_UNKNOWN, details: { deliveries: times } },
  });
  expect(interrupted).toEqual(["m"]);
});

test("a call that was interrupted is never begun again, and is no dead letter", async () => {
  const { answersOf, interrupted } = scene();
  expect(await answersOf("the first").begin("u", "id", REQUEST)).toBe(1);
  expect(await answersOf("the next").begin("u", "id", REQUEST)).toMatchObject({
    error: { code: ErrorCode.OUTCOME_UNKNOWN },
  });
  expect(interrupted).toEqual([]);
});

/** Returns a store that rejects once after having stored the value. */
function losingOneAnswer(method: "create" | "put"): (store: Store) => Store {
  return (store) => {
    let isLost = false;
    const lose = async <T>(done: Promise<T>): Promise<T> => {
      const result = await done;
      if (isLost) return result;
      isLost = true;
      throw new Error("no answer");
    };
    return {
      isShared: true,
      get: (key) => store.get(key),
      create: (...args) => (method === "create" ? lose(store.create(...args)) : store.create(...args)),
      put: (...args) => (method === "put" ? lose(store.put(...args)) : store.put(...args)),
      delete: (key) => store.delete(key),
      keys: (...args) => store.keys(...args),
    };
  };
}

test("a call whose beginning the store kept without saying so begins when it comes again", async () => {
  const { answers } = scene(losingOneAnswer("create"));
  await expect(answers.begin("u", "id", REQUEST)).rejects.toMatchObject({ details: { started: false } });
  expect(await answers.begin("u", "id", REQUEST)).toBe(1);
});

test("a call that was carried out isn't begun again, although the store didn't say that it kept the answer", async () => {
  const { answers } = scene(losingOneAnswer("put"));
  await answers.begin("u", "id", REQUEST);
  await answers.end("u", "id", 1, { result: 1 });
  expect(await answers.begin("u", "id", REQUEST)).toEqual({ result: 1 });
});

test("handlers that never end show no signs of life when the server has stopped", async () => {
  const { answers, signs } = scene(losingOneAnswer("put"));
  await answers.begin("u", "id", REQUEST);
  expect(signs.size).toBe(1);
  await answers.stop();
  expect(signs.size).toBe(0);
});

test("what another server carries out may be asked for again when that one's lease ends", async () => {
  const { answers, answersOf, clock } = scene(losingOneAnswer("put"));
  await answersOf("another process").begin("u", "id", REQUEST);
  clock.ms = 12_000;
  await expect(answers.begin("u", "id", REQUEST)).rejects.toMatchObject({ details: { retry_after: 18 } });
});

test("an answer is kept after the last sign of life, in whatever order the store writes", async () => {
  const held = gate();
  let writes = 0;
  const { answers, answersOf, signs } = scene((store) => ({
    isShared: true,
    get: (key) => store.get(key),
    create: (...args) => store.create(...args),
    put: async (...args) => {
      writes += 1;
      if (writes === 1) await held.promise;
      await store.put(...args);
    },
    delete: (key) => store.delete(key),
    keys: (...args) => store.keys(...args),
  }));
  await answers.begin("u", "id", REQUEST);
  for (const sign of signs) sign();
  const ended = answers.end("u", "id", 1, { result: "done" });
  await new Promise((resolve) => setImmediate(resolve));
  held.open();
  await ended;
  await new Promise((resolve) => setImmediate(resolve));
  expect(await answersOf("another process").begin("u", "id", REQUEST)).toEqual({ result: "done" });
});

/** Returns a shared store whose writes fail with the error set by the test. */
function failing(state: { error: Error | null }) {
  return (store: Store): Store => ({
    isShared: true,
    get: (key) => store.get(key),
    create: (...args) => store.create(...args),
    put: async (...args) => {
      if (state.error !== null) throw state.error;
      await store.put(...args);
    },
    delete: (key) => store.delete(key),
    keys: (...args) => store.keys(...args),
  });
}

test("an answer that the store couldn't keep is kept when it can, so another process gives it", async () => {
  const state: { error: Error | null } = { error: new Error("unreachable") };
  const { answers, answersOf, clock, signs } = scene(failing(state));
  for (const id of ["one", "two"]) {
    await answers.begin("u", id, REQUEST);
    await answers.end("u", id, 1, { result: id });
  }
  expect(signs.size).toBe(1);
  const [again] = signs;
  again?.();
  await new Promise((resolve) => setImmediate(resolve));
  expect(signs.size).toBe(1);
  state.error = null;
  again?.();
  await new Promise((resolve) => setImmediate(resolve));
  expect(signs.size).toBe(0);
  clock.ms = 31_000;
  for (const id of ["one", "two"]) {
    expect(await answersOf("another process").begin("u", id, REQUEST)).toEqual({ result: id });
  }
});

test("an answer that the store couldn't keep doesn't replace what another process has begun since then", async () => {
  const state: { error: Error | null } = { error: new Error("unreachable") };
  const { answers, answersOf, clock, signs } = scene(failing(state));
  const message = { ...REQUEST, isCall: false };
  await answers.begin("u", "id", message);
  await answers.end("u", "id", 1, { result: "first" });
  state.error = null;
  clock.ms = 31_000;
  const other = answersOf("another process");
  expect(await other.begin("u", "id", message)).toBe(2);
  for (const sign of [...signs]) sign();
  await new Promise((resolve) => setImmediate(resolve));
  await other.end("u", "id", 2, { result: "second" });
  expect(await answersOf("a third one").begin("u", "id", message)).toEqual({ result: "second" });
  expect(signs.size).toBe(0);
});

test("a failure that the store couldn't keep isn't told in place of a later delivery of the same process", async () => {
  const state: { error: Error | null } = { error: new Error("unreachable") };
  const { answers, answersOf, clock, signs } = scene(failing(state));
  const message = { ...REQUEST, isCall: false, deliveries: 5 };
  await answers.begin("u", "id", message);
  await answers.end("u", "id", 1, { error: new RpcError(900, "busy") });
  const again = [...signs];
  state.error = null;
  expect(await answers.begin("u", "id", { ...message, delivery: 2 })).toBe(2);
  for (const sign of again) sign();
  await new Promise((resolve) => setImmediate(resolve));
  clock.ms = 31_000;
  // The first process was killed during its second delivery.
  expect(await answersOf("another process").begin("u", "id", { ...message, delivery: 2 })).toBe(3);
});

test("a server that stops tries once more to keep answers, and then no more until its next start", async () => {
  const state: { error: Error | null } = { error: new Error("unreachable") };
  const { answers, answersOf, clock, signs } = scene(failing(state));
  const givenElsewhere = (id: string): unknown => answersOf("another process").begin("u", id, REQUEST);
  for (const id of ["one", "two"]) await answers.begin("u", id, REQUEST);
  await answers.end("u", "one", 1, { result: 1 });
  state.error = null;
  await answers.stop();
  expect(await givenElsewhere("one")).toEqual({ result: 1 });
  state.error = new Error("unreachable");
  await answers.end("u", "two", 1, { result: 2 });
  expect(signs.size).toBe(0);
  state.error = null;
  await answers.begin("u", "three", REQUEST);
  for (const sign of [...signs]) sign();
  await new Promise((resolve) => setImmediate(resolve));
  clock.ms = 31_000;
  expect(await givenElsewhere("two")).toEqual({ result: 2 });
});

test("an answer that the store is too small for is told as that by another process", async () => {
  const tooLarge = new ConduitError(ErrorCode.MESSAGE_TOO_LARGE, "too large");
  const { answers, answersOf } = scene((store) => ({
    ...failing({ error: null })(store),
    put: async (key, value, ttlMs) => {
      if (value.length > 1000) throw tooLarge;
      await store.put(key, value, ttlMs);
    },
  }));
  await answers.begin("u", "id", REQUEST);
  await answers.end("u", "id", 1, { result: "x".repeat(2000) });
  expect(await answers.begin("u", "id", REQUEST)).toEqual({ result: "x".repeat(2000) });
  expect(await answersOf("another process").begin("u", "id", REQUEST)).toMatchObject({
    error: { code: ErrorCode.MESSAGE_TOO_LARGE },
  });
});

test("asking again for an answer takes nothing of what the user may keep", async () => {
  const { answers } = scene(undefined, 4096);
  const begin = async (id: string) => await answers.begin("u", id, REQUEST);
  expect(await begin("id")).toBe(1);
  await answers.end("u", "id", 1, { result: 1 });
  for (let i = 0; i < 100; i += 1) expect(await begin("id")).toEqual({ result: 1 });
  expect(await begin("another id")).toBe(1);
  const crowd = Array.from({ length: 20 }, (_, index) => begin(`id ${index}`));
  await expect(Promise.all(crowd)).rejects.toMatchObject({ codeName: "STORE_FULL" });
});
