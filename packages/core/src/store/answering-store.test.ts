import { expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { mortalStore } from "../test-support/mortal-store.ts";
import { outcome } from "../test-support/peers.ts";
import { TimerWheel } from "../util/timer-wheel.ts";
import { AnsweringStore } from "./answering-store.ts";
import { memoryStore } from "./memory-store.ts";

function scene() {
  const runtime = fakeRuntime();
  const view = mortalStore(memoryStore({ now: () => runtime.wallClock() }));
  return { runtime, view, store: new AnsweringStore(view, new TimerWheel(runtime)) };
}

const ONE = Uint8Array.of(1);

test("An operation that the store doesn't answer within ten seconds, or the given time, rejects with STORE_FAILED", async () => {
  const { runtime, view, store } = scene();
  view.isDead = true;
  const [put, read] = [outcome(store.put("a", ONE, 1000)), outcome(store.get("a", 2000))];
  await runtime.advance(2100);
  expect([put.state, read.error?.code]).toEqual(["pending", ErrorCode.STORE_FAILED]);
  await runtime.advance(8000);
  expect(put.error?.code).toBe(ErrorCode.STORE_FAILED);
});

test("Answers and errors of the store are handed on", async () => {
  const { view, store } = scene();
  expect(await store.create("a", ONE, 1000)).toBe(true);
  expect([await store.get("a"), await store.keys("", 10)]).toEqual([ONE, ["a"]]);
  view.failing.add("put");
  await expect(store.put("a", ONE, 1000)).rejects.toThrow("put fails");
});

test("A store that throws, instead of rejecting, leaves no timer behind", async () => {
  const { runtime } = scene();
  const wheel = new TimerWheel(runtime);
  const get = (): never => {
    throw new Error("no connection");
  };
  const store = new AnsweringStore(Object.assign(memoryStore(), { get }), wheel);
  await expect(store.get("a")).rejects.toThrow("no connection");
  wheel.disarmIfEmpty();
  expect(runtime.timers.count).toBe(0);
});

test("Nothing is timed once the server has stopped", async () => {
  const { runtime, view, store } = scene();
  view.isDead = true;
  const read = outcome(store.get("a"));
  store.end();
  await runtime.advance(20_000);
  expect(read.state).toBe("pending");
});

test("100,000 operations may be unanswered, and those that were answered or failed don't count", async () => {
  const { runtime, view, store } = scene();
  await store.get("a");
  view.failing.add("put");
  await expect(store.put("a", ONE, 1000)).rejects.toThrow("put fails");
  view.isDead = true;
  for (let count = 1; count < 100_000; count += 1) void store.get("a");
  const [last, refused] = [outcome(store.get("a")), outcome(store.get("a"))];
  await runtime.settle();
  expect([last.state, refused.error?.code]).toEqual(["pending", ErrorCode.STORE_FAILED]);
});
