import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { CANCEL_FRAME } from "../extensions/cancel.ts";
import { OVERRUN_BYTES } from "../limits.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { type Gate, gate } from "../test-support/gate.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";
import { type MemoryPeer, rawClient } from "../test-support/raw-memory.ts";
import { call, frame, rawFrame, typeName } from "../testing/raw-frames.ts";
import { FrameType } from "../wire/constants.ts";

/** All extensions except `credit`. */
const FLOW = ["reply", "close", "cancel", "deadline", "call"];

/** Starts a server whose method `wait` only ends when aborted, and a raw client. */
async function lagging(options: Record<string, unknown> = {}, extensions: readonly string[] | null = FLOW) {
  const runtime = fakeRuntime();
  const gates: Gate<string>[] = [];
  const started: number[] = [];
  const { server, port, errors } = await testServer(runtime, options, (fresh) => {
    fresh.rpc("wait", (params) => {
      const own = gate<string>();
      gates.push(own);
      started.push(params["id"] as number);
      return own.promise;
    });
    fresh.on("note", () => undefined);
  });
  const peer = await rawClient(runtime, port, { extensions, passwordHash: extensions === null });
  const call = (from: number, to: number): void => {
    for (let id = from; id <= to; id += 1) peer.call("wait", { id }, id);
  };
  return { runtime, server, errors, peer, gates, started, call, connection: server.connections[0] as never };
}

describe("handlers of one connection", () => {
  test("run side by side up to handlerConcurrency; the next waits for one to end", async () => {
    const { runtime, call, started, gates } = await lagging({ handlerConcurrency: 3 });
    call(1, 5);
    await runtime.settle();
    expect(started).toEqual([1, 2, 3]);
    gates[1]?.open("done");
    await runtime.settle();
    expect(started).toEqual([1, 2, 3, 4]);
  });

  test("start in the order in which their messages came", async () => {
    const { runtime, call, started, gates } = await lagging({ handlerConcurrency: 2 });
    call(1, 20);
    await runtime.settle();
    for (let index = 0; index < 20; index += 1) {
      gates[index]?.open("done");
      await runtime.settle();
    }
    expect(started).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  });

  test("that fail make room for the next as well", async () => {
    const { runtime, call, started, gates, errors } = await lagging({ handlerConcurrency: 1 });
    call(1, 2);
    await runtime.settle();
    gates[0]?.fail(new Error("broken"));
    await runtime.settle();
    expect([started, errors.map((error) => error.stage)]).toEqual([[1, 2], ["rpc"]]);
  });
});

describe("after an interval in which nothing happened", () => {
  test("handlers are bounded as before", async () => {
    const { runtime, call, started, gates } = await lagging({ handlerConcurrency: 1, heartbeatIntervalMs: 5000 });
    call(1, 1);
    await runtime.settle();
    gates[0]?.open("done");
    await runtime.advance(6000);
    call(2, 3);
    await runtime.settle();
    expect(started).toEqual([1, 2]);
  });

  test("the peer's PAUSE still holds, and its RESUME still counts", async () => {
    const { runtime, server, peer } = await lagging({ heartbeatIntervalMs: 5000 });
    peer.send(FrameType.PAUSE);
    await runtime.advance(6000);
    await peer.received();
    server.broadcast("news", 1);
    expect(await peer.receivedTypes()).toEqual([]);
    peer.send(FrameType.RESUME);
    expect(await peer.receivedTypes()).toEqual(["MESSAGE"]);
  });

  test("reading that has stopped stays stopped, and continues when handlers have caught up", async () => {
    const { runtime, peer, call, started, gates } = await lagging({
      handlerConcurrency: 1,
      receiveQueueSize: 2,
      heartbeatIntervalMs: 5000,
    });
    call(1, 5);
    await runtime.advance(6000);
    expect([started, peer.stream.queuedBytes > 0]).toEqual([[1], true]);
    for (let index = 0; index < 5; index += 1) {
      gates[index]?.open("done");
      await runtime.settle();
    }
    expect(started).toEqual([1, 2, 3, 4, 5]);
  });

  test("a server that stops still refuses calls", async () => {
    const { runtime, server, peer, call } = await lagging({ heartbeatIntervalMs: 5000, drainMs: 60_000 });
    call(1, 1);
    await runtime.settle();
    void server.stop();
    await runtime.advance(6000);
    await peer.received();
    call(2, 2);
    expect((await peer.next(FrameType.RPC_ERROR)).payload).toMatchObject({ code: ErrorCode.SERVER_STOPPING });
  });

  test("the rate limit still counts what came before it", async () => {
    const rateLimit = { messagesPerSecond: 0.1 };
    const { runtime, peer } = await lagging({ heartbeatIntervalMs: 5000, rateLimit });
    peer.message("note", null, 1);
    await runtime.advance(6000);
    await peer.received();
    peer.message("note", null, 2);
    expect((await peer.next(FrameType.RPC_ERROR)).payload).toMatchObject({ code: ErrorCode.RATE_LIMITED });
  });

  test("a call that came before it and runs is still ended by CANCEL", async () => {
    const runtime = fakeRuntime();
    let signal: AbortSignal | undefined;
    const { port } = await testServer(runtime, { heartbeatIntervalMs: 5000 }, (server) => {
      server.rpc("wait", (_params, context) => {
        signal = context.signal;
        return gate().promise;
      });
    });
    const peer = await rawClient(runtime, port, { extensions: FLOW });
    peer.call("wait", {}, 7);
    await runtime.advance(6000);
    peer.send(CANCEL_FRAME, undefined, { id: 7 });
    await runtime.settle();
    expect(signal?.aborted).toBe(true);
  });
});

