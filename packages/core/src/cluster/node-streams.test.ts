import * as v from "valibot";
import { describe, expect, test } from "vitest";
import type { Client } from "../client/client.ts";
import { ErrorCode, RpcError } from "../errors.ts";
import type { Server } from "../server/server.ts";
import { BOB, type ClusterScene, clusterScene, firstIdOf, idsOf, three } from "../test-support/cluster-scene.ts";
import { gate } from "../test-support/gate.ts";
import { outcome } from "../test-support/peers.ts";
import type { NodePeer } from "./node-peer.ts";

const LIMITS = { heartbeatMs: 100, nodeTimeoutMs: 300 };
const KIB = 1024;

interface Scene {
  readonly a: Server;
  readonly all: ClusterScene;
  readonly client: Client;
  /** The client at node b, as called by node a. */
  readonly peer: NodePeer;
  /** Delivers pending messages without a heartbeat. */
  settle(): Promise<void>;
}

async function scene(prepare: (client: Client) => void = () => undefined): Promise<Scene> {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all);
  const client = await b.join();
  prepare(client);
  return { a: a.server, all, client, peer: a.server.peer(firstIdOf(b)), settle: () => all.runtime.settle() };
}

/** Reads a stream to its end. */
async function read(items: AsyncIterable<unknown>): Promise<{ items: unknown[]; error: unknown }> {
  const read: unknown[] = [];
  try {
    for await (const item of items) read.push(item);
  } catch (error) {
    return { items: read, error };
  }
  return { items: read, error: null };
}

/** Counts from 1 without end; records when it is stopped. */
function counting(ends: string[], item: (n: number) => unknown = (n) => n) {
  return async function* (): AsyncGenerator<unknown> {
    try {
      for (let n = 1; ; n += 1) {
        ends.push(`made ${n}`);
        yield item(n);
      }
    } finally {
      ends.push("closed");
    }
  };
}

