/** Calls with streams as seen by callers and handlers: progress, sources and failures. */

import { encode } from "@msgpack/msgpack";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { type ConduitError, ErrorCode, RpcError } from "../../errors.ts";
import type { HandlerContext } from "../../rpc/incoming-request.ts";
import type { Schema } from "../../rpc/schema.ts";
import type { Server } from "../../server/server.ts";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { gate } from "../../test-support/gate.ts";
import { testClient, testServer } from "../../test-support/peers.ts";
import { rawClient } from "../../test-support/raw-memory.ts";
import { frame, rawFrame, Type } from "../../testing/raw-frames.ts";
import { StreamFlag, StreamFrame } from "./stream-frames.ts";

const MIB = 1024 * 1024;
const EXTENSIONS = {
  close: true,
  cancel: true,
  call: true,
  credit: { frames: 1000, bytes: 64 * MIB },
  stream: { streams: 100, overdraft: 32 * MIB },
};

/** An async schema that doubles numbers. */
const doubled: Schema<number> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: async (value) =>
      typeof value === "number" ? { value: 2 * value } : { issues: [{ message: "no number" }] },
  },
};

/** Starts a server and a connected client. */
async function connected(prepare: (server: Server) => void) {
  const runtime = fakeRuntime();
  const { errors } = await testServer(runtime, {}, prepare);
  const { client } = testClient(runtime);
  await client.connect();
  return { runtime, client, errors };
}

/** Starts a server and a raw client that calls its methods. */
async function called(prepare: (server: Server) => void, options: Record<string, unknown> = {}) {
  const runtime = fakeRuntime();
  const { server, port } = await testServer(runtime, options, prepare);
  const reasons: number[] = [];
  server.onClientDisconnect((_connection, reason) => reasons.push(reason.code));
  const peer = await rawClient(runtime, port, { extensions: EXTENSIONS });
  const open = (id: number, method: string, keys: object): void =>
    peer.write(frame(Type.RPC_REQUEST, { method, ...keys, params: {} }, { id }));
  return { runtime, server, peer, open, reasons };
}

async function allOf(stream: AsyncIterable<unknown>): Promise<unknown[]> {
  const items: unknown[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

function codeOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => "resolved",
    (error: ConduitError) => error.code,
  );
}

const BROKEN = new Error("can't show it");
function raise(): never {
  throw BROKEN;
}

describe("progress", () => {
  test("may be taken out of the context, as the other members may", async () => {
    const { client } = await connected((server) =>
      server.rpc("work", (_params, { progress }) => {
        progress("half");
        return "done";
      }),
    );
    const heard: unknown[] = [];
    expect(await client.call("work", {}, { onProgress: (value) => heard.push(value) })).toBe("done");
    expect(heard).toEqual(["half"]);
  });

  test.for([
    ["throws", () => raise()],
    ["rejects with", async () => raise()],
  ] as const)(
    "what the caller's onProgress %s is reported as a hook's error, and the call continues",
    async ([, onProgress]) => {
      const { client } = await connected((server) =>
        server.rpc("work", (_params, context) => {
          context.progress("half");
          return "done";
        }),
      );
      const failed = new Promise((resolve) => client.onError((...report) => resolve(report)));
      expect(await client.call("work", {}, { onProgress })).toBe("done");
      expect(await failed).toEqual([BROKEN, { stage: "hook", name: "onProgress", client }]);
    },
  );

  test.for([
    ["an invalid value", v.number(), ErrorCode.INVALID_RESULT],
    ["an asynchronous schema", doubled, ErrorCode.INVALID_CONFIG],
  ] as const)("throws in the handler for %s", async ([, progress, code]) => {
    const { client } = await connected((server) =>
      server.rpc({ name: "work", progress: progress as Schema }, (_params, context) => {
        try {
          context.progress("half");
        } catch (error) {
          return (error as ConduitError).code;
        }
        return "sent";
      }),
    );
    const heard: unknown[] = [];
    const result = await client.call("work", {}, { onProgress: (value) => heard.push(value) });
    expect([result, heard]).toEqual([code, []]);
  });

  test("isn't sent to a caller that doesn't ask for it", async () => {
    const { peer, open } = await called((server) =>
      server.rpc({ name: "work", input: true }, (_params, context) => context.progress("half")),
    );
    open(5, "work", { input: true });
    const types = (await peer.received()).map(({ type }) => type);
    expect(types).toEqual([StreamFrame.INPUT_CREDIT, Type.RPC_RESPONSE]);
  });

  test("isn't sent once the call is answered", async () => {
    let late: HandlerContext<unknown> | undefined;
    const { peer, open } = await called((server) =>
      server.rpc("work", (_params, context) => {
        late = context;
      }),
    );
    open(5, "work", { progress: true });
    await peer.next(Type.RPC_RESPONSE);
    late?.progress("more");
    expect(await peer.received()).toEqual([]);
  });

  test("that doesn't fit in a frame throws MESSAGE_TOO_LARGE in the handler", async () => {
    const { client } = await connected((server) =>
      server.rpc("work", (_params, context) => {
        try {
          context.progress("x".repeat(65_536));
        } catch (error) {
          return (error as ConduitError).code;
        }
        return "sent";
      }),
    );
    const heard: unknown[] = [];
    const result = await client.call("work", {}, { onProgress: (value) => heard.push(value) });
    expect([result, heard]).toEqual([ErrorCode.MESSAGE_TOO_LARGE, []]);
  });

  /** Makes a call whose progress 1, 2 and 3 arrives while its caller doesn't read. */
  async function unread() {
    const started = gate();
    const end = gate();
    const { runtime, server, peer, open } = await called((made) =>
      made.rpc("work", async (_params, context) => {
        await started.promise;
        for (const value of [1, 2, 3]) context.progress(value);
        await end.promise;
        return "done";
      }),
    );
    open(5, "work", { progress: true });
    await runtime.settle();
    peer.pause();
    const [connection] = server.connections;
    while (connection?.send("filler", new Uint8Array(60_000)) === true) await runtime.settle();
    started.open();
    await runtime.settle();
    const heard = async (): Promise<unknown[]> => {
      peer.resume();
      const frames = await peer.received();
      return frames.filter(({ type }) => type === StreamFrame.PROGRESS).map(({ payload }) => payload?.["value"]);
    };
    return { runtime, end, heard };
  }

  test("that comes faster than the caller reads leaves out all but the latest", async () => {
    const { heard } = await unread();
    expect(await heard()).toEqual([3]);
  });

  test("that waited until the call was answered isn't sent behind the reply", async () => {
    const { runtime, end, heard } = await unread();
    end.open();
    await runtime.settle();
    expect(await heard()).toEqual([]);
  });
});