describe("a receive queue that is filled by a peer without credit", () => {
  const options = { handlerConcurrency: 1, receiveQueueSize: 10 };

  test("is not exceeded: from its size on nothing is read", async () => {
    const { runtime, peer, call, gates, started } = await lagging(options);
    call(1, 50);
    await runtime.settle();
    expect(peer.stream.queuedBytes).toBeGreaterThan(0);
    for (let index = 0; index < 50; index += 1) {
      gates[index]?.open("done");
      await runtime.settle();
    }
    expect(started).toHaveLength(50);
    expect((await peer.receivedTypes()).filter((type) => type === "RPC_RESPONSE")).toHaveLength(50);
  });

  test("makes the connection paused for as long as reading is stopped", async () => {
    const { runtime, server, call, gates } = await lagging(options);
    const states: string[] = [];
    server.connections[0]?.onStateChange(({ to }) => states.push(to));
    call(1, 30);
    await runtime.settle();
    expect(states).toEqual(["paused"]);
    for (let index = 0; index < 30; index += 1) {
      gates[index]?.open("done");
      await runtime.settle();
    }
    expect(states.at(-1)).toBe("active");
  });

  test("is bounded in bytes too", async () => {
    const maxMessageBytes = 1024;
    const { runtime, peer, started } = await lagging({
      handlerConcurrency: 1,
      maxMessageBytes,
      receiveQueueBytes: 2 * maxMessageBytes,
    });
    for (let id = 1; id <= 10; id += 1) peer.call("wait", { id, filler: "x".repeat(900) }, id);
    await runtime.settle();
    expect(peer.stream.queuedBytes).toBeGreaterThan(0);
    expect(started).toEqual([1]);
  });

  test("never says PAUSE to a netconduit peer, but stops reading all the same", async () => {
    const { peer, call } = await lagging({ ...options, allowPasswordHash: true }, null);
    call(1, 50);
    expect(await peer.receivedTypes()).toEqual([]);
    expect(peer.stream.queuedBytes).toBeGreaterThan(0);
  });

  test("loses nothing when RESUME from the peer empties it in the middle of being drained", async () => {
    const { runtime, server, peer, started, gates } = await lagging({ handlerConcurrency: 1, receiveQueueSize: 2 });
    server.rpc("quick", () => null);
    const request = (method: string, id: number): Uint8Array =>
      frame(FrameType.RPC_REQUEST, { method, params: { id } }, { id: id });
    peer.send(FrameType.PAUSE);
    await runtime.settle();
    server.connections[0]?.send("stopped by PAUSE");
    // One is running, two fill the queue, the rest isn't read.
    const unread = [frame(FrameType.RESUME), request("wait", 4), request("wait", 5)];
    peer.write(request("wait", 1), request("quick", 2), request("quick", 3), ...unread);
    await runtime.settle();
    for (let index = 0; index < 3; index += 1) {
      gates[index]?.open("done");
      await runtime.settle();
    }
    expect(started).toEqual([1, 4, 5]);
  });
});