describe("a stream of a connection on another node", () => {
  test("delivers the handler's items in order and the end", async () => {
    const { peer } = await scene((client) => {
      client.stream("count", async function* ({ to }, { meta }) {
        for (let n = 1; n <= Number(to); n += 1) yield { n, at: new Date(n), bytes: new Uint8Array([n]), meta };
      });
    });
    const { items, error } = await read(peer.stream("count", { to: 3 }, { meta: { trace: "t" } }));
    expect(error).toBeNull();
    expect(items).toEqual(
      [1, 2, 3].map((n) => ({ n, at: new Date(n), bytes: new Uint8Array([n]), meta: { trace: "t" } })),
    );
  });

  test("can be read as a web stream", async () => {
    const { peer } = await scene((client) => client.stream("two", () => ["a", "b"]));
    expect((await read(peer.stream("two").readable)).items).toEqual(["a", "b"]);
  });

  test("throws the handler's error after the preceding items, as from a client of this node", async () => {
    const { peer } = await scene((client) => {
      client.stream("half", async function* () {
        yield 1;
        throw new RpcError(2000, "no more", { details: { left: 1 } });
      });
    });
    const { items, error } = await read(peer.stream("half"));
    expect(items).toEqual([1]);
    expect(error).toBeInstanceOf(RpcError);
    expect(error).toMatchObject({ code: 2000, message: "no more" });
  });

  test.each([
    ["no such stream", "missing", ErrorCode.METHOD_NOT_FOUND],
    ["a method without a stream", "plain", ErrorCode.STREAM_MISMATCH],
  ])("fails for %s", async (_what, name, code) => {
    const { peer } = await scene((client) => client.rpc("plain", () => 1));
    expect((await read(peer.stream(name))).error).toMatchObject({ code });
  });

  test("ends the producer when its reader leaves", async () => {
    const ends: string[] = [];
    const { peer, settle } = await scene((client) => client.stream("count", counting(ends)));
    for await (const n of peer.stream("count")) if (n === 2) break;
    await settle();
    expect(ends.at(-1)).toBe("closed");
  });

  test("pauses a producer without a reader, and resumes it as items are consumed", async () => {
    const ends: string[] = [];
    const big = (n: number): unknown => ({ n, text: "x".repeat(16 * KIB) });
    const { peer, settle } = await scene((client) => client.stream("big", counting(ends, big)));
    const stream = peer.stream<{ n: number }>("big");
    await settle();
    const made = ends.length;
    // One window between the nodes and one between the client and its node.
    expect(made).toBeGreaterThan(16);
    expect(made).toBeLessThan(48);
    await settle();
    expect(ends.length).toBe(made);
    for (let n = 1; n <= 100; n += 1) expect((await stream.next()).value?.n).toBe(n);
    await settle();
    expect(ends.length).toBeGreaterThan(100);
    await stream.return?.();
  });

  test("pauses a producer of small items after about a thousand, and resumes it", async () => {
    const ends: string[] = [];
    const { peer, settle } = await scene((client) => {
      client.stream("count", function* () {
        for (let n = 1; n <= 100_000; n += 1) {
          if (n % 1000 === 0) ends.push(`made ${n}`);
          yield [n, "x".repeat(200)];
        }
      });
    });
    const stream = peer.stream<[number]>("count");
    await settle();
    // About 256 KiB are in the window of the client's connection.
    expect(ends.length).toBeLessThan(4);
    let count = 0;
    for await (const [n] of stream) {
      count += 1;
      expect(n).toBe(count);
      if (count === 5000) break;
    }
    expect(count).toBe(5000);
  });

  test("carries items that are larger than its window", async () => {
    const { peer } = await scene((client) => {
      client.stream("huge", async function* () {
        for (const n of [1, 2, 3]) yield new Uint8Array(400 * KIB).fill(n);
      });
    });
    const { items, error } = await read(peer.stream<Uint8Array>("huge"));
    expect(error).toBeNull();
    expect(items.map((item) => [(item as Uint8Array).length, (item as Uint8Array)[0]])).toEqual(
      [1, 2, 3].map((n) => [400 * KIB, n]),
    );
  });

  test("fails after the preceding items if an item exceeds the link's limit", async () => {
    const { all, peer } = await scene((client) => {
      client.stream("large", async function* () {
        yield 1;
        yield "x".repeat(8 * KIB);
      });
    });
    all.cluster.maxPayloadBytes = 4 * KIB;
    expect(await read(peer.stream("large"))).toMatchObject({
      items: [1],
      error: { code: ErrorCode.MESSAGE_TOO_LARGE },
    });
  });

  test("is checked with the option output, and ends with the first item that doesn't fit", async () => {
    const ends: string[] = [];
    const item = (n: number): unknown => (n === 3 ? "three" : n);
    const { peer, settle } = await scene((client) => client.stream("count", counting(ends, item)));
    const { items, error } = await read(peer.stream("count", {}, { output: v.number() }));
    expect([items, error]).toMatchObject([[1, 2], { code: ErrorCode.INVALID_RESULT }]);
    await settle();
    expect(ends.at(-1)).toBe("closed");
  });

  test("ends with CANCELLED by its signal or with TIMEOUT, and ends the producer", async () => {
    for (const code of [ErrorCode.CANCELLED, ErrorCode.TIMEOUT]) {
      const reasons: unknown[] = [];
      const { all, peer } = await scene((client) => {
        client.stream("wait", async function* (_params, { signal }) {
          yield 1;
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          reasons.push("aborted");
        });
      });
      const controller = new AbortController();
      const stream = peer.stream("wait", {}, { signal: controller.signal, timeoutMs: 1000 });
      expect((await stream.next()).value).toBe(1);
      const next = outcome(stream.next());
      if (code === ErrorCode.CANCELLED) controller.abort();
      await all.runtime.advance(code === ErrorCode.CANCELLED ? 10 : 1100);
      expect([next.error?.code, reasons]).toEqual([code, ["aborted"]]);
      expect(await stream.next()).toEqual({ done: true, value: undefined });
    }
  });

  test("isn't opened with an aborted signal or invalid options", async () => {
    const { peer } = await scene((client) => client.stream("two", () => ["a", "b"]));
    const failure = async (options: object) => (await read(peer.stream("two", {}, options))).error;
    expect(await failure({ signal: AbortSignal.abort() })).toMatchObject({ code: ErrorCode.CANCELLED });
    for (const options of [{ input: 5 }, { onProgress: 5 }, { output: 5 }, { timeoutMs: -1 }]) {
      expect(await failure(options)).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
    }
  });

  test("answers several readers in the order of their requests", async () => {
    const { peer } = await scene((client) => client.stream("two", () => ["a", "b"]));
    const stream = peer.stream("two");
    const steps = await Promise.all([stream.next(), stream.next(), stream.next()]);
    expect(steps.map(({ value }) => value)).toEqual(["a", "b", undefined]);
  });

  test("answers a waiting reader when another leaves", async () => {
    const { peer, settle } = await scene((client) => {
      client.stream("never", (_params, { signal }) => {
        return (async function* () {
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          yield 1;
        })();
      });
    });
    const stream = peer.stream("never");
    const next = outcome(stream.next());
    await settle();
    await stream.return?.();
    await settle();
    expect(next).toMatchObject({ state: "resolved", value: { done: true } });
  });
});

