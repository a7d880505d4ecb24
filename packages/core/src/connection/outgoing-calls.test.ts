import { describe, expect, test } from "vitest";
import type { PeerInfo } from "../auth/peer-info.ts";
import { RuntimeContext } from "../context/runtime-context.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { encodeFrame } from "../test-support/frame-values.ts";
import { outcome } from "../test-support/peers.ts";
import { FrameType } from "../wire/constants.ts";
import { FrameDecoder } from "../wire/frame-decoder.ts";
import { anyFrameType } from "../wire/frame-types.ts";
import { NO_FEATURES } from "./features.ts";
import { type CallsHost, type OutgoingCallOptions, OutgoingCalls } from "./outgoing-calls.ts";

function bench(refuse: Error | null = null, maxGeneration?: number) {
  const queue = { refuse };
  const runtime = fakeRuntime();
  const context = new RuntimeContext(runtime);
  const writer = context.writer(1_000_000, false);
  const sent: string[] = [];
  const abandoned: string[] = [];
  const host: CallsHost = {
    context,
    writer,
    reader: context.reader(1_000_000, false),
    role: "client",
    stream: { remote: { kind: "tcp", host: "127.0.0.1", port: 7, family: "IPv4" } },
    settings: { rpcTimeoutMs: 1000 },
    info: null as PeerInfo | null,
    isOpen: true,
    resumption: null,
    features: { ...NO_FEATURES, correlatesReplies: true, usesDeadlines: true },
    callAbandoned: ({ idHi, idLo }) => abandoned.push(`${idHi}/${idLo}`) > 0,
    sendQueue: { withdraw: () => false, keeps: () => false },
    isReading: true,
    reading: { startForReply: () => undefined },
    answersCalls: true,
    countError: () => undefined,
    sender: {
      requestWriter: writer,
      mustBeOpen: () => undefined,
      sendBounded: () => {
        if (queue.refuse !== null) throw queue.refuse;
        const view = new DataView(writer.bytes.buffer, writer.bytes.byteOffset + writer.start);
        sent.push(`${view.getUint32(16)}/${view.getUint32(20)}`);
      },
    },
  };
  const calls = new OutgoingCalls(host, maxGeneration);
  const begin = (name = "m", options: OutgoingCallOptions = {}) => outcome(calls.call(name, {}, options, null));
  const reply = async (hi: number, lo: number, result: unknown): Promise<void> => {
    const correlationId = (BigInt(hi) << 32n) | BigInt(lo);
    const payload = { success: true, result };
    const decoder = new FrameDecoder(1_000_000, anyFrameType);
    decoder.push(
      encodeFrame({ version: 0x100, type: FrameType.RPC_RESPONSE, flags: 0, correlationId, timestampMs: 0, payload }),
    );
    decoder.next();
    calls.response(decoder);
    await runtime.settle();
  };
  return { runtime, calls, queue, sent, abandoned, begin, reply };
}

