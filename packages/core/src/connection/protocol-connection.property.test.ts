import fc from "fast-check";
import { expect, test } from "vitest";
import { ConduitError } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { type Gate, gate } from "../test-support/gate.ts";
import { type Outcome, outcome, testClient, testServer } from "../test-support/peers.ts";
import { RawServer, rawClient } from "../test-support/raw-memory.ts";
import { frame, rawFrame } from "../testing/raw-frames.ts";
import { FrameType } from "../wire/constants.ts";

const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("call" as const), timeoutMs: fc.constantFrom(0, 50, 500) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("request" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("callBack" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("abort" as const), index: fc.nat(50) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("finish" as const), index: fc.nat(50), well: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.constantFrom(1, 20, 100, 600) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("settle" as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("pause" as const), side: fc.constantFrom("client", "server") }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("resume" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("broadcast" as const), bytes: fc.constantFrom(10, 70_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("cut" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("disconnect" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("kick" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("connect" as const) }) },
);

test("every call settles exactly once, whatever happens to the connection, and leaves nothing behind", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { maxLength: 60 }), fc.boolean(), async (actions, byBytes) => {
      const runtime = fakeRuntime(byBytes ? { maxChunkBytes: 7 } : {});
      const gates: Gate<string>[] = [];
      const wait = (): Promise<string> => {
        const own = gate<string>();
        own.promise.catch(() => undefined);
        gates.push(own);
        return own.promise;
      };
      const { server } = await testServer(
        runtime,
        { handlerConcurrency: 3, receiveQueueSize: 5, sendQueueSize: 5, closeTimeoutMs: 300 },
        (fresh) => {
          fresh.rpc("wait", wait);
          fresh.on("wait", wait);
        },
      );
      const { client } = testClient(runtime, {
        rpcTimeoutMs: 1000,
        closeTimeoutMs: 300,
        receiveQueueSize: 5,
        handlerConcurrency: 2,
        queueWhileDisconnected: "send",
        reconnect: { delayMs: 50, maxDelayMs: 100, attempts: 3, jitter: false },
      });
      client.rpc("wait", wait);
      await client.connect();
      const outcomes: Outcome<unknown>[] = [];
      const aborts: AbortController[] = [];
      const paused: { resume(): void }[] = [];
      for (const step of actions) {
        const pair = runtime.pairs.at(-1);
        switch (step.do) {
          case "call": {
            const abort = new AbortController();
            aborts.push(abort);
            const options = { timeoutMs: step.timeoutMs, signal: abort.signal };
            outcomes.push(outcome(client.call("wait", {}, options)));
            break;
          }
          case "request":
            outcomes.push(outcome(client.request("wait", "x".repeat(1000))));
            break;
          case "callBack":
            for (const connection of server.connections) outcomes.push(outcome(connection.call("wait", {})));
            break;
          case "abort":
            aborts[step.index % Math.max(1, aborts.length)]?.abort();
            break;
          case "finish": {
            const one = gates[step.index % Math.max(1, gates.length)];
            if (step.well) one?.open("done");
            else one?.fail(new Error("failed"));
            break;
          }
          case "advance":
            await runtime.advance(step.ms);
            break;
          case "settle":
            await runtime.settle();
            break;
          case "pause": {
            const stream = step.side === "client" ? pair?.dialled : pair?.accepted;
            stream?.pause();
            if (stream !== undefined) paused.push(stream);
            break;
          }
          case "resume":
            for (const stream of paused.splice(0)) stream.resume();
            break;
          case "broadcast":
            server.broadcast("news", "x".repeat(step.bytes));
            break;
          case "cut":
            pair?.accepted.destroy(null);
            break;
          case "disconnect":
            void client.disconnect();
            break;
          case "kick":
            void server.connections[0]?.close("kick", { reconnect: true });
            break;
          case "connect":
            client.connect().catch(() => undefined);
            break;
        }
      }
      for (const stream of paused) stream.resume();
      await runtime.advance(5000);
      const leaving = outcome(client.disconnect());
      await runtime.advance(2000);
      expect(outcomes.map((one) => one.settled)).toEqual(outcomes.map(() => 1));
      for (const { error } of outcomes) if (error !== undefined) expect(error).toBeInstanceOf(ConduitError);
      expect(leaving.state).toBe("resolved");
      expect([client.health().pendingCalls, server.connectionCount, client.isConnected]).toEqual([0, 0, false]);
      for (const one of gates) one.open("too late");
      await runtime.settle();
      await server.stop({ drainMs: 0 });
      expect(runtime.timers.keepingAlive).toBe(0);
    }),
    { numRuns: 100 },
  );
});