describe("an input of a call of a connection on another node", () => {
  test("is read by the handler, and the call returns its result", async () => {
    const { peer } = await scene((client) => {
      client.rpc({ name: "sum", input: v.number() }, async (_params, { input }) => {
        let sum = 0;
        for await (const n of input) sum += n;
        return sum;
      });
    });
    const numbers = Array.from({ length: 100 }, (_, n) => n + 1);
    expect(await peer.call("sum", {}, { input: numbers, result: v.number() })).toBe(5050);
    await expect(peer.call("sum", {}, { input: numbers, result: v.string() })).rejects.toMatchObject({
      code: ErrorCode.INVALID_RESULT,
    });
  });

  test("and an output run concurrently", async () => {
    const { peer } = await scene((client) => {
      client.stream({ name: "shout", input: v.string() }, async function* (_params, { input }) {
        for await (const line of input) yield line.toUpperCase();
      });
    });
    const heard: unknown[] = [];
    const answered = gate();
    async function* lines(): AsyncGenerator<string> {
      yield "one";
      // The second item is requested before the first was returned, and produced after it.
      await answered.promise;
      yield "two";
    }
    for await (const line of peer.stream("shout", {}, { input: lines() })) {
      heard.push(line);
      answered.open();
    }
    expect(heard).toEqual(["ONE", "TWO"]);
  });

  test("is closed without being read if there is no handler", async () => {
    const log: string[] = [];
    const { peer, settle } = await scene();
    const call = outcome(peer.call("missing", {}, { input: watched(log) }));
    await settle();
    expect([call.error?.code, log]).toEqual([ErrorCode.METHOD_NOT_FOUND, ["closed"]]);
  });

  test("is closed when the handler stops reading", async () => {
    const ends: string[] = [];
    const { peer, settle } = await scene((client) => {
      client.rpc({ name: "first", input: v.number() }, async (_params, { input }) => {
        for await (const n of input) return n;
        return 0;
      });
    });
    expect(await peer.call("first", {}, { input: counting(ends)() })).toBe(1);
    await settle();
    expect(ends.at(-1)).toBe("closed");
  });

  test("pauses while the handler doesn't read", async () => {
    const [ends, held] = [[] as string[], gate()];
    const big = (): unknown => "x".repeat(16 * KIB);
    const { peer, settle } = await scene((client) => {
      client.rpc({ name: "slow", input: v.string() }, async (_params, { input }) => {
        let count = 0;
        for await (const _ of input) {
          if (count === 0) await held.promise;
          count += 1;
          if (count === 200) break;
        }
        return count;
      });
    });
    const call = outcome(peer.call("slow", {}, { input: counting(ends, big)() }));
    await settle();
    const made = ends.length;
    expect(made).toBeLessThan(64);
    await settle();
    expect(ends.length).toBe(made);
    held.open();
    await settle();
    expect(call).toMatchObject({ state: "resolved", value: 200 });
  });

  test.each([
    ["its code, if it is an RpcError", new RpcError(2000, "torn"), 2000],
    ["INTERNAL, if it is another", new Error("torn"), ErrorCode.INTERNAL],
  ])("that fails ends the handler's loop with %s, and the call with the error itself", async (_what, torn, code) => {
    const heard: unknown[] = [];
    const { peer } = await scene((client) => {
      client.rpc({ name: "sum", input: v.number() }, async (_params, { input }) => {
        try {
          for await (const n of input) heard.push(n);
        } catch (error) {
          heard.push((error as RpcError).code);
        }
        return "over";
      });
    });
    async function* source(): AsyncGenerator<number> {
      yield 1;
      throw torn;
    }
    await expect(peer.call("sum", {}, { input: source() })).rejects.toBe(torn);
    expect(heard).toEqual([1, code]);
  });

  test("that can't be closed fails the call with its own error", async () => {
    const { peer } = await scene();
    const broken = new Error("can't be closed");
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<never>(() => undefined),
        return: () => Promise.reject(broken),
      }),
    };
    await expect(peer.call("missing", {}, { input: source })).rejects.toBe(broken);
  });

  test("ends when the call is cancelled, and the handler's loop throws CANCELLED", async () => {
    const [ends, heard]: [string[], unknown[]] = [[], []];
    const { peer, settle } = await scene((client) => {
      client.rpc({ name: "sum", input: true }, async (_params, { input }) => {
        try {
          for await (const n of input) heard.push(n);
        } catch (error) {
          heard.push((error as RpcError).code);
        }
      });
    });
    const controller = new AbortController();
    async function* source(): AsyncGenerator<number> {
      try {
        yield 1;
        await new Promise((resolve) => controller.signal.addEventListener("abort", resolve));
        yield 2;
      } finally {
        ends.push("closed");
      }
    }
    const call = outcome(peer.call("sum", {}, { input: source(), signal: controller.signal }));
    await settle();
    controller.abort();
    await settle();
    expect([call.error?.code, ends, heard]).toEqual([ErrorCode.CANCELLED, ["closed"], [1, ErrorCode.CANCELLED]]);
  });
});

