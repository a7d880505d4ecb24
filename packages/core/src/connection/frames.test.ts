import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { ErrorCode, RpcError } from "../errors.ts";
import { CANCEL_FRAME } from "../extensions/cancel.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { leftovers } from "../test-support/leftovers.ts";
import { testServer } from "../test-support/peers.ts";
import { rawClient } from "../test-support/raw-memory.ts";
import { COMPRESSED, frame, message, rawFrame } from "../testing/raw-frames.ts";
import { FrameType } from "../wire/constants.ts";
import type { CloseReason } from "./close-reason.ts";

const GARBAGE = Uint8Array.of(0xc1);
const TOO_LONG = frame(FrameType.MESSAGE, undefined, { length: 0xffff_ffff });

async function bench(options: Record<string, unknown> = {}, login: Parameters<typeof rawClient>[2] = {}) {
  const runtime = fakeRuntime();
  const reasons: CloseReason[] = [];
  const { server, port, errors } = await testServer(runtime, options, (fresh) =>
    fresh.onClientDisconnect((_connection, reason) => reasons.push(reason)),
  );
  server.rpc("ping", () => "pong");
  const peer = await rawClient(runtime, port, login);
  const connection = server.connections[0] as (typeof server.connections)[0];
  /** Returns whether the connection still answers. */
  const alive = async (): Promise<boolean> => {
    peer.call("ping", {}, 77);
    return (await peer.received()).some((frame) => frame.type === FrameType.RPC_RESPONSE && frame.id === 77n);
  };
  return { runtime, server, errors, peer, connection, reasons, alive };
}

describe("broken framing after login", () => {
  const broken: readonly (readonly [string, number, Uint8Array])[] = [
    ["wrong magic", ErrorCode.BAD_MAGIC, new TextEncoder().encode("garbage!")],
    ["another version", ErrorCode.UNSUPPORTED_VERSION, frame(FrameType.MESSAGE, undefined, { version: 0x0900 })],
    ["an unknown type", ErrorCode.UNKNOWN_FRAME_TYPE, frame(0x0999)],
    ["the flag ENCRYPTED", ErrorCode.UNSUPPORTED_FLAG, frame(FrameType.MESSAGE, undefined, { flags: 2 })],
    ["a length over maxMessageBytes", ErrorCode.MESSAGE_TOO_LARGE, TOO_LONG],
    ["AUTH_REQUEST again", ErrorCode.UNEXPECTED_FRAME, frame(FrameType.AUTH_REQUEST, {})],
    ["AUTH_SUCCESS", ErrorCode.UNEXPECTED_FRAME, frame(FrameType.AUTH_SUCCESS, {})],
    ["AUTH_CHALLENGE", ErrorCode.UNEXPECTED_FRAME, frame(FrameType.AUTH_CHALLENGE, {})],
  ];

  test.each(broken)("%s: the peer is told the code in CLOSE, then the connection ends", async (_what, code, bytes) => {
    const { peer, errors, reasons, connection } = await bench();
    peer.write(bytes);
    expect((await peer.next(FrameType.CLOSE)).payload).toMatchObject({ code, reconnect: true });
    expect(errors).toMatchObject([{ code, stage: "protocol" }]);
    expect(reasons).toMatchObject([{ code, byPeer: false }]);
    expect([peer.ended, connection.stats.errors]).toEqual([null, 1]);
  });

  test("a length over maxMessageBytes: both sides are told which option it is over, and whose", async () => {
    const { peer, errors } = await bench();
    peer.write(TOO_LONG);
    const words =
      /4294967295 bytes exceeds the limit of \d+ bytes \(option maxMessageBytes of the server, which received it\)$/;
    expect((await peer.next(FrameType.CLOSE)).payload?.["reason"]).toMatch(words);
    expect(errors[0]?.message).toMatch(words);
  });

  test("frames ahead of it in the same chunk are still handled, frames behind it are not", async () => {
    const { peer, server } = await bench();
    const seen: unknown[] = [];
    server.on("note", (_client, data) => seen.push(data));
    const note = (data: number): Uint8Array => frame(FrameType.MESSAGE, { type: "note", data });
    peer.write(note(1), note(2), frame(0x0999), note(3));
    await peer.received();
    expect(seen).toEqual([1, 2]);
  });
});