describe("outgoing calls", () => {
  test("have a slot each, and an id that is never 0/0", () => {
    const { begin, sent, calls } = bench();
    for (let count = 0; count < 3; count += 1) begin();
    expect([sent, calls.size]).toEqual([["1/0", "1/1", "1/2"], 3]);
  });

  test("are settled by the reply with their id, once", async () => {
    const { begin, reply, calls } = bench();
    const call = begin();
    await reply(1, 0, 7);
    await reply(1, 0, 8);
    expect([call.state, call.value, call.settled, calls.size]).toEqual(["resolved", 7, 1, 0]);
  });

  test("use a free slot again under the next generation, so that a late reply finds nothing", async () => {
    const { begin, reply, sent } = bench();
    begin();
    await reply(1, 0, null);
    const second = begin();
    await reply(1, 0, "late");
    expect([sent, second.state]).toEqual([["1/0", "2/0"], "pending"]);
    await reply(2, 0, "in time");
    expect(second.value).toBe("in time");
  });

  test.each([
    [0, 0],
    [1, 7],
    [2, 0],
    [0xffff_ffff, 0xffff_ffff],
  ])("ignore a reply with the id %d/%d", async (hi, lo) => {
    const { begin, reply, calls } = bench();
    const call = begin();
    await reply(hi, lo, null);
    expect([call.state, calls.size]).toEqual(["pending", 1]);
  });

  test("give their slot back once, also if a getter in the params cancels the call and throws", async () => {
    const { begin, calls, sent } = bench();
    const controller = new AbortController();
    const params = {
      get n() {
        controller.abort();
        throw new Error("no value");
      },
    };
    const cancelled = calls.call("m", params, { signal: controller.signal }, null);
    begin();
    begin();
    expect([sent, calls.size]).toEqual([["2/0", "1/1"], 2]);
    await expect(cancelled).rejects.toMatchObject({ code: ErrorCode.CANCELLED });
  });

  test("never use an id again: a slot whose generations are used up is retired", async () => {
    const { begin, reply, sent } = bench(null, 3);
    for (const generation of [1, 2, 3]) {
      begin();
      await reply(generation, 0, null);
    }
    begin();
    expect(sent).toEqual(["1/0", "2/0", "3/0", "1/1"]);
  });

  test("reject with TIMEOUT after their time, and the peer is told", async () => {
    const { begin, runtime, abandoned, calls } = bench();
    const call = begin("slow", { timeoutMs: 250 });
    await runtime.advance(300);
    expect(call.error).toMatchObject({
      code: ErrorCode.TIMEOUT,
      message: "'slow' timed out after 250 ms: the server 127.0.0.1:7 has not replied",
    });
    expect([abandoned, calls.size]).toEqual([["1/0"], 0]);
  });

  test("set no timer without a timeout", () => {
    const { begin, runtime } = bench();
    begin("m", { timeoutMs: 0 });
    expect(runtime.timers.count).toBe(0);
  });

  test.each([
    [
      "AbortSignal.timeout",
      Object.assign(new Error("timed out"), { name: "TimeoutError" }),
      ErrorCode.TIMEOUT,
      "timed out: the server 127.0.0.1:7 has not replied",
    ],
    ["an AbortController", "why", ErrorCode.CANCELLED, "was cancelled"],
  ])("end by a signal of %s, its reason as the cause", async (_kind, reason, code, text) => {
    const { begin, runtime, abandoned } = bench();
    const abort = new AbortController();
    const call = begin("m", { signal: abort.signal });
    abort.abort(reason);
    await runtime.settle();
    expect(call.error).toMatchObject({ code, message: `'m' ${text}`, cause: reason });
    expect(abandoned).toEqual(["1/0"]);
  });

  test("no longer hear their signal or timer once they are settled", async () => {
    const { begin, reply, runtime, abandoned } = bench();
    const abort = new AbortController();
    const call = begin("m", { signal: abort.signal, timeoutMs: 100 });
    await reply(1, 0, 1);
    abort.abort();
    await runtime.advance(500);
    expect([call.settled, abandoned]).toEqual([1, []]);
  });

  test("are taken back without a word to the peer when their frame cannot be queued", async () => {
    const { begin, runtime, calls, abandoned } = bench(new ConduitError(ErrorCode.SEND_QUEUE_FULL, "full"));
    const call = begin();
    await runtime.advance(2000);
    expect([call.error?.code, call.settled, calls.size, abandoned]).toEqual([ErrorCode.SEND_QUEUE_FULL, 1, 0, []]);
  });

  test("all reject when the connection ends; calls that the rejections begin are not touched", async () => {
    const { calls, begin, reply, runtime, abandoned } = bench();
    const first = begin("a");
    const gone = begin("b");
    await reply(1, 1, null);
    let begun: ReturnType<typeof begin> | null = null;
    calls.call("c", {}, {}, null).catch(() => {
      begun = begin("new");
    });
    calls.rejectAll("over", new ConduitError(ErrorCode.CONNECTION_CLOSED, "over"), null);
    await runtime.settle();
    expect(first.error).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED, message: "'a' got no reply: over" });
    expect(gone.state).toBe("resolved");
    expect((begun as unknown as ReturnType<typeof begin>).state).toBe("pending");
    expect([calls.size, abandoned]).toEqual([1, []]);
  });
});
