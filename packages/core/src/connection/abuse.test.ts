/** Hostile peers, and calls by the application at unusual times. */

import { deflateSync } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ErrorCode, RpcError } from "../errors.ts";
import { CANCEL_FRAME } from "../extensions/cancel.ts";
import { Server } from "../server/server.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { clientAtRawServer, outcome, testClient, testServer } from "../test-support/peers.ts";
import { type MemoryPeer, PASSWORD, RawServer, rawClient, rawDial } from "../test-support/raw-memory.ts";
import type { ScramClient } from "../test-support/scram-by-rfc.ts";
import { COMPRESSED, frame, rawFrame } from "../testing/raw-frames.ts";
import { FrameType } from "../wire/constants.ts";

const unhandled: unknown[] = [];
const note = (error: unknown): void => void unhandled.push(error);
beforeEach(() => {
  unhandled.length = 0;
  process.on("unhandledRejection", note);
});
afterEach(() => process.off("unhandledRejection", note));

const later = (wait: Promise<unknown>, started?: () => void) =>
  ({
    "~standard": {
      version: 1,
      vendor: "test",
      validate: async (value: unknown) => {
        started?.();
        await wait;
        return { value };
      },
    },
  }) as never;

test("a compressed message waits for its handler as it came, whatever it inflates to", async () => {
  const runtime = fakeRuntime();
  let inflated = 0;
  const { inflate } = runtime;
  runtime.inflate = (bytes, maxBytes) => {
    inflated += 1;
    return inflate.call(runtime, bytes, maxBytes);
  };
  const options = { enableCompression: true };
  const { port } = await testServer(runtime, options, (s) => void s.onClientConnect(() => new Promise(() => {})));
  const peer = await rawClient(runtime, port);
  const size = 5 * 1024 * 1024;
  const head = [0x82, 0xa4, ...Buffer.from("type"), 0xa1, 0x6d, 0xa4, ...Buffer.from("data"), 0xc6, 0, 0x50, 0, 0];
  const plain = new Uint8Array(head.length + size);
  plain.set(head);
  const compressed = rawFrame(FrameType.MESSAGE, deflateSync(plain), { flags: COMPRESSED });
  for (let i = 0; i < 20; i += 1) peer.write(compressed);
  await runtime.settle();
  expect([inflated, peer.ended]).toEqual([0, undefined]);
});

test("a connection whose close reason cannot be sent still ends", async () => {
  const runtime = fakeRuntime();
  const { server, port } = await testServer(runtime, { maxMessageBytes: 1024 });
  const peer = await rawClient(runtime, port);
  let threw = false;
  try {
    void server.connections[0]?.close("x".repeat(2000));
  } catch {
    threw = true; // which its documentation does not say
  }
  await runtime.advance(60_000);
  expect({ threw, ended: peer.ended !== undefined }).toEqual({ threw: false, ended: true });
});

test("stop() settles though a client was turned away with a text that is too long", async () => {
  const runtime = fakeRuntime();
  const { server, port } = await testServer(runtime, { maxMessageBytes: 1024 }, (s) => {
    s.onClientConnect(() => {
      throw new RpcError(7, "no ".repeat(500));
    });
  });
  await rawClient(runtime, port);
  const stop = outcome(server.stop());
  await runtime.advance(20_000);
  expect(stop.state).toBe("resolved");
  expect(unhandled).toEqual([]);
});

test("stop() called by a shutdown hook joins the stop under way", async () => {
  const runtime = fakeRuntime();
  let runs = 0;
  const { server } = await testServer(runtime, {}, (s) => {
    s.onShutdown(() => {
      if (++runs < 5) s.stop({ drainMs: 0 }).catch(() => undefined);
    });
  });
  await server.stop();
  expect(runs).toBe(1);
});

test("stop() called by onClientRejected joins the stop under way", async () => {
  const runtime = fakeRuntime();
  let runs = 0;
  let stops = 0;
  const { server, port } = await testServer(runtime, {}, (s) => {
    s.onShutdown(() => {
      runs += 1;
    });
    s.onClientRejected(() => {
      if (++stops < 5) s.stop().catch(() => undefined);
    });
  });
  await rawDial(runtime, port);
  await runtime.settle();
  const stop = outcome(server.stop());
  await runtime.advance(20_000);
  expect({ runs, state: stop.state }).toEqual({ runs: 1, state: "resolved" });
});