test.each([0x8000, 0xffff])("a frame of the unknown optional type %i is skipped and counted", async (type) => {
  const { peer, errors, connection, alive } = await bench();
  peer.write(rawFrame(type, GARBAGE, { id: 5 }), rawFrame(type, GARBAGE));
  expect(await alive()).toBe(true);
  expect([connection.stats.skippedFrames, connection.stats.errors, errors]).toEqual([2, 0, []]);
});

describe("a frame whose payload cannot be read", () => {
  test("a call gets the code as its reply, and the connection lives", async () => {
    const { peer, errors, connection, alive } = await bench();
    peer.write(rawFrame(FrameType.RPC_REQUEST, GARBAGE, { id: 0x300000004 }));
    const reply = await peer.next(FrameType.RPC_ERROR);
    expect(reply).toMatchObject({ id: 0x3_0000_0004n, payload: { code: ErrorCode.MALFORMED_PAYLOAD } });
    expect(errors).toMatchObject([{ code: ErrorCode.MALFORMED_PAYLOAD, stage: "protocol" }]);
    expect([connection.stats.errors, await alive()]).toEqual([1, true]);
  });

  test("a call whose params are no map gets INVALID_PARAMS", async () => {
    const { peer } = await bench();
    peer.send(FrameType.RPC_REQUEST, { method: "ping", params: [1, 2] }, { id: 1 });
    expect((await peer.next(FrameType.RPC_ERROR)).payload).toMatchObject({ code: ErrorCode.INVALID_PARAMS });
  });

  test("a call that wants no answer gets none, and is reported", async () => {
    const { peer, errors, alive } = await bench();
    peer.write(rawFrame(FrameType.RPC_REQUEST, GARBAGE));
    expect([await peer.receivedTypes(), errors.length, await alive()]).toEqual([[], 1, true]);
  });

  test("a message that asks for a reply gets the code", async () => {
    const { peer, alive } = await bench();
    peer.write(rawFrame(FrameType.MESSAGE, GARBAGE, { id: 9 }));
    expect(await peer.next(FrameType.RPC_ERROR)).toMatchObject({
      id: 9n,
      payload: { code: ErrorCode.MALFORMED_PAYLOAD },
    });
    expect(await alive()).toBe(true);
  });

  test.each([
    ["a message", FrameType.MESSAGE],
    ["CLOSE", FrameType.CLOSE],
    ["RPC_RESPONSE to no call", FrameType.RPC_RESPONSE],
    ["RPC_ERROR to no call", FrameType.RPC_ERROR],
  ])("%s is dropped, and the connection lives", async (_what, type) => {
    const { peer, alive } = await bench();
    peer.write(rawFrame(type, GARBAGE));
    expect([await peer.receivedTypes(), await alive()]).toEqual([[], true]);
  });

  test("a message to a peer without the reply extension is reported and not answered", async () => {
    const { peer, errors, alive } = await bench({}, { extensions: ["cancel"] });
    peer.write(rawFrame(FrameType.MESSAGE, GARBAGE, { id: 9 }));
    expect([await peer.receivedTypes(), errors.length, await alive()]).toEqual([[], 1, true]);
  });

  test("a forbidden key is refused with its code", async () => {
    const { peer, alive } = await bench();
    const evil = Uint8Array.of(0x81, 0xa9, ...new TextEncoder().encode("__proto__"), 0x80);
    peer.write(rawFrame(FrameType.RPC_REQUEST, evil, { id: 1 }));
    expect((await peer.next(FrameType.RPC_ERROR)).payload).toMatchObject({ code: ErrorCode.FORBIDDEN_KEY });
    expect(await alive()).toBe(true);
  });

  test("a compressed payload that inflates beyond maxMessageBytes is refused, and the connection lives", async () => {
    const { runtime, peer, alive } = await bench({ maxMessageBytes: 2048, enableCompression: true });
    const bomb = runtime.deflate(new Uint8Array(1_000_000));
    peer.write(rawFrame(FrameType.RPC_REQUEST, bomb, { id: 1, flags: COMPRESSED }));
    expect((await peer.next(FrameType.RPC_ERROR)).payload).toMatchObject({ code: ErrorCode.INFLATED_TOO_LARGE });
    expect(await alive()).toBe(true);
  });
});

