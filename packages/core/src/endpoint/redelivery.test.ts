import { describe, expect, onTestFinished, test, vi } from "vitest";
import { ErrorCode, RpcError } from "../errors.ts";
import { memoryStore } from "../store/memory-store.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";
import type { DeadLetter } from "./dead-letter.ts";

async function scene(store = memoryStore()) {
  const runtime = fakeRuntime();
  const { server } = await testServer(runtime, { resume: { store } });
  const { client } = testClient(runtime);
  await client.connect();
  const letters: DeadLetter[] = [];
  server.onDeadLetter((letter) => void letters.push(letter));
  return { runtime, server, client, letters };
}

describe("a message whose handler fails", () => {
  test("is delivered again until a handler returns, with a count, and is acknowledged then", async () => {
    const { runtime, server, client, letters } = await scene();
    const counts: unknown[] = [];
    server.on("order", (_client, _data, { delivery }) => {
      counts.push(delivery?.count);
      if (counts.length < 3) throw new RpcError(900, "Not yet");
    });
    const sent = outcome(client.send("order", { id: 1 }, { ack: { deliveries: 5 } }));
    await runtime.advance(10_000);
    expect(sent.state).toBe("resolved");
    expect(counts).toEqual([1, 2, 3]);
    expect(letters).toEqual([]);
  });

  test("is delivered again after a growing delay, a random part of which is waited", async () => {
    for (const part of [0.25, 0.999]) {
      const random = vi.spyOn(Math, "random").mockReturnValue(part);
      onTestFinished(() => random.mockRestore());
      const { runtime, server, client } = await scene();
      const times: number[] = [];
      server.on("order", () => {
        times.push(runtime.now());
        throw new Error("Fails");
      });
      const sent = outcome(client.send("order", {}, { ack: { deliveries: 4, delayMs: 1000 } }));
      await runtime.advance(1000 + 2000 + 4000 + 100);
      expect(sent.error?.code).toBe(ErrorCode.INTERNAL);
      const delays = times.slice(1).map((time, index) => time - (times[index] as number));
      expect(delays.map((ms) => Math.round(ms / part / 1000))).toEqual([1, 2, 4]);
    }
  });

  test("is a dead letter after its last delivery: its sender gets the error, the hook runs, and the store keeps it", async () => {
    const { runtime, server, client, letters } = await scene();
    server.on("order", () => {
      throw new RpcError(900, "Sold out");
    });
    const sent = outcome(client.send("order", { id: 1 }, { ack: { deliveries: 3, once: "order 1" } }));
    await runtime.advance(10_000);
    expect(sent.error).toMatchObject({ code: 900, message: "Sold out" });
    const error = { code: 900, message: "Sold out" };
    expect(letters).toMatchObject([{ type: "order", data: { id: 1 }, key: "order 1", deliveries: 3, error, user: "" }]);
    expect(await server.deadLetters.list()).toEqual(letters);
    await server.deadLetters.delete(letters[0]?.id ?? "");
    expect(await server.deadLetters.list()).toEqual([]);
  });

  test("has the failure's id as a dead letter, by which onError told what the handler threw", async () => {
    const { runtime, server, client, letters } = await scene();
    const ids: unknown[] = [];
    server.onError((_error, { failureId }) => ids.push(failureId));
    server.on("order", () => {
      throw new Error("The disk is full");
    });
    const sent = outcome(client.send("order", {}, { ack: { deliveries: 2 } }));
    await runtime.advance(10_000);
    const failureId = ids[1];
    expect(failureId).toMatch(/^[0-9a-f]{16}$/);
    expect(sent.error).toMatchObject({ failureId });
    expect(letters).toMatchObject([{ error: { message: "Internal server error", failureId } }]);
    expect(await server.deadLetters.list()).toEqual(letters);
  });

  test("isn't delivered again if that would fail the same way", async () => {
    const { runtime, client } = await scene();
    const sent = outcome(client.send("nothing", {}, { ack: { deliveries: 3 } }));
    await runtime.advance(10_000);
    expect(sent.error?.code).toBe(ErrorCode.NO_HANDLER);
  });

  test("isn't delivered again without the option, and is no dead letter", async () => {
    const { runtime, server, client, letters } = await scene();
    let runs = 0;
    server.on("order", () => {
      runs += 1;
      throw new Error("Fails");
    });
    const sent = outcome(client.send("order", {}, { ack: true }));
    await runtime.advance(10_000);
    expect([sent.state, runs, letters.length]).toEqual(["rejected", 1, 0]);
  });

  test("of a server is a dead letter at the client", async () => {
    const { runtime, server, client } = await scene();
    const letters: DeadLetter[] = [];
    client.onDeadLetter((letter) => void letters.push(letter));
    client.on("order", () => {
      throw new RpcError(900, "No");
    });
    const sent = outcome(server.connections[0]?.send("order", 1, { ack: { deliveries: 2 } }) as Promise<void>);
    await runtime.advance(10_000);
    expect(sent.error?.code).toBe(900);
    expect(letters).toMatchObject([{ type: "order", data: 1, deliveries: 2 }]);
  });

  test("takes 1 to 1,000 deliveries", async () => {
    const { client } = await scene();
    for (const deliveries of [0, 1.5, 1001]) {
      await expect(client.send("order", {}, { ack: { deliveries } })).rejects.toMatchObject({
        code: ErrorCode.INVALID_CONFIG,
      });
    }
  });

  test("can't be read from a server without a store", async () => {
    const { server } = await testServer(fakeRuntime());
    await expect(server.deadLetters.list()).rejects.toMatchObject({ code: ErrorCode.INVALID_STATE });
  });
});

test.each([ErrorCode.RATE_LIMITED, ErrorCode.SERVER_STOPPING, ErrorCode.STORE_FULL])(
  "a handler's own error %i counts as a failure, though such refusals of the other side are tried again",
  async (code) => {
    const runtime = fakeRuntime();
    const { server } = await testServer(runtime);
    const { client } = testClient(runtime);
    await client.connect();
    let runs = 0;
    const busy = (): never => {
      runs += 1;
      throw new RpcError(code, "The database is busy", { details: { retry_after: 1, started: false } });
    };
    server.on("order", busy);
    server.rpc("charge", busy);
    const sent = outcome(client.send("order", {}, { ack: { deliveries: 3, delayMs: 1 } }));
    await runtime.advance(100);
    expect(sent.error).toMatchObject({ code, message: "The database is busy", details: { started: true } });
    expect(runs).toBe(3);
    const called = outcome(client.call("charge", {}, { once: "1" }));
    await runtime.advance(100);
    expect(called.error).toMatchObject({ code, message: "The database is busy" });
    expect(runs).toBe(4);
  },
);