/** Returns a source that logs its calls. */
function watched(log: string[]) {
  return {
    [Symbol.asyncIterator]: () => ({
      async next() {
        log.push("asked");
        return { done: false, value: 1 };
      },
      async return() {
        log.push("closed");
        return { done: true, value: undefined };
      },
    }),
  };
}

test("The progress of a call on another node reaches the listener, and a listener's error is reported", async () => {
  const errors: unknown[] = [];
  const { a, peer } = await scene((client) => {
    client.rpc("work", async (_params, context) => {
      context.progress(1);
      await Promise.resolve();
      return "done";
    });
  });
  const heard: unknown[] = [];
  const result = await peer.call("work", {}, { onProgress: (value) => heard.push(value) });
  expect([heard, result]).toEqual([[1], "done"]);
  const broken = new Error("can't show it");
  a.onError((error, { stage, name }) => errors.push([error, stage, name]));
  const onProgress = (): never => {
    throw broken;
  };
  expect(await peer.call("work", {}, { onProgress })).toBe("done");
  expect(errors).toEqual([[broken, "hook", "onProgress"]]);
});

describe("a stream between nodes", () => {
  test("fails after the received items when the node leaves, and the producer ends", async () => {
    const ends: string[] = [];
    const { all, peer } = await scene((client) => {
      client.stream("wait", async function* (_params, { signal }) {
        yield 1;
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        ends.push("aborted");
      });
    });
    const stream = peer.stream("wait");
    await all.runtime.settle();
    all.cluster.partition(["a", "c"], ["b"]);
    await all.runtime.advance(600);
    expect(await read(stream)).toMatchObject({ items: [1], error: { code: ErrorCode.NODE_UNAVAILABLE } });
    expect(ends).toEqual(["aborted"]);
  });

  test("fails when an item is lost, and doesn't continue after it", async () => {
    const held = [gate(), gate()];
    const { all, peer, settle } = await scene((client) => {
      client.stream("three", async function* () {
        yield 1;
        await held[0]?.promise;
        yield 2;
        await held[1]?.promise;
        yield 3;
      });
    });
    const stream = peer.stream("three");
    await settle();
    all.cluster.dropNext(1);
    held[0]?.open();
    await settle();
    held[1]?.open();
    await settle();
    expect(await read(stream)).toMatchObject({ items: [1], error: { code: ErrorCode.NODE_UNAVAILABLE } });
  });

  test("fails when its last item is lost: at its end, or at the other node's next heartbeat if it doesn't end", async () => {
    for (const isEndless of [false, true]) {
      const held = gate();
      const { all, peer, settle } = await scene((client) => {
        client.stream("two", async function* (_params, { signal }) {
          yield 1;
          await held.promise;
          yield 2;
          if (isEndless) await new Promise((resolve) => signal.addEventListener("abort", resolve));
        });
      });
      const stream = peer.stream("two");
      await settle();
      all.cluster.dropNext(1);
      held.open();
      if (isEndless) await all.runtime.advance(250);
      else await settle();
      expect(await read(stream)).toMatchObject({ items: [1], error: { code: ErrorCode.NODE_UNAVAILABLE } });
    }
  });

  test("continues after an acknowledgement of consumed items was lost", async () => {
    const ends: string[] = [];
    const big = (n: number): unknown => ({ n, text: "x".repeat(100 * KIB) });
    const { all, peer, settle } = await scene((client) => client.stream("big", counting(ends, big)));
    const stream = peer.stream<{ n: number }>("big");
    await settle();
    const made = ends.length;
    all.cluster.dropNext(1);
    for (const n of [1, 2]) expect((await stream.next()).value?.n).toBe(n);
    await settle();
    expect(ends.length).toBe(made);
    await all.runtime.advance(250);
    expect(ends.length).toBeGreaterThan(made);
    await stream.return?.();
  });

  /** Makes a call with an input of 1 and 2 that is held before 2 and before its end. */
  async function heldInput() {
    const heard: unknown[] = [];
    const { all, peer, settle } = await scene((client) => {
      client.rpc({ name: "all", input: true }, async (_params, { input }) => {
        try {
          for await (const n of input) heard.push(n);
          return "read";
        } catch (error) {
          heard.push((error as RpcError).code);
          throw error;
        }
      });
    });
    const held = [gate(), gate()];
    async function* source(): AsyncGenerator<number> {
      yield 1;
      await held[0]?.promise;
      yield 2;
      await held[1]?.promise;
    }
    const begin = () => outcome(peer.call("all", {}, { input: source() }));
    return { all, heard, held, begin, settle };
  }

  test("starts its input although the handler's request for it was lost", async () => {
    const { all, heard, held, begin, settle } = await heldInput();
    for (const { open } of held) open();
    const received = (): number => all.cluster.received.get("b") ?? 0;
    const before = received();
    const call = begin();
    while (received() === before) await Promise.resolve();
    // The call has arrived; this is node b's first message.
    all.cluster.dropNext(1);
    await settle();
    expect(heard).toEqual([]);
    await all.runtime.advance(300);
    expect([heard, call.value]).toEqual([[1, 2], "read"]);
  });

  test.each([
    ["an item of its input", 0],
    ["the end of its input", 1],
  ])("fails when %s is lost", async (_what, at) => {
    const { all, heard, held, begin, settle } = await heldInput();
    const call = begin();
    await settle();
    if (at === 1) {
      held[0]?.open();
      await settle();
    }
    all.cluster.dropNext(1);
    for (const { open } of held) open();
    await all.runtime.advance(300);
    expect(call.error?.code).toBe(ErrorCode.NODE_UNAVAILABLE);
    expect(heard).toEqual(at === 0 ? [1, ErrorCode.INTERNAL] : [1, 2, ErrorCode.INTERNAL]);
  });

  test("closes its source even if the message that the handler stopped reading is lost", async () => {
    const [ends, held, over] = [[] as string[], gate(), gate()];
    const { all, peer, settle } = await scene((client) => {
      client.rpc({ name: "first", input: true }, async (_params, { input }) => {
        for await (const _ of input) {
          await held.promise;
          break;
        }
        await over.promise;
        return "first";
      });
    });
    async function* source(): AsyncGenerator<number> {
      try {
        yield 1;
        await over.promise;
        yield 2;
      } finally {
        ends.push("closed");
      }
    }
    const call = outcome(peer.call("first", {}, { input: source() }));
    await settle();
    all.cluster.dropNext(1);
    held.open();
    await all.runtime.advance(300);
    over.open();
    await settle();
    expect([call.value, ends]).toEqual(["first", ["closed"]]);
  });

  test("closes its source even if the report of a lost item is lost and the handler continues", async () => {
    const [ends, held, over] = [[] as string[], gate(), gate()];
    const { all, peer, settle } = await scene((client) => {
      client.rpc({ name: "all", input: true }, async (_params, { input }) => {
        try {
          for await (const _ of input);
        } catch {
          await over.promise;
        }
        return "went on";
      });
    });
    async function* source(): AsyncGenerator<unknown> {
      try {
        yield "x".repeat(200 * KIB);
        await held.promise;
        yield 2;
        for (;;) yield "x".repeat(200 * KIB);
      } finally {
        ends.push("closed");
      }
    }
    const call = outcome(peer.call("all", {}, { input: source() }));
    await settle();
    all.cluster.delayMs = 10;
    all.cluster.dropNext(1);
    held.open();
    await settle();
    // The item after the lost one is in flight; none of node b's messages about it arrive.
    all.cluster.partition(["a"], ["b"], ["c"]);
    await all.runtime.advance(20);
    all.cluster.partition();
    expect(ends).toEqual([]);
    await all.runtime.advance(300);
    expect([call.state, ends]).toEqual(["pending", ["closed"]]);
    over.open();
    await all.runtime.advance(50);
    expect(call.state).not.toBe("pending");
  });

  test("ends with CLUSTER_UNAVAILABLE or NODE_UNAVAILABLE when its node's link is cut", async () => {
    const { all, heard, held, begin, settle } = await heldInput();
    const call = begin();
    await settle();
    all.cluster.cut("a");
    held[0]?.open();
    await settle();
    expect(call.state).toBe("pending");
    await all.runtime.advance(600);
    expect([ErrorCode.CLUSTER_UNAVAILABLE, ErrorCode.NODE_UNAVAILABLE]).toContain(call.error?.code);
    expect(heard.slice(0, 2)).toEqual([1, ErrorCode.CANCELLED]);
  });

  test("leaves no resources behind after its end", async () => {
    const { all, peer } = await scene((client) => {
      client.stream({ name: "echo", input: true }, async function* (_params, { input }) {
        yield* input;
      });
    });
    const perSecond = async (): Promise<number> => {
      const before = all.cluster.received.get("b") ?? 0;
      await all.runtime.advance(1000);
      return (all.cluster.received.get("b") ?? 0) - before;
    };
    await all.runtime.advance(1000);
    const idle = await perSecond();
    expect((await read(peer.stream("echo", {}, { input: [1, 2] }))).items).toEqual([1, 2]);
    for await (const _ of peer.stream("echo", {}, { input: [1, 2] })) break;
    await all.runtime.advance(1000);
    expect(await perSecond()).toBe(idle);
  });
});