describe("frames that ask for nothing", () => {
  test.each([
    ["ACK", FrameType.ACK],
    ["NACK", FrameType.NACK],
    ["CLOSE_ACK", FrameType.CLOSE_ACK],
    ["RESUME", FrameType.RESUME],
    ["HEARTBEAT_PONG", FrameType.HEARTBEAT_PONG],
    ["CANCEL", CANCEL_FRAME],
  ])("%s is taken and not answered", async (_name, type) => {
    const { peer, errors, alive } = await bench();
    peer.send(type);
    expect([await peer.receivedTypes(), errors, await alive()]).toEqual([[], [], true]);
  });

  test("an unrequested list of methods is ignored", async () => {
    const { peer, errors } = await bench();
    peer.send(FrameType.RPC_LIST, { methods: [] }, { id: 1 });
    expect([await peer.receivedTypes(), errors]).toEqual([[], []]);
  });
});

describe("invalid payloads", () => {
  test("that come again and again are reported once per second and code, with their number", async () => {
    const { runtime, peer, server, connection } = await bench();
    const reports: (number | undefined)[] = [];
    server.onError((_error, context) => reports.push(context.count));
    for (let n = 0; n < 100; n += 1) peer.write(rawFrame(FrameType.MESSAGE, GARBAGE));
    await runtime.advance(1000);
    peer.write(rawFrame(FrameType.MESSAGE, GARBAGE));
    await runtime.settle();
    expect([reports, connection.stats.errors]).toEqual([[1, 100], 101]);
  });

  test("that were not reported yet are when the connection ends, before its disconnect hooks", async () => {
    const { runtime, peer, server } = await bench();
    const heard: unknown[] = [];
    server.onError((_error, context) => heard.push(context.count));
    server.onClientDisconnect(() => heard.push("disconnected"));
    for (let n = 0; n < 10; n += 1) peer.write(rawFrame(FrameType.MESSAGE, GARBAGE));
    peer.end();
    await runtime.settle();
    expect(heard).toEqual([1, 9, "disconnected"]);
  });
});

describe("messages that fail by their sender's fault", () => {
  async function failing(): Promise<Awaited<ReturnType<typeof bench>> & { readonly heard: unknown[] }> {
    const all = await bench();
    const { server } = all;
    server.on("typed", v.object({ n: v.number() }), () => undefined);
    server.on("denied", () => undefined, { roles: ["admin"] });
    server.on("no", () => new RpcError(4010, "No"));
    const heard: unknown[] = [];
    server.onError(({ message }, { stage, name, count }) => heard.push([stage, name, message.split(":")[0], count]));
    return { ...all, heard };
  }
  const invalid = ["message", "typed", "Validation error in message typed"];

  test("are reported once per second, type and code, with their number", async () => {
    const { runtime, peer, server, heard } = await failing();
    for (let n = 0; n < 100; n += 1) for (const type of ["typed", "denied", "no"]) peer.message(type, {});
    await runtime.settle();
    const denied = ["message", "denied", "Permission denied"];
    expect(heard).toEqual([
      [...invalid, undefined],
      [...denied, undefined],
      ["message", "no", "No", undefined],
    ]);
    await runtime.advance(1000);
    peer.message("typed", {});
    await runtime.settle();
    expect(heard.slice(3)).toEqual([[...invalid, 100]]);
    await server.stop({ drainMs: 0 });
    expect(heard.slice(4)).toEqual([
      [...denied, 99],
      ["message", "no", "No", 99],
    ]);
  });

  test("are reported one by one if their handlers end after the connection", async () => {
    const { runtime, peer, server, heard } = await failing();
    const { promise, open } = gate();
    server.on("late", () => promise.then(() => new RpcError(4010, "Late")));
    for (let n = 0; n < 3; n += 1) peer.message("late", null);
    await runtime.settle();
    peer.reset();
    await runtime.settle();
    open();
    await runtime.settle();
    expect(heard).toEqual(new Array(3).fill(["message", "late", "Late", undefined]));
  });
});