test("logins at the same time from one address do not get round the throttle", async () => {
  const runtime = fakeRuntime();
  const { server, port } = await testServer(runtime);
  const guesses: { peer: MemoryPeer; scram: ScramClient }[] = [];
  for (let i = 0; i < 200; i += 1) {
    const peer = await rawDial(runtime, port);
    guesses.push({ peer, scram: peer.requestLogin({ password: "wrong" }) });
  }
  await runtime.advance(1000);
  for (const { peer, scram } of guesses) {
    const challenge = peer.frames.all.find(({ type }) => type === FrameType.AUTH_CHALLENGE);
    const data = challenge?.payload?.["data"];
    if (data !== undefined) peer.send(FrameType.AUTH_RESPONSE, { data: scram.answer(data as string) });
  }
  await runtime.settle();
  expect(server.stats.authFailures).toBe(20);
});

test("a request made from onDisconnect is queued with queueWhileDisconnected", async () => {
  const runtime = fakeRuntime();
  const raw = await RawServer.start(runtime);
  const { client } = testClient(runtime, { queueWhileDisconnected: "send" });
  let thrown: unknown = null;
  client.onDisconnect(() => {
    try {
      client.send("x", 1);
    } catch (error) {
      thrown = error;
    }
  });
  const connected = client.connect();
  const peer = await raw.admit();
  await connected;
  peer.stream.destroy(new Error("gone"));
  await runtime.settle();
  expect(thrown).toBe(null);
});

test("a message sent after the server's CLOSE, before the stream is over, is queued", async () => {
  const { runtime, client, peer } = await clientAtRawServer({}, { queueWhileDisconnected: "send" });
  peer.pause();
  peer.send(FrameType.CLOSE, { reason: "restart", code: ErrorCode.SERVER_STOPPING, reconnect: true });
  await runtime.settle();
  expect(() => client.send("x", 1)).not.toThrow();
});

test("stop() waits for a reply whose result is validated asynchronously", async () => {
  const runtime = fakeRuntime();
  const valid = gate();
  const { server } = await testServer(runtime, {}, (s) => {
    s.rpc({ name: "m", result: later(valid.promise) }, async () => 7 as never);
  });
  const { client } = testClient(runtime);
  await client.connect();
  const call = outcome(client.call("m"));
  await runtime.settle();
  void server.stop({ drainMs: 60_000 });
  await runtime.settle();
  valid.open();
  await runtime.settle();
  expect(call.state).toBe("resolved");
});

test("asynchronous validation of results counts against handlerConcurrency", async () => {
  const runtime = fakeRuntime();
  let started = 0;
  const { port } = await testServer(runtime, { handlerConcurrency: 2 }, (s) => {
    s.rpc(
      {
        name: "m",
        result: later(new Promise(() => {}), () => {
          started += 1;
        }),
      },
      () => 7 as never,
    );
  });
  const peer = await rawClient(runtime, port);
  for (let i = 1; i <= 100; i += 1) peer.call("m", {}, i);
  await runtime.settle();
  expect(started).toBe(2);
});

test("a call cancelled while its parameters are validated does not start its handler", async () => {
  const runtime = fakeRuntime();
  const valid = gate();
  let ran = 0;
  const { port } = await testServer(runtime, {}, (s) => {
    s.rpc("m", later(valid.promise), () => {
      ran += 1;
    });
  });
  const peer = await rawClient(runtime, port);
  peer.call("m", {}, 1);
  await runtime.settle();
  peer.send(CANCEL_FRAME, undefined, { id: 1 });
  await runtime.settle();
  valid.open();
  await runtime.settle();
  expect(ran).toBe(0);
});

test("connect() after disconnect() connects, also when the latter ended a dial", async () => {
  const runtime = fakeRuntime();
  await testServer(runtime);
  const { client } = testClient(runtime);
  client.connect().catch(() => undefined);
  void client.disconnect();
  const second = outcome(client.connect());
  await runtime.advance(1000);
  expect(second.state).toBe("resolved");
});

test("the rate limit covers RPC_LIST", async () => {
  const runtime = fakeRuntime();
  const { port } = await testServer(runtime, { rateLimit: { messagesPerSecond: 1 } }, (s) => {
    for (let i = 0; i < 50; i += 1) s.rpc(`method_${i}`, () => 1);
  });
  const peer = await rawClient(runtime, port);
  const list = frame(FrameType.RPC_LIST, undefined, { id: 1 });
  peer.write(...Array.from({ length: 1000 }, () => list));
  expect((await peer.received()).filter((frame) => frame.type === FrameType.RPC_LIST).length).toBeLessThan(10);
});

test("connectTimeoutMs holds while the connection before is being closed", async () => {
  const { runtime, client, peer } = await clientAtRawServer({}, { connectTimeoutMs: 1000, closeTimeoutMs: 30_000 });
  peer.pause();
  void client.disconnect();
  const again = outcome(client.connect());
  await runtime.advance(5000);
  expect(again.state).toBe("rejected");
});