describe("a peer without credit that asks and never reads", () => {
  /** Starts a client that doesn't read. Memory streams hold 64 KiB, after which the server's writes wait. */
  async function deaf(options: Record<string, unknown> = {}) {
    const bench = await lagging({ sendQueueSize: 50, ...options });
    bench.server.rpc("big", () => "x".repeat(1000));
    bench.peer.pause();
    return bench;
  }

  async function flood(
    peer: MemoryPeer,
    bytes: (id: number) => Uint8Array,
    settle: () => Promise<void>,
  ): Promise<void> {
    for (let id = 1; id <= 20_000; id += 1) peer.write(bytes(id));
    await settle();
  }

  const frames: readonly (readonly [string, (id: number) => Uint8Array])[] = [
    ["calls", (id) => call(id, "big")],
    ["PINGs", () => frame(FrameType.HEARTBEAT_PING)],
    ["RPC_LISTs", () => frame(FrameType.RPC_LIST)],
    ["malformed calls", (id) => rawFrame(FrameType.RPC_REQUEST, Uint8Array.of(0xc1), { id })],
    ["calls of an unknown method", (id) => call(id, "?")],
  ];

  test.each(frames)("with %s is not read any further, and memory stays bounded", async (_what, bytes) => {
    const { runtime, server, peer } = await deaf({ receiveQueueSize: 50 });
    await flood(peer, bytes, () => runtime.settle());
    expect(peer.stream.queuedBytes).toBeGreaterThan(bytes(1).length * 10_000);
    // 64 KiB in the stream, plus the queue's fifty answers of at most a thousand bytes each and those of one chunk.
    expect(server.connections[0]?.bufferedBytes).toBeLessThan(65_536 + 150 * 1100);
  });

  test("over its rate limit is not read any further either", async () => {
    const { runtime, server, peer } = await deaf({ rateLimit: { messagesPerSecond: 1 } });
    await flood(
      peer,
      (id) => call(id, "big"),
      () => runtime.settle(),
    );
    expect(peer.stream.queuedBytes).toBeGreaterThan(call(1, "big").length * 10_000);
    expect(server.connections[0]?.bufferedBytes).toBeLessThan(65_536 + 150 * 200);
  });

  test("gets its answers, in order, once it reads", async () => {
    const { runtime, peer } = await deaf();
    for (let id = 1; id <= 2000; id += 1) peer.call("big", {}, id);
    await runtime.settle();
    peer.resume();
    const answers = (await peer.received()).filter((frame) => frame.type === FrameType.RPC_RESPONSE);
    expect(answers.map(({ id }) => Number(id))).toEqual(Array.from({ length: 2000 }, (_, index) => index + 1));
  });

  test("is dropped after heartbeatTimeoutMs", async () => {
    const { runtime, server, peer } = await deaf();
    const reasons: number[] = [];
    server.onClientDisconnect((_connection, reason) => reasons.push(reason.code));
    for (let id = 1; id <= 2000; id += 1) peer.call("big", {}, id);
    await runtime.advance(120_100);
    expect(reasons).toEqual([ErrorCode.HEARTBEAT_TIMEOUT]);
  });

  test("and then reads a little now and then is not dropped", async () => {
    const { runtime, server, peer } = await deaf();
    for (let id = 1; id <= 2000; id += 1) peer.call("big", {}, id);
    for (let minute = 0; minute < 4; minute += 1) {
      await runtime.advance(60_000);
      peer.resume();
      await turn();
      await turn();
      peer.pause();
    }
    expect(server.connectionCount).toBe(1);
  });
});

