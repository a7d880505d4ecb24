import { ErrorCode, error, RpcError } from "@netconduit/core";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { failureOf } from "../support/failures.ts";
import { SteppedClock } from "../support/stepped-clock.ts";
import type { Subject } from "../support/subject.ts";
import { turn, until } from "../support/turns.ts";
import { connectionOf, PATIENT, type Stage, stagedOn } from "./stage.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
/** Initial window of a stream. */
const WINDOW_BYTES = 256 * KIB;

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Collects the items before the error, and the error's code. */
async function untilError(items: AsyncIterable<unknown>): Promise<{ items: unknown[]; code: number }> {
  const all: unknown[] = [];
  const reading = (async () => {
    for await (const item of items) all.push(item);
  })();
  const { code } = await failureOf(reading);
  return { items: all, code };
}

async function* count(to: number): AsyncGenerator<number> {
  for (let n = 0; n < to; n += 1) yield n;
}

/** Returns bytes that reveal missing, duplicate or misplaced parts. */
function patterned(length: number): Uint8Array {
  return new Uint8Array(length).map((_, index) => (index * 31 + (index >>> 16)) % 256);
}

const isSame = (a: unknown, b: Uint8Array): boolean => a instanceof Uint8Array && Buffer.compare(a, b) === 0;

/** Starts a server with some streams and a client with the same streams. */
async function pair(stage: Stage, options: Record<string, unknown> = {}, clock?: SteppedClock) {
  const server = await stage.listen(options);
  const client = await stage.join(server, options, clock?.runtime);
  for (const end of [server, client] as (typeof server)[]) {
    end.stream("count", async function* ({ to }) {
      yield* count(to as number);
    });
    end.stream({ name: "double", input: true }, async function* (_params, context) {
      for await (const n of context.input) yield 2 * (n as number);
    });
    end.rpc({ name: "sum", input: true }, async (_params, context) => {
      let sum = 0;
      for await (const n of context.input) sum += n as number;
      return sum;
    });
    end.rpc("ping", () => "pong");
  }
  return { server, client, connection: connectionOf(server, client) };
}

/** Returns a stream of 1 KiB items with the number of items produced and a notification of its end. */
function producer() {
  const facts = { made: 0 };
  const ended = gate<unknown>();
  async function* make(signal: AbortSignal): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        facts.made += 1;
        yield new Uint8Array(KIB);
      }
    } finally {
      ended.open(signal.aborted ? (signal.reason as { code?: number }).code : "not aborted");
    }
  }
  return { facts, ended: ended.promise, make };
}

