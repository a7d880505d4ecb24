import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { QueuedFrame } from "../connection/receive/queued-frame.ts";
import { RequestQueue } from "../connection/receive/request-queue.ts";
import { RpcError } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { testClient, testServer } from "../test-support/peers.ts";
import { type MemoryPeer, rawClient } from "../test-support/raw-memory.ts";
import { call, frame, Type } from "../testing/raw-frames.ts";

const CALLS_AT_A_TIME = 500;
const MIB = 1024 * 1024;
const FULL = { close: true, reply: true };

/** Returns `gc()` without a command-line flag. */
function collector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}

test("requests that were cancelled while they waited take no memory, although others wait before them", async () => {
  const collect = collector();
  const runtime = fakeRuntime();
  const options = { handlerConcurrency: 1, receiveQueueSize: 10 };
  const { port } = await testServer(runtime, options, (server) => server.rpc("wait", () => gate().promise));
  const peer = await rawClient(runtime, port);
  peer.call("wait", {}, 1);
  peer.call("wait", {}, 2);
  await runtime.settle();
  const used = async (): Promise<number> => {
    peer.sent.length = 0;
    // An ArrayBuffer's memory is freed after the collection that finds it.
    for (let round = 0; round < 3; round += 1) {
      await runtime.settle();
      collect();
    }
    return process.memoryUsage().arrayBuffers;
  };
  const before = await used();
  for (let id = 3; id < 3000; id += 1) {
    peer.write(call(id, "wait", { pad: "x".repeat(10_000) }), frame(Type.CANCEL, undefined, { id }));
    if (id % 100 === 0) await runtime.settle();
  }
  // 30 MB were sent.
  expect((await used()) - before).toBeLessThan(4 * MIB);
});

test.each([
  ["reported to this side's hook", 0],
  ["and its sender hears of that", 0x1000],
])("a message whose error quotes it isn't kept when it was handled: %s", async (_how, flags) => {
  const collect = collector();
  const runtime = fakeRuntime();
  const { port, errors } = await testServer(runtime, {}, (server) => {
    server.on("get", (_connection, id) => new RpcError(404, `There is nothing called ${id}`));
  });
  const used = async (): Promise<number> => {
    for (let round = 0; round < 4; round += 1) {
      await runtime.advance(10_000);
      collect();
    }
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const peers: MemoryPeer[] = [];
  for (let n = 0; n < 10; n += 1) {
    peers.push(await rawClient(runtime, port, { extensions: { ...FULL, refusal: true } }));
  }
  const before = await used();
  for (const peer of peers) {
    for (let n = 0; n < 2; n += 1) {
      const data = "x".repeat(4 * MIB);
      peer.write(frame(Type.MESSAGE, { type: "get", data }, { flags }));
      await runtime.settle();
    }
    peer.sent.length = 0;
    errors.length = 0;
  }
  expect((await used()) - before).toBeLessThan(10 * MIB);
});

test("a queue keeps no place for a request that was removed behind one that waits", () => {
  const collect = collector();
  const queue = new RequestQueue();
  const bytes = new Uint8Array(100);
  const request = (correlationLo: number): QueuedFrame => {
    const header = { type: 1, flags: 0, correlationHi: 0, correlationLo, exclusive: true, isShared: true };
    return new QueuedFrame({ ...header, bytes, payloadStart: 0, payloadEnd: 100 }, true, 0);
  };
  const round = (count: number): number => {
    for (let id = 0; id < count; id += 1) {
      const removed = request(id);
      queue.push(removed);
      queue.delete(removed);
    }
    collect();
    return process.memoryUsage().heapUsed;
  };
  const first = request(0);
  queue.push(first);
  const before = round(1000);
  expect(round(100_000) - before).toBeLessThan(MIB);
  expect([queue.length, queue.bytes, queue.shift()]).toEqual([1, 132, first]);
});

test("the heap stays flat over 200,000 calls, cancelled ones among them", async () => {
  const collect = collector();
  const runtime = fakeRuntime();
  await testServer(runtime, {}, (server) => {
    server.rpc("add", (params) => (params["a"] as number) + 1);
    server.rpc("add_later", async (params) => (params["a"] as number) + 1);
    server.rpc("never", (_params, { signal }) => {
      const { promise, fail } = gate<never>();
      signal.addEventListener("abort", () => fail(signal.reason), { once: true });
      return promise;
    });
    server.on("ask", (_connection, data) => data);
  });
  const { client } = testClient(runtime);
  await client.connect();

  const round = async (): Promise<void> => {
    const calls: Promise<unknown>[] = [];
    for (let a = 0; a < CALLS_AT_A_TIME; a += 1) {
      calls.push(client.call(a % 2 === 0 ? "add" : "add_later", { a }));
      if (a % 10 === 0) calls.push(client.request("ask", { a }));
      if (a % 50 === 0) {
        const abort = new AbortController();
        calls.push(client.call("never", {}, { signal: abort.signal }).catch(() => undefined));
        abort.abort();
      }
    }
    await Promise.all(calls);
  };
  const used = async (): Promise<number> => {
    await runtime.advance(100);
    collect();
    return process.memoryUsage().heapUsed;
  };

  for (let count = 0; count < 40; count += 1) await round();
  const before = await used();
  for (let count = 0; count < 400; count += 1) await round();
  const grown = (await used()) - before;

  // Detects a leak of five bytes per call.
  expect(grown).toBeLessThan(MIB);
  expect(client.health().pendingCalls).toBe(0);
}, 60_000);