describe("the peer's PAUSE", () => {
  test("stops messages and calls, not replies; RESUME releases them in order", async () => {
    const { runtime, server, peer, call, gates } = await lagging();
    const connection = server.connections[0];
    peer.send(FrameType.PAUSE);
    call(1, 1);
    await runtime.settle();
    connection?.send("one");
    const asked = outcome(connection?.call("method", {}) as Promise<unknown>);
    connection?.send("two");
    gates[0]?.open("done");
    expect(await peer.receivedTypes()).toEqual(["RPC_RESPONSE"]);
    peer.send(FrameType.RESUME);
    expect(await peer.receivedTypes()).toEqual(["MESSAGE", "RPC_REQUEST", "MESSAGE"]);
    expect(asked.state).toBe("pending");
  });

  test("shows in the state, also when it came before the connect hooks were done", async () => {
    const runtime = fakeRuntime();
    const hook = gate();
    const { server, port } = await testServer(runtime, {}, (fresh) => fresh.onClientConnect(() => hook.promise));
    const peer = await rawClient(runtime, port, { extensions: FLOW });
    peer.send(FrameType.PAUSE);
    peer.send(FrameType.PAUSE);
    await runtime.settle();
    expect(server.connections[0]?.state).toBe("connected");
    hook.open();
    await runtime.settle();
    expect(server.connections[0]?.state).toBe("paused");
    peer.send(FrameType.RESUME);
    await runtime.settle();
    expect(server.connections[0]?.state).toBe("active");
  });

  test("that never ends fills the send queue, and no more", async () => {
    const { runtime, server, peer } = await lagging({ sendQueueSize: 10 });
    const connection = server.connections[0];
    peer.send(FrameType.PAUSE);
    await runtime.settle();
    const room: boolean[] = [];
    for (let count = 0; count < 10; count += 1) room.push(connection?.send("x") === true);
    expect(room).toEqual([...Array(7).fill(true), ...Array(3).fill(false)]);
    expect(() => connection?.send("x")).toThrow(expect.objectContaining({ code: ErrorCode.SEND_QUEUE_FULL }));
    peer.send(FrameType.RESUME);
    await connection?.drained();
    expect((await peer.receivedTypes()).filter((type) => type === "MESSAGE")).toHaveLength(10);
  });

  test("does not keep handlers from starting, however many messages wait for RESUME", async () => {
    const { runtime, server, peer, call, gates } = await lagging({ sendQueueSize: 10 });
    peer.send(FrameType.PAUSE);
    await runtime.settle();
    for (let count = 0; count < 10; count += 1) server.connections[0]?.send("x");
    call(1, 1);
    await runtime.settle();
    gates[0]?.open("done");
    expect(await peer.receivedTypes()).toEqual(["RPC_RESPONSE"]);
  });
});

describe("a peer that owes a reply", () => {
  test("is read past the bound: what its handlers wait for comes behind what it sent before", async () => {
    const runtime = fakeRuntime();
    let handled = 0;
    await testServer(runtime, { handlerConcurrency: 2, receiveQueueSize: 10 }, (server) => {
      server.on("note", async (connection) => {
        await connection.call("confirm", {});
        handled += 1;
      });
    });
    const { client } = testClient(runtime);
    client.rpc("confirm", () => true);
    await client.connect();
    for (let count = 0; count < 2000; count += 1) if (!client.send("note", count)) await client.drained();
    await runtime.settle();
    expect([handled, runtime.now()]).toEqual([2000, 0]);
  });

  test("is read on when a handler asks it only after reading had stopped", async () => {
    const { runtime, server, peer, gates } = await lagging({ handlerConcurrency: 1, receiveQueueSize: 4 });
    const connection = server.connections[0];
    server.rpc("ask", async () => {
      await gates[0]?.promise;
      return connection?.call("confirm", {});
    });
    gates.push(gate());
    peer.call("ask", {}, 1);
    for (let id = 2; id <= 20; id += 1) peer.call("wait", {}, id);
    await runtime.settle();
    expect(peer.stream.queuedBytes).toBeGreaterThan(0);
    gates[0]?.open("go");
    const question = await peer.next(FrameType.RPC_REQUEST);
    peer.send(FrameType.RPC_RESPONSE, { success: true, result: "yes" }, { id: question.id });
    expect((await peer.next(FrameType.RPC_RESPONSE)).payload).toMatchObject({ result: "yes" });
  });

  test("is read until its RESUME is found, however full the queue is", async () => {
    const { runtime, server, peer } = await lagging({ handlerConcurrency: 1, receiveQueueSize: 4 });
    peer.send(FrameType.PAUSE);
    await runtime.settle();
    server.connections[0]?.send("stopped");
    for (let id = 1; id <= 20; id += 1) peer.call("wait", {}, id);
    peer.send(FrameType.RESUME);
    expect((await peer.receivedTypes()).includes("MESSAGE")).toBe(true);
  });

  test("is read further by a bounded amount, however often it is asked", async () => {
    const { runtime, server, peer } = await lagging({
      handlerConcurrency: 1,
      maxMessageBytes: 100_000,
      receiveQueueBytes: 200_000,
    });
    const connection = server.connections[0];
    const ask = (): void => void connection?.call("confirm", {}).catch(() => undefined);
    ask();
    peer.call("wait", {}, 1);
    const filler = frame(FrameType.MESSAGE, { type: "note", data: "x".repeat(60_000) });
    const sentBytes = 40 * 1024 * 1024;
    for (let bytes = 0; bytes < sentBytes; bytes += filler.length) peer.write(filler);
    await runtime.settle();
    const unread = peer.stream.queuedBytes;
    expect(unread).toBeGreaterThan(sentBytes - 200_000 - OVERRUN_BYTES - 200_000);
    for (let count = 0; count < 50; count += 1) ask();
    await runtime.settle();
    expect(peer.stream.queuedBytes).toBe(unread);
  });
});

