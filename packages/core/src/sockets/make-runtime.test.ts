import { AsyncResource } from "node:async_hooks";
import { createHmac, createSecretKey, hash } from "node:crypto";
import * as zlib from "node:zlib";
import { describe, expect, test } from "vitest";
import { makeRuntime, type RuntimePrimitives } from "./make-runtime.ts";

/** Returns Node.js primitives that log their calls. */
function primitives(given: Partial<RuntimePrimitives> = {}) {
  const log: unknown[] = [];
  const made: RuntimePrimitives = {
    name: "fake",
    globals: {
      performance,
      setImmediate,
      setTimeout: (_task: () => void, delayMs: number) => {
        log.push(["set", delayMs]);
        return "timer";
      },
      clearTimeout: (timer: unknown) => void log.push(["clear", timer]),
    },
    nextTick: process.nextTick,
    unrefTimer: (timer) => void log.push(["unref", timer]),
    AsyncResource,
    nodeCrypto: { hash, createHmac, createSecretKey },
    zlib,
    terminationSignals: ["SIGINT", "SIGTERM"],
    onSignal: (signal) => void log.push(["on", signal]),
    offSignal: (signal) => void log.push(["off", signal]),
    warn: () => {},
    connect: () => Promise.reject(new Error("no sockets")),
    listen: () => Promise.reject(new Error("no sockets")),
    lookup: () => Promise.reject(new Error("no sockets")),
    ...given,
  };
  return { log, made, runtime: makeRuntime(made) };
}

describe("makeRuntime", () => {
  test("hands on what is the runtime's own", () => {
    const { made, runtime } = primitives();
    expect([runtime.name, runtime.warn]).toEqual(["fake", made.warn]);
  });

  test("only a timer that keeps the process alive is left as it is", () => {
    const { log, runtime } = primitives();
    runtime.setTimer(() => {}, 7, true);
    runtime.clearTimer(runtime.setTimer(() => {}, 2 ** 40, false));
    expect(log).toEqual([
      ["set", 7],
      ["set", 2 ** 31 - 1],
      ["unref", "timer"],
      ["clear", "timer"],
    ]);
  });

  test("defers by a tick that a microtask sets", async () => {
    const entries: string[] = [];
    const { runtime } = primitives({
      nextTick: (task) => {
        entries.push("tick set");
        process.nextTick(task);
      },
    });
    runtime.defer(() => entries.push("deferred"));
    void Promise.resolve().then(() => entries.push("microtask"));
    entries.push("turn");
    await new Promise((resolve) => setImmediate(resolve));
    expect(entries).toEqual(["turn", "tick set", "microtask", "deferred"]);
  });

  test("memory is zeroed and views are plain, unless the runtime has better", () => {
    const plain = primitives().runtime;
    expect(plain.allocate(3)).toEqual(new Uint8Array(3));
    expect(plain.view(Uint8Array.of(1, 2, 3), 1, 2)).toEqual(Uint8Array.of(2));
    const own = primitives({ allocate: (bytes) => Buffer.alloc(bytes, 7), view: (bytes) => bytes }).runtime;
    const memory = own.allocate(2);
    expect([memory.constructor, [...memory]]).toEqual([Uint8Array, [7, 7]]);
    expect(own.view(memory, 0, 1)).toBe(memory);
  });

  test("inflates what it has deflated, to plain arrays", () => {
    const { runtime } = primitives();
    const deflated = runtime.deflate(new Uint8Array(1000));
    expect([deflated.constructor, deflated.length < 100]).toEqual([Uint8Array, true]);
    expect(runtime.inflate(deflated, 1000)).toEqual(new Uint8Array(1000));
  });

  test("listens to the signals that the system has, until told not to", () => {
    const heard: string[] = [];
    const listeners = new Map<string, () => void>();
    const { log, runtime } = primitives({
      terminationSignals: ["SIGINT"],
      onSignal: (signal, listener) => void listeners.set(signal, listener),
      offSignal: (signal, listener) => void log.push([signal, listeners.get(signal) === listener]),
    });
    const remove = runtime.onTerminate((signal) => heard.push(signal));
    listeners.get("SIGINT")?.();
    remove();
    expect([heard, log]).toEqual([["SIGINT"], [["SIGINT", true]]]);
  });

  test("its clocks are the platform's", () => {
    const { runtime } = primitives();
    expect(runtime.now()).toBeLessThanOrEqual(performance.now());
    expect(Number.isSafeInteger(runtime.wallClock())).toBe(true);
  });
});