describe("an input", () => {
  test("of a stream that was called without one is empty", async () => {
    const { client } = await connected((server) =>
      server.stream({ name: "echo", input: true }, (_params, context) => context.input),
    );
    expect(await allOf(client.stream("echo"))).toEqual([]);
  });

  test("may be an object with a getReader alone, as web streams are in some browsers", async () => {
    const { client } = await connected((server) =>
      server.rpc({ name: "list", input: true }, (_params, context) => allOf(context.input)),
    );
    const readable = new ReadableStream({
      start(controller) {
        for (const item of [1, 2]) controller.enqueue(item);
        controller.close();
      },
    });
    const input = { getReader: () => readable.getReader() } as unknown as ReadableStream<unknown>;
    expect(await client.call("list", {}, { input })).toEqual([1, 2]);
  });

  test("given as a getReader is cancelled if the method takes no more of it", async () => {
    const { client } = await connected((server) =>
      server.rpc({ name: "first", input: true }, async (_params, context) => (await context.input.next()).value),
    );
    const cancelled = gate();
    const readable = new ReadableStream({
      start: (controller) => controller.enqueue("one"),
      cancel: () => cancelled.open(),
    });
    const input = { getReader: () => readable.getReader() } as unknown as ReadableStream<unknown>;
    expect(await client.call("first", {}, { input })).toBe("one");
    await cancelled.promise;
  });

  test("whose end has an error without text and code fails with UNKNOWN and a text of this side", async () => {
    const { peer, open } = await called((server) =>
      server.rpc({ name: "read", input: true }, async (_params, { input }) => {
        const error = await input.next().catch((reason: unknown) => reason);
        return error instanceof RpcError ? [error.code, error.message] : error;
      }),
    );
    open(5, "read", { input: true });
    await peer.next(StreamFrame.INPUT_CREDIT);
    peer.send(StreamFrame.INPUT_END, { error: 5, code: "much" }, { id: 5 });
    expect(await peer.next(Type.RPC_RESPONSE)).toMatchObject({
      payload: { result: [ErrorCode.UNKNOWN, "The input of 'read' failed"] },
    });
  });

  test("whose end has an error with line breaks fails with a text on one line", async () => {
    const { peer, open } = await called((server) =>
      server.rpc({ name: "read", input: true }, async (_params, { input }) =>
        input.next().catch((reason: unknown) => (reason as Error).message),
      ),
    );
    open(5, "read", { input: true });
    await peer.next(StreamFrame.INPUT_CREDIT);
    peer.send(StreamFrame.INPUT_END, { error: "no\r\n[root] logged in\u001b[2J", code: 1 }, { id: 5 });
    expect((await peer.next(Type.RPC_RESPONSE)).payload).toMatchObject({ result: "no  [root] logged in [2J" });
  });

  test("is read in order by calls of next at the same time", async () => {
    const { client } = await connected((server) =>
      server.rpc({ name: "read", input: true }, async (_params, { input }) => {
        const steps = await Promise.all([input.next(), input.next(), input.next()]);
        return steps.map(({ value }) => value ?? null);
      }),
    );
    expect(await client.call("read", {}, { input: [1, 2] })).toEqual([1, 2, null]);
  });
});