describe("RPC_LIST", () => {
  test("shows a method that was registered or removed since the last one", async () => {
    const { peer, server } = await bench();
    const names = async (): Promise<unknown> => {
      peer.send(FrameType.RPC_LIST, undefined, { id: 1 });
      const { methods } = (await peer.next(FrameType.RPC_LIST)).payload as { methods: { name: string }[] };
      return methods.map(({ name }) => name);
    };
    const before = await names();
    const remove = server.rpc("later", () => 1);
    const during = await names();
    remove();
    expect([before, during, await names()]).toEqual([["ping"], ["ping", "later"], ["ping"]]);
  });

  test("is answered with the methods, under its id", async () => {
    const { peer } = await bench();
    peer.send(FrameType.RPC_LIST, undefined, { id: 0x500000006 });
    const list = await peer.next(FrameType.RPC_LIST);
    expect(list).toMatchObject({ id: 0x5_0000_0006n });
    expect(list.payload).toEqual({
      methods: [
        { name: "ping", description: "", parameters: {}, return_type: expect.any(String), requires_auth: true },
      ],
    });
  });

  test("that is too large to send is reported, and the connection lives", async () => {
    const { server, peer, errors, alive } = await bench({ maxMessageBytes: 1024 });
    for (let n = 0; n < 50; n += 1) server.rpc(`method_number_${n}`, () => null);
    peer.send(FrameType.RPC_LIST, undefined, { id: 1 });
    expect([await peer.receivedTypes(), errors[0]?.code]).toEqual([[], ErrorCode.MESSAGE_TOO_LARGE]);
    expect(await alive()).toBe(true);
  });
});

describe("timestamps", () => {
  test("of frames are those of their own turn", async () => {
    const { runtime, peer } = await bench();
    const stamps: number[] = [];
    for (let count = 0; count < 3; count += 1) {
      peer.call("ping", {}, count + 1);
      stamps.push((await peer.next(FrameType.RPC_RESPONSE)).timestampMs - runtime.wallClock());
      await runtime.advance(12_345);
    }
    expect(stamps).toEqual([0, 0, 0]);
  });
});

