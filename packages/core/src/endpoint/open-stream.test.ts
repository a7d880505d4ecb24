/** Streams opened while the send queue is full. */

import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { outcome, testServer } from "../test-support/peers.ts";
import { rawClient } from "../test-support/raw-memory.ts";
import { Type } from "../testing/raw-frames.ts";

const MIB = 1024 * 1024;
const EXTENSIONS = {
  close: true,
  cancel: true,
  call: true,
  deadline: true,
  credit: { frames: 1000, bytes: 64 * MIB },
  stream: { streams: 100, overdraft: 32 * MIB },
};

/** Returns a server's connection whose client doesn't read until it is resumed. */
async function congested() {
  const runtime = fakeRuntime();
  const { server, port } = await testServer(runtime, { sendQueueSize: 20 });
  const peer = await rawClient(runtime, port, { extensions: EXTENSIONS });
  const [connection] = server.connections;
  if (connection === undefined) throw new Error("There is no connection");
  peer.stream.pause();
  while (connection.send("filler", "x".repeat(60_000)));
  await runtime.settle();
  return { runtime, peer, connection };
}

/** Returns a web stream of numbers that records whether it was cancelled. */
function source() {
  const facts = { isCancelled: false };
  const stream = new ReadableStream<number>({
    pull: (controller) => controller.enqueue(1),
    cancel() {
      facts.isCancelled = true;
    },
  });
  return { facts, stream };
}

test("a call that waits in a full send queue for all of its time says so, and such attempts of a message don't count", async () => {
  const { runtime, peer, connection } = await congested();
  const called = outcome(connection.call("late", {}, { timeoutMs: 1000 }));
  const sent = outcome(connection.send("order", 1, { ack: { attempts: 2, timeoutMs: 1000, delayMs: 0 } }));
  await runtime.advance(5000);
  expect(called.error).toMatchObject({
    code: ErrorCode.TIMEOUT,
    message: "'late' timed out after 1000 ms: it could not be sent, because the send queue was full",
    details: { started: false },
  });
  expect(sent.state).toBe("pending");
  peer.stream.resume();
  await runtime.settle();
  await runtime.advance(1000);
  await runtime.advance(1000);
  expect(sent.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED, details: { attempts: 2 } });
});

describe("a stream that is opened while the send queue is full", () => {
  test("ends when its time is up, and nothing of it is sent", async () => {
    const { runtime, peer, connection } = await congested();
    const step = connection.stream("ticks", {}, { timeoutMs: 1000 }).next();
    let code: unknown = null;
    step.catch((error: { code: number }) => {
      code = error.code;
    });
    await runtime.advance(999);
    expect(code).toBeNull();
    await runtime.advance(20); // a timer may be a tick late
    expect(code).toBe(ErrorCode.TIMEOUT);
    peer.stream.resume();
    await runtime.settle();
    expect((await peer.received()).filter(({ type }) => type === Type.RPC_REQUEST)).toEqual([]);
  });

  test("has the rest of its time when it is sent", async () => {
    const { runtime, peer, connection } = await congested();
    const step = connection.stream("ticks", {}, { timeoutMs: 1000 }).next();
    step.catch(() => undefined);
    await runtime.advance(400);
    peer.stream.resume();
    expect(await peer.next(Type.RPC_REQUEST)).toMatchObject({ payload: { timeout_ms: 600 } });
  });

  test.each(["signal", "return", "timeout"])("closes its input when it is given up by %s", async (how) => {
    const { runtime, peer, connection } = await congested();
    const { facts, stream } = source();
    const abort = new AbortController();
    const items = connection.stream("ticks", {}, { timeoutMs: 1000, signal: abort.signal, input: stream });
    if (how === "signal") abort.abort();
    if (how === "return") await items.return?.();
    if (how === "timeout") await runtime.advance(1020);
    await runtime.settle();
    expect(facts.isCancelled).toBe(true);
    peer.stream.resume();
    await runtime.settle();
  });
});

describe("an input whose call isn't sent", () => {
  test.each(["call", "stream"] as const)("is closed if the signal of the %s had fired", async (how) => {
    const { runtime, peer, connection } = await congested();
    peer.stream.resume();
    await runtime.settle();
    const { facts, stream } = source();
    const options = { signal: AbortSignal.abort(), input: stream };
    const outcome = how === "call" ? connection.call("sum", {}, options) : connection.stream("sum", {}, options).next();
    await expect(outcome).rejects.toMatchObject({ code: ErrorCode.CANCELLED });
    await runtime.settle();
    expect(facts.isCancelled).toBe(true);
  });
});