test("A stream goes directly to this node's own client, and to no client if no node has the connection", async () => {
  const all = clusterScene({}, LIMITS);
  const [a] = await three(all);
  const client = await a.join();
  client.stream("two", () => ["a", "b"]);
  client.rpc({ name: "sum", input: v.number() }, async (_params, { input }) => {
    let sum = 0;
    for await (const n of input) sum += n;
    return sum;
  });
  const peer = a.server.peer(firstIdOf(a));
  expect((await read(peer.stream("two"))).items).toEqual(["a", "b"]);
  expect(await peer.call("sum", {}, { input: [1, 2] })).toBe(3);
  expect(idsOf(a)).toHaveLength(3);
  await client.disconnect();
  await all.runtime.settle();
  expect((await read(peer.stream("two"))).error).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
  await expect(peer.call("sum", {}, { input: [1, 2] })).rejects.toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
});

test("A fractional timeout, as set by the option parent, or one above all integers applies on the other node", async () => {
  const { a, all, peer } = await scene((client) => {
    client.rpc("one", () => 1);
    client.stream("two", () => [1, 2]);
    client.rpc("never", () => new Promise(() => undefined));
    client.rpc({ name: "sum", input: true }, async (_params, { input }) => (await read(input)).items.length);
  });
  for (const timeoutMs of [0.5, 1000.25, 1e300]) {
    expect(await peer.call("one", {}, { timeoutMs })).toBe(1);
    expect(await peer.call("sum", {}, { timeoutMs, input: [1, 2] })).toBe(2);
    expect((await read(peer.stream("two", {}, { timeoutMs }))).items).toEqual([1, 2]);
  }
  const late = outcome(a.peer(peer.id).call("never", {}, { timeoutMs: 99.5 }));
  await all.runtime.advance(200);
  expect(late.error?.code).toBe(ErrorCode.TIMEOUT);
});

test("A stream, an input and progress for another kind of client are rejected by the client's node", async () => {
  const all = clusterScene({}, LIMITS);
  const contract = { client: {}, clients: { device: { methods: { record: {} } } } };
  const [a, b] = await three(all, { contract });
  const client = await b.join(BOB);
  client.rpc("record", () => 1);
  const peer = a.server.peer(firstIdOf(b));
  const refusal = { code: ErrorCode.PEER_UNSUPPORTED };
  expect((await read(peer.stream("record"))).error).toMatchObject(refusal);
  await expect(peer.call("record", {}, { input: [1] })).rejects.toMatchObject(refusal);
  await expect(peer.call("record", {}, { onProgress: () => undefined })).rejects.toMatchObject(refusal);
});