describe("the rate limit", () => {
  test("refuses a call with RATE_LIMITED and says when to try again", async () => {
    const { runtime, peer, errors, connection, alive } = await bench({ rateLimit: { messagesPerSecond: 2 } });
    for (const lo of [1, 2, 3]) peer.call("ping", {}, lo);
    const frames = await peer.received();
    expect(frames.map(({ id }) => id)).toEqual([1n, 2n, 3n]);
    expect(frames[2]?.payload).toEqual({
      success: false,
      error: "Rate limit exceeded",
      code: ErrorCode.RATE_LIMITED,
      details: { retry_after: 0.5 },
    });
    expect(errors).toMatchObject([{ code: ErrorCode.RATE_LIMITED, stage: "rate-limit" }]);
    expect(connection.stats.rateLimited).toBe(1);
    await runtime.advance(600);
    expect(await alive()).toBe(true);
  });

  test("counts and reports a message over it", async () => {
    const { runtime, server, peer, errors, connection } = await bench({ rateLimit: { messagesPerSecond: 1 } });
    const seen: unknown[] = [];
    server.on("note", (_client, data) => seen.push(data));
    for (const n of [1, 2, 3]) peer.message("note", n);
    await runtime.settle();
    expect([seen, errors.length, connection.stats.rateLimited]).toEqual([[1], 1, 1]);
  });

  test("pauses reading: of a burst, one frame per second is refused and all others are handled at the rate", async () => {
    const { runtime, server, peer, connection } = await bench({ rateLimit: { messagesPerSecond: 10 } });
    const seen: unknown[] = [];
    server.on("note", (_client, data) => seen.push(data));
    const numbers = Array.from({ length: 40 }, (_, n) => n);
    for (const n of numbers) peer.message("note", n);
    await runtime.settle();
    expect([seen.length, connection.state, peer.stream.queuedBytes > 0]).toEqual([10, "paused", true]);
    await runtime.advance(1000);
    expect(seen.length).toBeLessThanOrEqual(20);
    await runtime.advance(4000);
    expect([seen, connection.state]).toEqual([numbers.filter((n) => seen.includes(n)), "active"]);
    expect(seen.length).toBeGreaterThanOrEqual(36);
  });

  test("ends the connection of a peer that exceeds it for more than ten seconds in a row", async () => {
    const { runtime, server, peer, reasons, errors } = await bench({ rateLimit: { messagesPerSecond: 5 } });
    server.on("note", () => undefined);
    for (let n = 0; n < 200; n += 1) peer.message("note", n);
    await runtime.advance(9000);
    expect(reasons).toEqual([]);
    await runtime.advance(4000);
    expect(reasons).toMatchObject([{ code: ErrorCode.RATE_LIMITED, byPeer: false }]);
    expect((await peer.next(FrameType.CLOSE)).payload).toMatchObject({ code: ErrorCode.RATE_LIMITED });
    expect(errors.length).toBeLessThanOrEqual(12);
  });

  test("is no reason to end the connection of a peer that exceeds it now and then", async () => {
    const { runtime, server, peer, reasons, connection } = await bench({ rateLimit: { messagesPerSecond: 5 } });
    server.on("note", () => undefined);
    for (let burst = 0; burst < 20; burst += 1) {
      for (let n = 0; n < 7; n += 1) peer.message("note", n);
      await runtime.advance(4000);
    }
    expect([connection.stats.rateLimited > 15, reasons]).toEqual([true, []]);
  });

  test("pauses reading for a second at most, so that heartbeats are answered", async () => {
    const { runtime, server, peer } = await bench({ rateLimit: { messagesPerSecond: 0.01 } });
    server.on("note", () => undefined);
    for (let n = 0; n < 2; n += 1) peer.message("note", n);
    await runtime.settle();
    peer.send(FrameType.HEARTBEAT_PING);
    await runtime.advance(1100);
    expect(await peer.receivedTypes()).toContain("HEARTBEAT_PONG");
  });

  test("leaves no timer of a peer that is gone", async () => {
    const { runtime, peer } = await bench({ rateLimit: { messagesPerSecond: 1 } });
    for (let n = 0; n < 2; n += 1) peer.message("note", n);
    await runtime.settle();
    peer.reset();
    await runtime.settle();
    expect(leftovers()).toEqual([]);
  });

  test("leaves what it pauses unread, also after a turn that the connection has used up", async () => {
    const { runtime, server, peer, connection } = await bench({ rateLimit: { messagesPerSecond: 100 } });
    server.on("note", () => undefined);
    let ms = runtime.now();
    // The clock advances by 0.1 ms on each read, so that a chunk takes several turns.
    runtime.now = () => {
      ms += 0.1;
      return ms;
    };
    const before = connection.stats.bytesReceived;
    const note = message("note", "x".repeat(100));
    for (let chunk = 0; chunk < 50; chunk += 1) peer.write(...new Array(150).fill(note));
    await runtime.settle();
    expect(connection.stats.bytesReceived - before).toBeLessThan(2 * 150 * note.length + 1);
  });

  test("handles what a peer within it sent before it hung up", async () => {
    const { runtime, server, peer } = await bench({ rateLimit: { messagesPerSecond: 10 } });
    const seen: unknown[] = [];
    server.on("note", (_client, data) => seen.push(data));
    peer.write(...Array.from({ length: 15 }, (_, n) => message("note", n)));
    peer.end();
    await runtime.advance(2000);
    expect([seen.length, server.connectionCount]).toEqual([14, 0]);
  });

  test("refuses a message that asks for a reply with RATE_LIMITED", async () => {
    const { server, peer } = await bench({ rateLimit: { messagesPerSecond: 1 } });
    server.on("ask", () => "answer");
    peer.message("ask", 1, 1);
    peer.message("ask", 2, 2);
    expect((await peer.received()).map(({ id, payload }) => [Number(id), payload?.["code"]])).toEqual([
      [1, undefined],
      [2, ErrorCode.RATE_LIMITED],
    ]);
  });

  test("counts bytes of whole frames", async () => {
    const { peer } = await bench({ rateLimit: { bytesPerSecond: 1000 } });
    for (const lo of [1, 2]) peer.call("ping", { filler: "x".repeat(600) }, lo);
    expect((await peer.received()).map((frame) => frame.payload?.["code"])).toEqual([
      undefined,
      ErrorCode.RATE_LIMITED,
    ]);
  });

  test.each([
    ["whose values are refused", new Uint8Array(60_000).fill(0xc1), ErrorCode.MALFORMED_PAYLOAD],
    ["that inflate to more than the limit", new Uint8Array(1_000_000), ErrorCode.INFLATED_TOO_LARGE],
  ])("counts compressed payloads %s as inflated", async (_which, payload, code) => {
    const rateLimit = { bytesPerSecond: 50_000 };
    const { runtime, peer } = await bench({ rateLimit, enableCompression: true });
    peer.write(rawFrame(FrameType.RPC_REQUEST, runtime.deflate(payload), { id: 1, flags: COMPRESSED }));
    peer.call("ping", {}, 2);
    expect((await peer.received()).map((frame) => frame.payload?.["code"])).toEqual([code, ErrorCode.RATE_LIMITED]);
  });

  test("does not answer a message of a peer that expects no answer", async () => {
    const { peer, connection } = await bench({ rateLimit: { messagesPerSecond: 1 } }, { extensions: ["cancel"] });
    for (const lo of [1, 2, 3]) peer.message("note", null, lo);
    expect([await peer.receivedTypes(), connection.stats.rateLimited]).toEqual([[], 1]);
  });

  test("lets heartbeats through", async () => {
    const { peer } = await bench({ rateLimit: { messagesPerSecond: 1 } });
    for (let count = 0; count < 5; count += 1) peer.send(FrameType.HEARTBEAT_PING);
    expect(await peer.receivedTypes()).toEqual(Array(5).fill("HEARTBEAT_PONG"));
  });
});

