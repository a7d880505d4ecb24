import { describe, expect, test } from "vitest";
import { CallbackTimer } from "../util/time.ts";
import { TimerWheel } from "../util/timer-wheel.ts";
import { BufferPool, RECEIVING } from "../wire/buffer-pool.ts";
import { fakeRuntime } from "./fake-runtime.ts";
import { leftovers, watchFromNow } from "./leftovers.ts";
import { outcome, testClient, testServer } from "./peers.ts";

describe("leftovers", () => {
  test("lists a connection with its timers and pending calls until it has ended, and then nothing", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, {}, (fresh) => {
      fresh.rpc("never", (_params, { signal }) => new Promise((_, reject) => signal.addEventListener("abort", reject)));
    });
    const { client } = testClient(runtime);
    await client.connect();
    const abort = new AbortController();
    const calls = [client.call("never"), client.call("never", {}, { signal: abort.signal })].map(outcome);
    await runtime.settle();
    const found = leftovers();
    expect(found.filter((left) => left === "connection that is active")).toHaveLength(2);
    expect(found.filter((left) => left === "timer of ConnectionHeartbeat")).toHaveLength(2);
    expect(found.filter((left) => left === "timer of OutgoingCall")).toHaveLength(2);
    expect(found).toContain("2 pending calls");
    expect(found).toContain("1 abort listeners on a AbortSignal");

    await client.close();
    await server.stop();
    await runtime.settle();
    expect(leftovers()).toEqual([]);
    expect(calls.map(({ state }) => state)).toEqual(["rejected", "rejected"]);
  });

  test("lists streams with their windows until they have ended, and then nothing", async () => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime, {}, (fresh) => {
      fresh.stream("two", async function* (_params, { signal }) {
        yield 1;
        yield 2;
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      });
    });
    const { client } = testClient(runtime);
    await client.connect();
    const stream = client.stream("two");
    await stream.next();
    expect(leftovers().filter((left) => left === "1 open streams")).toHaveLength(2);
    expect(leftovers().some((left) => left.endsWith("bytes of windows of streams"))).toBe(true);

    await stream.return?.();
    await runtime.settle();
    expect(leftovers().filter((left) => left.includes("stream"))).toEqual([]);
    await client.close();
    await server.stop();
    await runtime.settle();
    expect(leftovers()).toEqual([]);
  });

  test("lists a timer that is scheduled, and not one that was cancelled or has fired", async () => {
    watchFromNow();
    const runtime = fakeRuntime();
    const wheel = new TimerWheel(runtime);
    const [fires, waits, cancelled] = [1, 2, 3].map(() => new CallbackTimer(() => undefined)) as [
      CallbackTimer,
      CallbackTimer,
      CallbackTimer,
    ];
    wheel.schedule(fires, 10);
    wheel.schedule(waits, 1000);
    wheel.schedule(cancelled, 1000);
    wheel.cancel(cancelled);
    await runtime.advance(100);
    expect(leftovers()).toEqual(["timer of CallbackTimer"]);
    wheel.cancel(waits);
  });

  test("tells of a buffer that a pool was given twice", () => {
    watchFromNow();
    const runtime = fakeRuntime();
    const pool = new BufferPool((bytes) => new Uint8Array(bytes), new TimerWheel(runtime), RECEIVING);
    const buffer = pool.take(100_000);
    pool.give(buffer);
    expect(leftovers()).toEqual([]);
    pool.give(buffer);
    expect(leftovers()).toEqual(["a pool was given a buffer twice"]);
    watchFromNow();
  });
});