describe("an input that fails", () => {
  async function* failing(): AsyncGenerator<number> {
    yield 1;
    throw new RangeError("out of numbers");
  }

  async function readers() {
    const ignoring = async (input: AsyncIterable<unknown>): Promise<unknown[]> => {
      await allOf(input).catch(() => undefined);
      return ["fine"];
    };
    const { client } = await connected((server) => {
      server.rpc({ name: "ignore", input: true }, (_params, { input }) => ignoring(input));
      server.rpc({ name: "read", input: true }, (_params, { input }) => allOf(input));
      server.stream({ name: "ignoreAll", input: true }, (_params, { input }) => ignoring(input));
      server.stream({ name: "readAll", input: true }, (_params, { input }) => allOf(input));
    });
    return client;
  }

  test.each(["ignore", "read"])("rejects its call of %s with its own error, whatever the method does", async (name) => {
    const client = await readers();
    await expect(client.call(name, {}, { input: failing() })).rejects.toThrow(new RangeError("out of numbers"));
  });

  test.each(["ignoreAll", "readAll"])(
    "ends the stream %s with its own error, whatever the method does",
    async (name) => {
      const client = await readers();
      const items = allOf(client.stream(name, {}, { input: failing() }));
      await expect(items).rejects.toThrow(new RangeError("out of numbers"));
    },
  );
});

describe("items", () => {
  test("are checked by a schema that takes its time, on the side that sends and on the side that gets them", async () => {
    const { client } = await connected((server) => server.stream({ name: "some", output: doubled }, () => [1, 2]));
    expect(await allOf(client.stream("some", {}, { output: doubled }))).toEqual([4, 8]);
  });

  test("that fail such a schema end the stream", async () => {
    const { client } = await connected((server) => server.stream("some", () => ["one"]));
    const items = allOf(client.stream("some", {}, { output: doubled }));
    expect(await codeOf(items)).toBe(ErrorCode.INVALID_RESULT);
  });

  test("that wait for the caller to acknowledge earlier ones leave before the reply", async () => {
    const { peer, open } = await called((server) =>
      server.stream("bytes", async function* () {
        for (let n = 0; n < 20; n += 1) yield new Uint8Array(65_536);
        yield "last";
      }),
    );
    open(5, "bytes", { output: 64 * MIB });
    let last: Uint8Array = new Uint8Array();
    for (let answered = false; !answered; ) {
      const frames = await peer.received();
      const parts = frames.filter(({ type }) => type === StreamFrame.OUTPUT);
      last = parts.at(-1)?.payloadBytes ?? last;
      answered = frames.some(({ type }) => type === Type.RPC_RESPONSE);
      const bytes = parts.reduce((sum, { payloadBytes }) => sum + 32 + payloadBytes.length, 0);
      if (bytes > 0) peer.send(StreamFrame.STREAM_ACK, { bytes });
    }
    expect(last).toEqual(encode("last"));
  });

  test("beyond what the peer may overdraw on all its streams end the connection", async () => {
    const { runtime, peer, open, reasons } = await called(
      (server) => server.rpc({ name: "hang", input: true }, () => new Promise(() => {})),
      { maxMessageBytes: MIB },
    );
    for (let id = 1; id <= 40; id += 1) open(id, "hang", { input: true });
    await runtime.settle();
    const part = new Uint8Array(65_536);
    for (let id = 1; id <= 40; id += 1) {
      peer.write(
        ...Array.from({ length: 15 }, () => rawFrame(StreamFrame.INPUT, part, { id, flags: StreamFlag.MORE })),
      );
    }
    await runtime.settle();
    expect(reasons).toEqual([ErrorCode.FLOW_CONTROL_ERROR]);
  });
});

describe("a stream", () => {
  test("whose handler returns no items fails, and the server hears why", async () => {
    const { client, errors } = await connected((server) => server.stream("none", () => 5 as never));
    expect(await codeOf(allOf(client.stream("none")))).toBe(ErrorCode.INTERNAL);
    expect(errors.map(({ message }) => message)).toEqual([
      "The value returned by the handler of 'none' must be an async iterable, an iterable or a ReadableStream, got 5",
    ]);
  });

  test.each([
    ["onProgress that isn't a function", { onProgress: "loud" }, "onProgress of 'any' must be a function, got "],
    ["an output that isn't a schema", { output: "text" }, "output of 'any' "],
    ["an input without items", { input: 7 }, "input of 'any' must be an async iterable"],
  ])("called with %s rejects with INVALID_CONFIG", async (_what, options, message) => {
    const { client } = await connected(() => undefined);
    const step = client.stream("any", {}, options as never).next();
    await expect(step).rejects.toMatchObject({
      code: ErrorCode.INVALID_CONFIG,
      message: expect.stringContaining(message),
    });
  });
});