describe("two peers that both send as fast as they can", () => {
  test("do not deadlock", async () => {
    const runtime = fakeRuntime();
    const got = { server: 0, client: 0 };
    const { server } = await testServer(runtime, { sendQueueSize: 200, receiveQueueSize: 10 }, (fresh) => {
      fresh.on("data", () => {
        got.server += 1;
      });
    });
    const { client } = testClient(runtime, { sendQueueSize: 200, receiveQueueSize: 10 });
    client.on("data", () => {
      got.client += 1;
    });
    await client.connect();
    const connection = server.connections[0];
    const data = "x".repeat(10_000);
    const pump = async (send: () => boolean, drained: () => Promise<void>): Promise<void> => {
      for (let count = 0; count < 500; count += 1) if (!send()) await drained();
    };
    await Promise.all([
      pump(
        () => client.send("data", data),
        () => client.drained(),
      ),
      pump(
        () => connection?.send("data", data) === true,
        () => connection?.drained() ?? Promise.resolve(),
      ),
    ]);
    await runtime.settle();
    expect(got).toEqual({ server: 500, client: 500 });
  });
});

describe("send", () => {
  test("says when there is no more room, and drained() when there is", async () => {
    const { runtime, server, peer } = await lagging({ sendQueueSize: 10 });
    const connection = server.connections[0];
    peer.pause();
    let sent = 0;
    while (connection?.send("filler", "x".repeat(10_000)) === true) {
      sent += 1;
      await runtime.settle();
    }
    const drained = outcome(connection?.drained() as Promise<void>);
    await runtime.settle();
    expect(drained.state).toBe("pending");
    peer.resume();
    await runtime.settle();
    expect(drained.state).toBe("resolved");
    expect((await peer.received()).map(typeName)).toHaveLength(sent + 1);
  });

  test("over the bound throws SEND_QUEUE_FULL with both numbers, and queues nothing", async () => {
    const { runtime, server, peer } = await lagging({ sendQueueSize: 3 });
    const connection = server.connections[0];
    peer.pause();
    const send = (): unknown => connection?.send("filler", "x".repeat(70_000));
    for (let count = 0; count < 4; count += 1) {
      send();
      await runtime.settle();
    }
    expect(send).toThrow(/Cannot send 'filler': the send queue holds 3 messages, \d+ bytes \(sendQueueSize 3, /);
    await expect(connection?.call("m", {})).rejects.toMatchObject({ code: ErrorCode.SEND_QUEUE_FULL });
    await expect(connection?.request("m", {})).rejects.toMatchObject({ code: ErrorCode.SEND_QUEUE_FULL });
    peer.resume();
    expect((await peer.receivedTypes()).filter((type) => type !== "MESSAGE")).toEqual([]);
  });

  test("a call whose frame was refused leaves nothing behind", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime, {});
    const { client } = testClient(runtime);
    await client.connect();
    await expect(client.call("m", { f: () => 1 })).rejects.toMatchObject({ code: ErrorCode.UNSERIALIZABLE });
    await expect(client.request("m", () => 1)).rejects.toMatchObject({ code: ErrorCode.UNSERIALIZABLE });
    expect(client.health().pendingCalls).toBe(0);
  });
});