/** Frames that a peer might send: valid and invalid frames, and bytes that aren't frames. */
const frameTypes = [...Object.values(FrameType), 0x0011, 0x0103, 0xffff];
const payload = fc.oneof(
  fc.constant(undefined),
  fc.constant({ method: "m", params: {} }),
  fc.constant({ type: "t", data: [1, 2, 3] }),
  fc.constant({ success: true, result: 1 }),
  fc.constant({ success: false, error: "no", code: 1 }),
  fc.constant({ reason: "bye", code: 5, reconnect: false }),
  fc.dictionary(fc.string({ maxLength: 8 }), fc.oneof(fc.integer(), fc.string(), fc.boolean(), fc.constant(null))),
);
const hostile = fc.oneof(
  fc.record({
    type: fc.constantFrom(...frameTypes),
    payload,
    id: fc.constantFrom(0n, 1n, 2n, 2n ** 32n, 2n ** 33n + 1n, 2n ** 64n - 1n),
  }),
  fc.record({
    type: fc.constantFrom(...frameTypes),
    raw: fc.uint8Array({ maxLength: 40 }),
    flags: fc.constantFrom(0, 1, 0x40),
  }),
  fc.record({ bytes: fc.uint8Array({ maxLength: 80 }) }),
);

type Hostile = typeof hostile extends fc.Arbitrary<infer T> ? T : never;

function bytesOf(one: Hostile): Uint8Array {
  if ("bytes" in one) return one.bytes;
  if ("raw" in one) return rawFrame(one.type, one.raw, { flags: one.flags });
  return frame(one.type, one.payload, { id: one.id });
}

test("any frames of a client that is logged in throw nothing, and other clients are served", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(hostile, { maxLength: 30 }), async (sequence) => {
      const runtime = fakeRuntime();
      const { server, port } = await testServer(runtime, {}, (fresh) => {
        fresh.rpc("m", () => 1);
        fresh.on("t", (_connection, data) => data);
      });
      const peer = await rawClient(runtime, port);
      const { client } = testClient(runtime);
      await client.connect();
      for (const one of sequence) {
        peer.write(bytesOf(one));
        await runtime.settle();
      }
      await runtime.advance(10_000);
      expect(await client.call("m")).toBe(1);
      expect(runtime.warnings).toEqual([]);
      await client.disconnect();
      await server.stop();
    }),
    { numRuns: 150 },
  );
});

test("any frames of a client that is not logged in throw nothing, and leave nothing behind", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(hostile, { maxLength: 8 }), async (sequence) => {
      const runtime = fakeRuntime();
      const { server, port } = await testServer(runtime, { authTimeoutMs: 1000, closeTimeoutMs: 500 });
      const target = { host: "test", port, family: 0, tls: null, bufferSize: 65_536 } as const;
      const stream = await runtime.connect(target, new AbortController().signal);
      const ended: unknown[] = [];
      stream.open({ data: () => undefined, drained: () => undefined, closed: (error) => ended.push(error) });
      await rawClient(runtime, port);
      for (const one of sequence) {
        stream.write(bytesOf(one));
        await runtime.settle();
      }
      await runtime.advance(2000);
      expect([ended.length, server.connectionCount]).toEqual([1, 1]);
      await server.stop();
    }),
    { numRuns: 150 },
  );
});

test("any frames of a server throw nothing, the client's calls settle, and it comes back", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(hostile, { maxLength: 30 }), async (sequence) => {
      const runtime = fakeRuntime();
      const raw = await RawServer.start(runtime);
      const { client } = testClient(runtime, {
        rpcTimeoutMs: 1000,
        connectTimeoutMs: 500,
        reconnect: { delayMs: 10, maxDelayMs: 10, attempts: 2, jitter: false },
      });
      client.rpc("m", () => 1);
      client.on("t", (data) => data);
      const connecting = client.connect();
      const peer = await raw.admit();
      await connecting;
      const calls = [outcome(client.call("m")), outcome(client.request("t"))];
      for (const one of sequence) {
        peer.write(bytesOf(one));
        await runtime.settle();
      }
      await runtime.advance(10_000);
      expect(calls.map((call) => call.settled)).toEqual([1, 1]);
      expect(runtime.warnings).toEqual([]);
      const leaving = outcome(client.disconnect());
      await runtime.advance(10_000);
      expect(leaving.state).toBe("resolved");
    }),
    { numRuns: 150 },
  );
});