/** Streams of items in all directions: order, ends, errors, credit. */
export function describeStreams(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`streams on ${subject.name}`, PATIENT, () => {
    test(
      "go from server to client, from client to server, and both ways; and the same asked by the server",
      staged(async (stage) => {
        const { client, connection } = await pair(stage);
        for (const end of [client, connection]) {
          expect(await collect(end.stream("count", { to: 3000 }))).toEqual(Array.from({ length: 3000 }, (_, n) => n));
          expect(await end.call("sum", {}, { input: count(1000) })).toBe(499_500);
          expect(await collect(end.stream("double", {}, { input: count(4) }))).toEqual([0, 2, 4, 6]);
        }
      }),
    );

    test(
      "take async iterables, iterables and web streams, and give web streams",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        const web = (): ReadableStream<number> =>
          new ReadableStream({
            start(controller) {
              for (const n of [1, 2, 3]) controller.enqueue(n);
              controller.close();
            },
          });
        server.stream("web", () => web());
        server.stream("list", () => [1, 2, 3]);
        server.rpc({ name: "readable", input: true }, async (_params, context) => {
          const reader = context.input.readable.getReader();
          const items: unknown[] = [];
          for (let step = await reader.read(); !step.done; step = await reader.read()) items.push(step.value);
          return items;
        });
        expect(await collect(client.stream("web"))).toEqual([1, 2, 3]);
        expect(await collect(client.stream("list"))).toEqual([1, 2, 3]);
        for (const input of [[1, 2, 3], new Set([1, 2, 3]), web()]) {
          expect(await client.call("readable", {}, { input })).toEqual([1, 2, 3]);
        }
        const reader = client.stream("count", { to: 2 }).readable.getReader();
        const steps = [await reader.read(), await reader.read(), await reader.read()];
        expect(steps.map(({ value }) => value)).toEqual([0, 1, undefined]);
      }),
    );

    test(
      "deliver binary items of all sizes, and values, unharmed and in order",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        const sizes = [0, 1, 4095, 4096, 65_536, 65_537, 300_000, 3 * MIB];
        const items = sizes.flatMap((size) => [patterned(size), { size, text: "x".repeat(Math.min(size, 200_000)) }]);
        server.stream({ name: "echo", input: true }, (_params, context) => context.input);
        let index = 0;
        for await (const item of client.stream("echo", {}, { input: items })) {
          const sent = items[index] as (typeof items)[0];
          if (sent instanceof Uint8Array) expect([index, isSame(item, sent)]).toEqual([index, true]);
          else expect(item).toEqual(sent);
          index += 1;
        }
        expect(index).toBe(items.length);
      }),
    );

    test(
      "a small item leaves at once, although others may follow",
      staged(async (stage) => {
        const { client } = await pair(stage);
        const keys = new EventLog<number>();
        const echoed = client.stream(
          "double",
          {},
          {
            input: (async function* () {
              for (;;) yield await keys.next();
            })(),
          },
        );
        for (const n of [1, 2, 3]) {
          keys.add(n);
          expect((await echoed.next()).value).toBe(2 * n);
        }
        await echoed.return?.();
        keys.add(0);
      }),
    );

    test(
      "progress of a call reaches its caller before the result",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        server.rpc("import", async (_params, context) => {
          for (let done = 1; done <= 3; done += 1) {
            context.progress({ done, of: 3 });
            await turn();
          }
          return "done";
        });
        const seen: unknown[] = [];
        expect(await client.call("import", {}, { onProgress: (value) => seen.push(value) })).toBe("done");
        expect(seen.at(-1)).toEqual({ done: 3, of: 3 });
        expect(await client.call("import")).toBe("done");
      }),
    );
  });

  describe(`the end of streams on ${subject.name}`, PATIENT, () => {
    test(
      "comes after every item was handled, and an error after the items before it, with its code",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        server.stream("fails", async function* () {
          yield* count(1000);
          throw new RpcError(77, "no more");
        });
        server.stream("refuses", () => {
          throw error.notFound("no such file");
        });
        const failed = await untilError(client.stream("fails"));
        expect([failed.items.length, failed.code]).toEqual([1000, 77]);
        expect(await untilError(client.stream("refuses"))).toEqual({ items: [], code: ErrorCode.NOT_FOUND });
      }),
    );

    test(
      "is an error that the handler returns instead of a stream, or at the end of its generator",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        server.stream("refuses", () => error.notFound("File"));
        server.stream("ends", async function* () {
          yield 1;
          return error.permissionDenied("more");
        });
        expect(await untilError(client.stream("refuses"))).toEqual({ items: [], code: ErrorCode.NOT_FOUND });
        expect(await untilError(client.stream("ends"))).toEqual({ items: [1], code: ErrorCode.PERMISSION_DENIED });
      }),
    );

    test.each(["break", "return", "signal", "timeout", "cancelled web stream"])(
      "%s at the reader reaches the producer's finally and its signal",
      (how) =>
        staged(async (stage) => {
          // Only the client's time is stepped, so that the client always times out first.
          const clock = new SteppedClock(subject.runtime);
          const { server, client } = await pair(stage, {}, clock);
          const { ended, make } = producer();
          server.stream("endless", (_params, context) => make(context.signal));
          const abort = new AbortController();
          const timeoutMs = how === "timeout" ? 60_000 : 0;
          const items = client.stream("endless", {}, { signal: abort.signal, timeoutMs });
          if (how === "cancelled web stream") {
            const reader = items.readable.getReader();
            await reader.read();
            await reader.cancel();
          } else {
            await items.next();
          }
          if (how === "break") for await (const _item of items) break;
          if (how === "return") await items.return?.();
          if (how === "signal") {
            abort.abort();
            expect((await failureOf(items.next())).code).toBe(ErrorCode.CANCELLED);
          }
          if (how === "timeout") {
            clock.advance(60_001);
            expect((await untilError(items)).code).toBe(ErrorCode.TIMEOUT);
          }
          expect([ErrorCode.CANCELLED, ErrorCode.TIMEOUT]).toContain(await ended);
          expect(await client.call("ping")).toBe("pong");
        })(),
    );

    test(
      "a lost connection ends both sides of every stream",
      staged(async (stage) => {
        const { server, client, connection } = await pair(stage);
        const output = producer();
        const input = producer();
        server.stream({ name: "both", input: true }, async function* (_params, context) {
          for await (const item of context.input) {
            yield item;
            break;
          }
          yield* output.make(context.signal);
        });
        const items = client.stream("both", {}, { input: input.make(new AbortController().signal) });
        await items.next();
        await connection.close("gone");
        const { code } = await untilError(items);
        expect(code).toBe(ErrorCode.CONNECTION_CLOSED);
        expect(await output.ended).toBe(ErrorCode.CONNECTION_CLOSED);
        expect(await input.ended).toBe("not aborted");
      }),
    );

    test(
      "an input whose caller disconnects in the middle is an error at the handler, never the end",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        const read = new EventLog<string>();
        const outcome = new EventLog<unknown>();
        server.rpc({ name: "take", input: true }, async (_params, { input }) => {
          try {
            for await (const _item of input) read.add("item");
            outcome.add("the end");
          } catch (failure) {
            outcome.add((failure as { code?: number }).code);
          }
        });
        const called = failureOf(client.call("take", {}, { input: producer().make(new AbortController().signal) }));
        await read.next();
        await client.close();
        expect(await called).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
        expect(await outcome.next()).toBe(ErrorCode.CONNECTION_CLOSED);
      }),
    );

    test(
      "a handler that takes no more input stops its source, and the result arrives",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        const { ended, make } = producer();
        server.rpc({ name: "first", input: true }, async (_params, context) => {
          for await (const item of context.input) return (item as Uint8Array).length;
        });
        expect(await client.call("first", {}, { input: make(new AbortController().signal) })).toBe(KIB);
        expect(await ended).toBe("not aborted");
        server.rpc({ name: "none", input: true }, () => "none");
        expect(await client.call("none", {}, { input: count(10) })).toBe("none");
        expect(await client.call("sum", {}, { input: count(3) })).toBe(3);
      }),
    );

    test(
      "an input that fails is an error with its code at the handler, and the error itself at the caller",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        const seen: unknown[] = [];
        server.rpc({ name: "read", input: true }, async (_params, context) => {
          try {
            for await (const item of context.input) seen.push(item);
          } catch (failure) {
            seen.push((failure as RpcError).code);
            throw failure;
          }
        });
        const broken = new RpcError(88, "disk");
        const failing = async function* (): AsyncGenerator<number> {
          yield 1;
          throw broken;
        };
        await expect(client.call("read", {}, { input: failing() })).rejects.toBe(broken);
        expect(seen).toEqual([1, 88]);
      }),
    );

    test(
      "the input may end long before the output",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        const inputOver = gate();
        server.stream({ name: "after", input: true }, async function* (_params, context) {
          let sum = 0;
          for await (const n of context.input) sum += n as number;
          inputOver.open();
          yield sum;
          yield* count(3);
        });
        const items = client.stream("after", {}, { input: count(5) });
        await inputOver.promise;
        expect(await collect(items)).toEqual([10, 0, 1, 2]);
      }),
    );

    test(
      "a server that stops lets streams finish",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        const go = gate();
        server.stream("slow", async function* () {
          yield 1;
          await go.promise;
          yield 2;
        });
        const items = client.stream("slow");
        expect((await items.next()).value).toBe(1);
        const stopping = server.stop({ drainMs: 20_000 });
        go.open();
        expect(await collect(items)).toEqual([2]);
        await stopping;
      }),
    );
  });

  describe(`credit of streams on ${subject.name}`, PATIENT, () => {
    test(
      "a slow consumer stops its producer within its window, and nothing else on the connection",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        const { facts, make } = producer();
        server.stream("endless", (_params, context) => make(context.signal));
        const stalled = client.stream("endless");
        await until(() => facts.made > 100);
        expect(await collect(client.stream("count", { to: 20_000 }))).toHaveLength(20_000);
        expect(await client.call("sum", {}, { input: count(20_000) })).toBe(199_990_000);
        expect(facts.made).toBeLessThanOrEqual(WINDOW_BYTES / KIB + 1);
        await stalled.return?.();
      }),
    );

    test(
      "an input that the handler doesn't read stops within its window",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        const { facts, make } = producer();
        const go = gate();
        server.rpc({ name: "later", input: true }, async (_params, context) => {
          await go.promise;
          let sum = 0;
          for await (const item of context.input) {
            sum += (item as Uint8Array).length;
            if (sum >= 4 * MIB) break;
          }
          return sum;
        });
        const calling = client.call("later", {}, { input: make(new AbortController().signal) });
        await until(() => facts.made > 100);
        expect(await collect(client.stream("count", { to: 20_000 }))).toHaveLength(20_000);
        expect(facts.made).toBeLessThanOrEqual(WINDOW_BYTES / KIB + 1);
        go.open();
        expect(await calling).toBe(4 * MIB);
      }),
    );

    test(
      "many streams of both sides that saturate the connection at once all finish",
      staged(async (stage) => {
        const { server, client, connection } = await pair(stage);
        for (const end of [server, client] as (typeof server)[]) {
          end.stream({ name: "echo", input: true }, (_params, context) => context.input);
        }
        const blocks = async function* (): AsyncGenerator<Uint8Array> {
          for (let n = 0; n < 40; n += 1) yield new Uint8Array(n % 4 === 0 ? 150_000 : 30_000);
        };
        const echo = async (end: typeof client | typeof connection): Promise<number> => {
          let bytes = 0;
          for await (const item of end.stream("echo", {}, { input: blocks() })) bytes += (item as Uint8Array).length;
          return bytes;
        };
        const all = Array.from({ length: 16 }, (_, index) => echo(index % 2 === 0 ? client : connection));
        expect(await Promise.all(all)).toEqual(all.map(() => 10 * 150_000 + 30 * 30_000));
      }),
    );

    test(
      "when a client with a thousand open streams leaves, each handler's signal fires",
      staged(async (stage) => {
        const server = await stage.listen();
        const ends = { started: 0, aborted: 0 };
        server.stream("wait", async function* (_params, { signal }) {
          ends.started++;
          yield 1;
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
          ends.aborted++;
        });
        const client = await stage.join(server);
        const streams = Array.from({ length: 1000 }, () => client.stream("wait"));
        await Promise.all(streams.map((stream) => stream.next()));
        await client.disconnect();
        await until(() => ends.aborted === 1000);
        expect(ends.started).toBe(1000);
      }),
    );

    test(
      "10,000 streams are open on one connection at once",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        const go = gate();
        server.stream("wait", async function* ({ n }) {
          yield n;
          await go.promise;
          yield -1;
        });
        const streams = Array.from({ length: 10_000 }, (_, n) => client.stream<number>("wait", { n }));
        for (const [n, stream] of streams.entries()) expect((await stream.next()).value).toBe(n);
        expect(await client.call("ping")).toBe("pong");
        go.open();
        const rest = await Promise.all(streams.map(collect));
        expect(rest.every((items) => items.length === 1 && items[0] === -1)).toBe(true);
      }),
    );

    test(
      "an item over the other side's limit of size is refused, and the connection continues",
      staged(async (stage) => {
        const { server, client } = await pair(stage, { maxMessageBytes: 100_000 });
        server.stream("large", async function* () {
          yield new Uint8Array(99_000);
          yield new Uint8Array(100_001);
        });
        const failed = await untilError(client.stream("large"));
        expect([failed.items.length, failed.code]).toEqual([1, ErrorCode.INTERNAL]);
        const refused = client.call("sum", {}, { input: [new Uint8Array(100_001)] });
        expect((await failureOf(refused)).code).toBe(ErrorCode.MESSAGE_TOO_LARGE);
        expect(await client.call("ping")).toBe("pong");
      }),
    );
  });

  describe(`what streams refuse on ${subject.name}`, PATIENT, () => {
    test(
      "schemas check items on both sides",
      staged(async (stage) => {
        const contract = {
          server: {
            methods: { sum: { input: v.number(), result: v.number() } },
            streams: { names: { params: v.object({ bad: v.boolean() }), output: v.string() } },
          },
        };
        const server = stage.ownServer(stage.serverOptions({ contract }));
        server.rpc("sum", async (_params, context) => {
          let sum = 0;
          for await (const n of context.input) sum += n;
          return sum;
        });
        server.stream("names", async function* ({ bad }) {
          yield "Ada";
          yield bad ? (7 as unknown as string) : "Bob";
        });
        await server.start();
        const typed = stage.ownClient(server, { contract });
        const open = stage.client(server);
        await Promise.all([typed.connect(), open.connect()]);
        expect(await collect(typed.stream("names", { bad: false }))).toEqual(["Ada", "Bob"]);
        const failed = await untilError(typed.stream("names", { bad: true }));
        expect(failed).toEqual({ items: ["Ada"], code: ErrorCode.INTERNAL });
        const bad = ["x"] as unknown as number[];
        expect((await failureOf(typed.call("sum", {}, { input: bad }))).code).toBe(ErrorCode.INVALID_TYPE);
        expect((await failureOf(open.call("sum", {}, { input: bad }))).code).toBe(ErrorCode.INVALID_TYPE);
        const wrong = await untilError(open.stream("names", { bad: false }, { output: v.number() }));
        expect(wrong).toEqual({ items: [], code: ErrorCode.INVALID_RESULT });
      }),
    );

    test(
      "schemas check progress on both sides, in calls of either side",
      staged(async (stage) => {
        const progress = v.object({ done: v.number() });
        const side = {
          methods: { import: { params: v.object({ bad: v.boolean() }), progress } },
          streams: { tail: { output: v.string(), progress } },
        };
        const contract = { server: side, client: side };
        const bad = { done: "all" } as unknown as { done: number };
        const server = stage.ownServer(stage.serverOptions({ contract }));
        await server.start();
        const client = stage.ownClient(server, { contract });
        for (const end of [server, client] as (typeof server)[]) {
          end.rpc("import", (params, context) => context.progress(params.bad ? bad : { done: 1 }));
          end.stream("tail", async function* (_params, context) {
            context.progress({ done: 2 });
            yield "line";
          });
        }
        await client.connect();
        for (const caller of [client, connectionOf(server, client)] as (typeof client)[]) {
          const seen: number[] = [];
          const onProgress = ({ done }: { done: number }): unknown => seen.push(done);
          await caller.call("import", { bad: false }, { onProgress });
          expect(await collect(caller.stream("tail", {}, { onProgress }))).toEqual(["line"]);
          const refused = await failureOf(caller.call("import", { bad: true }, { onProgress }));
          expect(refused.code).toBe(ErrorCode.INTERNAL);
          // The item isn't used, so it isn't validated.
          await caller.call("import", { bad: true });
          expect(seen).toEqual([1, 2]);
        }
      }),
    );

    test(
      "progress that only the caller's schema refuses goes to its onError, and the call continues",
      staged(async (stage) => {
        const { server } = await pair(stage);
        server.rpc("import", (_params, context) => {
          context.progress("half");
          return "done";
        });
        const contract = { server: { methods: { import: { result: v.string(), progress: v.number() } } } };
        const client = stage.ownClient(server, { contract });
        const errors = new EventLog<[unknown, string]>();
        client.onError((failure, { name = "" }) => errors.add([failure, name]));
        await client.connect();
        const seen: number[] = [];
        expect(await client.call("import", {}, { onProgress: (value) => seen.push(value) })).toBe("done");
        const [failure, name] = await errors.next();
        expect([failure, name, seen]).toMatchObject([{ code: ErrorCode.INVALID_RESULT }, "onProgress", []]);
      }),
    );

    test(
      "calls of the wrong kind say what to use",
      staged(async (stage) => {
        const { client } = await pair(stage);
        const codes = await Promise.all([
          failureOf(client.call("count", { to: 1 })),
          failureOf(collect(client.stream("ping"))),
          failureOf(client.call("ping", {}, { input: [1] })),
          failureOf(collect(client.stream("nothing"))),
          failureOf(client.call("sum", {}, { input: "text" as unknown as string[] })),
        ]);
        expect(codes.map(({ code }) => code)).toEqual([
          ErrorCode.STREAM_MISMATCH,
          ErrorCode.STREAM_MISMATCH,
          ErrorCode.STREAM_MISMATCH,
          ErrorCode.METHOD_NOT_FOUND,
          ErrorCode.INVALID_CONFIG,
        ]);
        expect(codes[0]?.message).toContain("stream()");
      }),
    );

    test(
      "more streams than the other side takes are refused",
      staged(async (stage) => {
        const { server, client } = await pair(stage, { maxStreams: 2 });
        server.stream("wait", async function* (_params, context) {
          yield 1;
          await new Promise((resolve) => context.signal.addEventListener("abort", resolve));
        });
        const open = [client.stream("wait"), client.stream("wait")];
        for (const stream of open) await stream.next();
        expect((await failureOf(collect(client.stream("wait")))).code).toBe(ErrorCode.TOO_MANY_STREAMS);
        for (const stream of open) await stream.return?.();
        // They count at the server until it has answered, so the next ones have to wait.
        const next = [collect(client.stream("count", { to: 1 })), client.call("sum", {}, { input: count(3) })];
        expect((await failureOf(collect(client.stream("wait")))).code).toBe(ErrorCode.TOO_MANY_STREAMS);
        expect(await Promise.all(next)).toEqual([[0], 3]);
      }),
    );

    test(
      "a peer without streams, and a client that isn't connected, are coded errors at once",
      staged(async (stage) => {
        const server = await stage.listen({ enableBackpressure: false });
        server.stream("count", () => [1]);
        const client = await stage.join(server);
        const failures = [
          failureOf(collect(client.stream("count"))),
          failureOf(client.call("count", {}, { input: [1] })),
          failureOf(client.call("count", {}, { onProgress: () => undefined })),
        ];
        const codes = (await Promise.all(failures)).map(({ code }) => code);
        expect(codes).toEqual(codes.map(() => ErrorCode.PEER_UNSUPPORTED));
        await client.disconnect();
        expect((await failureOf(collect(client.stream("count")))).code).toBe(ErrorCode.CONNECTION_CLOSED);
      }),
    );

    test(
      "an async iterable or a stream inside data is refused with a message that says how to send one",
      staged(async (stage) => {
        const { server, client } = await pair(stage);
        server.rpc("leak", () => ({ items: client.stream("count", { to: 1 }) }));
        const sources = [
          count(1),
          new ReadableStream(),
          { [Symbol.asyncIterator]: () => count(1) },
          { name: "named", [Symbol.asyncIterator]: () => count(1) },
          client.stream("count", { to: 1 }),
        ];
        for (const source of sources) {
          for (const data of [{ source }, { deep: [{ source }] }]) {
            const failure = await failureOf(client.call("ping", data));
            expect(failure.code).toBe(ErrorCode.UNSERIALIZABLE);
            expect(failure.message).toContain("input");
          }
        }
        expect((await failureOf(client.call("leak"))).code).toBe(ErrorCode.INTERNAL);
      }),
    );
  });
}