test("connectionTimeoutMs runs from accept, as documented", async () => {
  const runtime = fakeRuntime();
  const { server, port } = await testServer(runtime, { connectionTimeoutMs: 12_000 }, (s) => {
    s.onClientConnect(() => new Promise(() => {}));
  });
  const peer = await rawDial(runtime, port);
  await runtime.advance(9_000);
  await peer.login({ password: PASSWORD });
  await runtime.advance(5_000);
  expect(server.connections[0]?.isConnected ?? false).toBe(false);
});

test("a connectionData that throws becomes a warning", async () => {
  const runtime = fakeRuntime();
  const connectionData = (): never => {
    throw new Error("bug of the application");
  };
  const server = new Server(
    { password: "correct horse", host: "test", port: 8080, scramIterations: 4096, connectionData },
    runtime,
  );
  await server.start();
  const { client } = testClient(runtime, { reconnect: { enabled: false } });
  client.connect().catch(() => undefined);
  await runtime.advance(1000);
  expect(runtime.warnings.length).toBe(1);
});

test("a name without a UTF-8 form is an invalid option", () => {
  expect(() => new Server({ password: "x", name: "\ud800" }, fakeRuntime())).toThrow();
});

test("no timer keeps the process alive after stop()", async () => {
  const runtime = fakeRuntime();
  const { server, port } = await testServer(runtime);
  const peer = await rawClient(runtime, port);
  peer.pause();
  const stop = outcome(server.stop({ drainMs: 100_000 }));
  await runtime.settle();
  void server.stop({ drainMs: 50_000 });
  peer.resume();
  await runtime.settle();
  expect([stop.state, runtime.timers.keepingAlive]).toEqual(["resolved", 0]);
});

test("a payload that is compressed to less than a hundredth is refused", async () => {
  const runtime = fakeRuntime();
  const { server, port, errors } = await testServer(runtime, { enableCompression: true });
  const peer = await rawClient(runtime, port);
  const head = [0x82, 0xa4, ...Buffer.from("type"), 0xa1, 0x6d, 0xa4, ...Buffer.from("data"), 0xdd, 0, 0x50, 0, 0];
  const plain = new Uint8Array(head.length + 0x50_0000).fill(0x80);
  plain.set(head);
  peer.write(rawFrame(FrameType.MESSAGE, deflateSync(plain), { flags: COMPRESSED }));
  await runtime.settle();
  expect(errors).toMatchObject([{ code: ErrorCode.INFLATED_TOO_LARGE }]);
  expect(server.connectionCount).toBe(1);
});

test("requests whose handlers run count against receiveQueueBytes", async () => {
  const runtime = fakeRuntime();
  let running = 0;
  const { port } = await testServer(runtime, { maxMessageBytes: 4096, receiveQueueBytes: 8192 }, (s) => {
    s.on("hold", () => {
      running += 1;
      return new Promise(() => {});
    });
  });
  const peer = await rawClient(runtime, port);
  for (let count = 0; count < 20; count += 1) peer.message("hold", "x".repeat(1000));
  await runtime.settle();
  expect(running).toBe(8);
});

test("replies and errors that are larger than a client accepts are reported once a second", async () => {
  const runtime = fakeRuntime();
  const { port, errors } = await testServer(runtime, {}, (s) => void s.rpc("big", () => "x".repeat(5000)));
  const peer = await rawClient(runtime, port, { extensions: { limits: { message_bytes: 1024 } } });
  const calls = 50;
  for (let id = 1; id <= calls; id += 1) {
    peer.write(frame(FrameType.RPC_REQUEST, { method: "big", params: {} }, { id }));
    peer.write(frame(FrameType.RPC_REQUEST, { method: "n".repeat(2000), params: {} }, { id: calls + id }));
  }
  const codes = (await peer.received()).map(({ payload }) => payload?.["code"]);
  expect(codes).toHaveLength(2 * calls);
  expect(new Set(codes)).toEqual(new Set([ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.METHOD_NOT_FOUND]));
  expect(errors).toMatchObject([{ stage: "protocol", code: ErrorCode.MESSAGE_TOO_LARGE }]);
});

test("an error about metadata doesn't quote a long key", async () => {
  const runtime = fakeRuntime();
  const { port, errors } = await testServer(runtime, {}, (s) => void s.rpc("add", () => 3));
  const peer = await rawClient(runtime, port, { extensions: { meta: true } });
  peer.write(frame(FrameType.RPC_REQUEST, { method: "add", params: {}, meta: { ["k".repeat(60_000)]: 1 } }, { id: 1 }));
  const { payload } = await peer.next(FrameType.RPC_ERROR);
  expect(payload).toMatchObject({ code: ErrorCode.INVALID_PAYLOAD_SHAPE, error: expect.stringContaining("kkk") });
  expect(String(payload?.["error"]).length).toBeLessThan(200);
  expect(errors[0]?.message.length).toBeLessThan(200);
});