describe("a connection that is drained", () => {
  test("drops the messages of a peer that expects no answer", async () => {
    const { runtime, server, peer } = await bench({}, { extensions: ["cancel"] });
    const running = gate();
    const seen: unknown[] = [];
    server.rpc("wait", () => running.promise);
    server.on("note", (_client, data) => seen.push(data));
    peer.call("wait");
    await runtime.settle();
    const stopping = server.stop();
    peer.message("note", 1, 5);
    expect([await peer.receivedTypes(), seen]).toEqual([[], []]);
    running.open();
    await stopping;
  });

  test("refuses calls and requests with SERVER_STOPPING, and finishes those that run", async () => {
    const { runtime, server, peer } = await bench();
    const running = gate<string>();
    server.rpc("wait", () => running.promise);
    server.on("ask", () => "answer");
    peer.call("wait", {}, 1);
    await runtime.settle();
    const stopping = server.stop();
    await runtime.settle();
    peer.call("ping", {}, 2);
    peer.message("ask", null, 3);
    peer.message("note");
    expect((await peer.received()).map(({ id, payload }) => [Number(id), payload?.["code"]])).toEqual([
      [2, ErrorCode.SERVER_STOPPING],
      [3, ErrorCode.SERVER_STOPPING],
    ]);
    running.open("done");
    expect(await peer.receivedTypes()).toEqual(["RPC_RESPONSE", "CLOSE"]);
    await stopping;
  });
});
