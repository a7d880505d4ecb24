import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type ConduitError, ErrorCode } from "../errors.ts";
import { STABLE_CONNECTION_MS } from "../limits.ts";
import type { Server } from "../server/server.ts";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { outcome, type SeenError, testClient, testServer } from "../test-support/peers.ts";
import { PASSWORD, RawServer } from "../test-support/raw-memory.ts";
import { FrameType } from "../wire/constants.ts";
import type { Client } from "./client.ts";
import type { ClientOptions, ReconnectOptions } from "./client-options.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

interface Bench {
  readonly runtime: FakeRuntime;
  readonly server: Server;
  readonly client: Client;
  readonly errors: SeenError[];
  /** Calls of hooks and listeners in order. */
  readonly events: string[];
  /** Breaks the connection. */
  cut(): Promise<void>;
  /** Stops listening, so that dials are refused. */
  goAway(): Promise<void>;
  /** Times in milliseconds from the last `cut` to each later dial. */
  delays(): number[];
}

/** Connects a client whose connection can be cut. */
async function bench(reconnect: ReconnectOptions = {}, options: Partial<ClientOptions> = {}): Promise<Bench> {
  const runtime = fakeRuntime();
  const { server } = await testServer(runtime);
  const settings = { delayMs: 100, maxDelayMs: 1000, multiplier: 2, jitter: false, ...reconnect };
  const { client, errors } = testClient(runtime, { reconnect: settings, ...options });
  const events: string[] = [];
  client.onConnect(() => events.push("connect"));
  client.onDisconnect((_client, reason) => events.push(`disconnect ${reason.code}`));
  client.onReconnect(() => events.push("reconnect"));
  await client.connect();
  let cutAt = 0;
  let dialsBefore = 0;
  const cut = async (): Promise<void> => {
    cutAt = runtime.now();
    dialsBefore = runtime.dials.length;
    runtime.pairs.at(-1)?.accepted.destroy(null);
    await runtime.settle();
  };
  return {
    runtime,
    server,
    client,
    errors,
    events,
    cut,
    goAway: async () => {
      await server.stop({ drainMs: 0 });
      await runtime.settle();
    },
    delays: () => runtime.dials.slice(dialsBefore).map((dial) => dial.atMs - cutAt),
  };
}

/** Returns the differences between consecutive times, starting from 0. */
function gaps(times: readonly number[]): number[] {
  return times.map((time, index) => time - (times[index - 1] ?? 0));
}

describe("a client that loses its connection", () => {
  test("dials again after delayMs and calls its hooks in order", async () => {
    const { runtime, client, events, errors, cut, delays } = await bench();
    await cut();
    expect([client.state, client.isConnected, events]).toEqual([
      "failed",
      false,
      ["connect", `disconnect ${ErrorCode.CONNECTION_RESET}`],
    ]);
    await runtime.advance(99);
    expect(delays()).toEqual([]);
    await runtime.advance(1);
    expect([delays(), client.isConnected]).toEqual([[100], true]);
    expect(events.slice(2)).toEqual(["connect", "reconnect"]);
    expect([errors, client.health().reconnectAttempts]).toEqual([[], 0]);
  });

  test("increases the delay by the multiplier up to maxDelayMs", async () => {
    const { runtime, cut, goAway, delays, errors } = await bench({ attempts: 6 });
    await cut();
    await goAway();
    await runtime.advance(10_000);
    expect(gaps(delays())).toEqual([100, 200, 400, 800, 1000, 1000]);
    expect(errors.map((error) => error.code)).toEqual([
      ...Array(6).fill(ErrorCode.CONNECTION_REFUSED),
      ErrorCode.RECONNECT_FAILED,
    ]);
  });

  test("calls onReconnectAttemptFailed for each failed attempt, and onError only at the end", async () => {
    const { runtime, client, cut, goAway, errors } = await bench({ attempts: 3 });
    const failed: unknown[] = [];
    client.onReconnectAttemptFailed((of, { error, attempts }) => {
      failed.push([of === client, (error as ConduitError).code, attempts]);
    });
    await cut();
    await goAway();
    await runtime.advance(10_000);
    expect(failed).toEqual([1, 2, 3].map((attempt) => [true, ErrorCode.CONNECTION_REFUSED, attempt]));
    expect(errors.map((error) => error.code)).toEqual([ErrorCode.RECONNECT_FAILED]);
  });

  test("restarts with delayMs after a connection that lasted", async () => {
    const { runtime, cut, delays } = await bench();
    for (let count = 0; count < 3; count += 1) {
      await runtime.advance(STABLE_CONNECTION_MS);
      await cut();
      await runtime.advance(200);
      expect(delays()).toEqual([100]);
    }
  });

  test("continues with the longer delays and finally gives up when connections don't last", async () => {
    const { runtime, cut, delays, errors, client } = await bench({ attempts: 3 });
    const waited: number[] = [];
    for (let count = 0; count < 4; count += 1) {
      await cut();
      await runtime.advance(500);
      waited.push(...delays());
    }
    expect(waited).toEqual([100, 200, 400]);
    const message = expect.stringMatching(/ after 3 attempts: .* reset/);
    expect(errors).toMatchObject([{ code: ErrorCode.RECONNECT_FAILED, message }]);
    expect(client.isConnected).toBe(false);
  });

  test("gives up after `attempts` tries, with RECONNECT_FAILED and the last error as its cause", async () => {
    const { runtime, client, cut, goAway, errors } = await bench({ attempts: 2 });
    const causes: unknown[] = [];
    client.onError((error) => causes.push(error.cause));
    await cut();
    await goAway();
    await runtime.advance(60_000);
    expect(errors.at(-1)).toMatchObject({
      code: ErrorCode.RECONNECT_FAILED,
      stage: "reconnect",
      message: expect.stringMatching(/^Gave up reconnecting to \S+:\d+ after 2 attempts: /),
    });
    expect(causes.at(-1)).toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
    expect([client.state, client.health().reconnectAttempts]).toEqual(["failed", 2]);
    expect([runtime.dials.length, runtime.timers.keepingAlive]).toEqual([3, 0]);
  });

  test("never gives up with attempts 0", async () => {
    const { runtime, cut, goAway, delays } = await bench({ attempts: 0, maxDelayMs: 100 });
    await cut();
    await goAway();
    await runtime.advance(10_000);
    expect(delays()).toHaveLength(100);
  });

  test("doesn't dial again with reconnect disabled", async () => {
    const { runtime, cut, delays, events } = await bench({ enabled: false });
    await cut();
    await runtime.advance(60_000);
    expect([delays(), events]).toEqual([[], ["connect", `disconnect ${ErrorCode.CONNECTION_RESET}`]]);
  });

  test("keeps the process running only while it waits", async () => {
    const { runtime, client, cut } = await bench();
    await cut();
    expect(runtime.timers.keepingAlive).toBe(1);
    await client.disconnect();
    expect(runtime.timers.keepingAlive).toBe(0);
  });

  test("rejects its pending calls immediately, not when it gives up", async () => {
    const { runtime, server, client, cut } = await bench();
    server.rpc("wait", () => gate().promise);
    const call = outcome(client.call("wait", {}));
    await runtime.settle();
    await cut();
    expect([call.error?.code, runtime.now()]).toEqual([ErrorCode.CONNECTION_CLOSED, 0]);
  });

  test("destroys the old stream before it dials", async () => {
    const { runtime, cut } = await bench();
    const old = runtime.pairs[0];
    let oldQueue: boolean | null = null;
    runtime.dialBehaviours.push(({ target, signal }) => {
      oldQueue = old?.dialled.write(new Uint8Array(1)) ?? null;
      return runtime.connect(target, signal);
    });
    await cut();
    await runtime.advance(100);
    expect([runtime.pairs.length, oldQueue]).toEqual([2, false]);
  });

  test("waits for its onDisconnect hooks before it dials", async () => {
    const { runtime, client, cut, delays } = await bench();
    const hook = gate();
    client.onDisconnect(() => hook.promise);
    await cut();
    await runtime.advance(1000);
    expect(delays()).toEqual([]);
    hook.open();
    await runtime.advance(100);
    expect(delays()).toEqual([1100]);
  });

  test("reports a failing hook and continues", async () => {
    const { runtime, client, cut, errors } = await bench();
    const fail = (name: string) => () => {
      throw new Error(`${name} failed`);
    };
    client.onConnect(fail("onConnect"));
    client.onDisconnect(fail("onDisconnect"));
    client.onReconnect(fail("onReconnect"));
    client.onStateChange(fail("onStateChange"));
    await cut();
    await runtime.advance(100);
    expect(client.isConnected).toBe(true);
    const names = new Set(errors.map((error) => `${error.stage} ${error.name}`));
    expect([...names].sort()).toEqual([
      "hook onConnect",
      "hook onDisconnect",
      "hook onReconnect",
      "hook onStateChange",
    ]);
  });

  test("doesn't call removed hooks", async () => {
    const { runtime, client, cut } = await bench();
    let calls = 0;
    const count = (): void => {
      calls += 1;
    };
    const removers = [
      client.onConnect(count),
      client.onConnect(count),
      client.onDisconnect(count),
      client.onReconnect(count),
      client.onStateChange(count),
    ];
    for (const remove of removers) {
      remove();
      remove();
    }
    await cut();
    await runtime.advance(100);
    expect(calls).toBe(0);
  });
});

describe("jitter", () => {
  test("spreads the delay over the whole range", async () => {
    const random = vi.spyOn(Math, "random");
    for (const [drawn, expected] of [
      [0, [0, 0]],
      [0.5, [50, 100]],
      [0.999, [99.9, 199.8]],
    ] as const) {
      random.mockReturnValue(drawn);
      const { runtime, cut, goAway, delays } = await bench({ attempts: 2, jitter: true });
      await cut();
      await goAway();
      await runtime.advance(1000);
      expect(gaps(delays()).map((gap) => Math.round(gap * 10) / 10)).toEqual(expected);
    }
  });

  test("keeps every delay within its bound", async () => {
    const { runtime, cut, goAway, delays } = await bench({ attempts: 40, jitter: true });
    await cut();
    await goAway();
    await runtime.advance(60_000);
    for (const [index, gap] of gaps(delays()).entries()) {
      expect(gap).toBeGreaterThanOrEqual(0);
      expect(gap).toBeLessThan(Math.min(1000, 100 * 2 ** index));
    }
  });

  test("is enabled by default", () => {
    expect(testClient(fakeRuntime()).client.config.reconnect.jitter).toBe(true);
  });
});

describe("reconnecting ends with", () => {
  test("a wrong password, which would be wrong again", async () => {
    const { runtime, cut, server, errors, delays, client } = await bench();
    await server.stop({ drainMs: 0 });
    await testServer(runtime, { password: "changed" });
    expect(client.isConnected).toBe(false);
    await cut();
    await runtime.advance(60_000);
    expect(errors.map((error) => error.code)).toEqual([ErrorCode.AUTH_FAILED, ErrorCode.RECONNECT_FAILED]);
    expect(delays()).toHaveLength(1);
  });

  test("not a wrong password from a callback, which may return another next time", async () => {
    const passwords = [PASSWORD, "stale", "new"];
    const { runtime, server, errors, client } = await bench({}, { password: () => passwords.shift() ?? "none left" });
    await server.stop({ drainMs: 0 });
    await testServer(runtime, { password: "new" });
    await runtime.advance(60_000);
    expect(errors.map((error) => error.code)).toEqual([ErrorCode.AUTH_FAILED]);
    expect(client.isConnected).toBe(true);
  });

  test("not a callback that throws null", async () => {
    const passwords: unknown[] = [PASSWORD, null, PASSWORD];
    const password = async (): Promise<string> => {
      const next = passwords.shift();
      return next === null ? Promise.reject(next) : String(next);
    };
    const { runtime, cut, errors, client } = await bench({}, { password });
    await cut();
    await runtime.advance(60_000);
    expect([errors.length, client.isConnected, passwords]).toEqual([1, true, []]);
  });

  test("a server that doesn't prove that it knows the password", async () => {
    const { runtime, goAway, errors, client } = await bench();
    await goAway();
    const impostor = await RawServer.start(runtime);
    await runtime.advance(100);
    (await impostor.accept()).send(FrameType.AUTH_SUCCESS, { session_token: "x", server_info: {}, extensions: {} });
    await runtime.advance(60_000);
    expect(errors.map((error) => error.code)).toEqual([ErrorCode.SERVER_NOT_TRUSTED, ErrorCode.RECONNECT_FAILED]);
    expect([impostor.peers.length, client.state]).toEqual([1, "failed"]);
  });

  test("the server, if its close forbids reconnecting", async () => {
    const { runtime, server, events, client } = await bench();
    void server.connections[0]?.close("banned");
    await runtime.advance(60_000);
    expect([runtime.dials.length, events, client.state]).toEqual([
      1,
      ["connect", `disconnect ${ErrorCode.CONNECTION_CLOSED}`],
      "closed",
    ]);
  });

  test("not the server, if its close permits reconnecting", async () => {
    const { runtime, server, client } = await bench();
    void server.connections[0]?.close("moved", { reconnect: true });
    await runtime.advance(100);
    expect([runtime.dials.length, client.isConnected]).toEqual([2, true]);
  });

  test("disconnect() while it waits", async () => {
    const { runtime, client, cut, delays } = await bench();
    await cut();
    await client.disconnect();
    await runtime.advance(60_000);
    expect([delays(), client.state]).toEqual([[], "closed"]);
  });

  test("disconnect() while it dials", async () => {
    const { runtime, client, cut, delays, errors } = await bench();
    runtime.dialBehaviours.push(() => new Promise(() => undefined));
    await cut();
    await runtime.advance(100);
    await client.disconnect();
    await runtime.advance(60_000);
    expect([delays(), client.state, runtime.timers.keepingAlive]).toEqual([[100], "closed", 0]);
    expect(errors).toEqual([]);
  });

  test("disconnect() while an onDisconnect hook runs", async () => {
    const { runtime, client, cut, delays } = await bench();
    const hook = gate();
    client.onDisconnect(() => hook.promise);
    await cut();
    await client.disconnect();
    hook.open();
    await runtime.advance(60_000);
    expect(delays()).toEqual([]);
  });
});

describe("connect() during a reconnect series", () => {
  test("dials immediately and ends the series", async () => {
    const { runtime, client, cut, delays, events } = await bench({ delayMs: 1000 });
    await cut();
    await client.connect();
    expect([delays(), client.isConnected]).toEqual([[0], true]);
    await runtime.advance(60_000);
    expect(delays()).toEqual([0]);
    expect(events.filter((event) => event === "reconnect")).toEqual([]);
  });

  test("that fails ends the series: the client doesn't continue automatically", async () => {
    const { runtime, client, cut, goAway, delays } = await bench({ delayMs: 1000 });
    await cut();
    await goAway();
    await expect(client.connect()).rejects.toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
    await runtime.advance(60_000);
    expect(delays()).toEqual([0]);
  });

  test("while it dials joins that dial", async () => {
    const { runtime, client, cut, delays } = await bench();
    const opened = gate();
    runtime.dialBehaviours.push(async ({ target, signal }) => {
      await opened.promise;
      return runtime.connect(target, signal);
    });
    await cut();
    await runtime.advance(100);
    const connecting = outcome(client.connect());
    opened.open();
    await runtime.settle();
    expect(connecting.state).toBe("resolved");
    await runtime.advance(60_000);
    // The held dial and the real one that followed it.
    expect(delays()).toEqual([100, 100]);
  });

  test("while an onDisconnect hook runs dials immediately", async () => {
    const { client, cut, runtime } = await bench();
    const hook = gate();
    client.onDisconnect(() => hook.promise);
    await cut();
    await client.connect();
    hook.open();
    await runtime.advance(60_000);
    expect([client.isConnected, runtime.dials.length]).toEqual([true, 2]);
  });
});

describe("a connection that is lost while its connect hooks are running", () => {
  test("is dialled again", async () => {
    const { runtime, client, cut } = await bench();
    const hook = gate();
    const remove = client.onConnect(() => hook.promise);
    await cut();
    await runtime.advance(100);
    expect(client.isConnected).toBe(true);
    await cut();
    await runtime.advance(200);
    expect([client.isConnected, runtime.dials.length]).toEqual([true, 3]);
    remove();
    hook.open();
    await runtime.settle();
  });

  test("also the first one", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime);
    const { client } = testClient(runtime, { reconnect: { delayMs: 100, jitter: false } });
    const hook = gate();
    client.onConnect(() => hook.promise);
    const connecting = outcome(client.connect());
    await runtime.settle();
    runtime.pairs[0]?.accepted.destroy(null);
    await runtime.advance(150);
    expect([client.isConnected, runtime.dials.length, connecting.state]).toEqual([true, 2, "pending"]);
    hook.open();
    await runtime.settle();
    expect(connecting.state).toBe("resolved");
  });

  test("can be dialled again by connect(), which doesn't wait for the lost connection's hooks", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime);
    const { client } = testClient(runtime, { reconnect: { enabled: false } });
    const never = gate();
    const remove = client.onConnect(() => never.promise);
    void client.connect();
    await runtime.settle();
    runtime.pairs[0]?.accepted.destroy(null);
    await runtime.settle();
    remove();
    await client.connect();
    expect([client.isConnected, runtime.dials.length]).toEqual([true, 2]);
    await client.disconnect();
    expect(client.state).toBe("closed");
  });
});

describe("a server that is unavailable for a while", () => {
  test("is reconnected to, and everything works as before", async () => {
    const { runtime, client, goAway, events, errors } = await bench();
    await goAway();
    await runtime.advance(350);
    expect(client.isConnected).toBe(false);
    await testServer(runtime, {}, (server) => server.rpc("add", (params) => (params["a"] as number) + 1));
    await runtime.advance(1000);
    expect(await client.call("add", { a: 1 })).toBe(2);
    expect(events).toEqual(["connect", `disconnect ${ErrorCode.SERVER_STOPPING}`, "connect", "reconnect"]);
    expect(errors.map((error) => error.stage)).toEqual(["reconnect", "reconnect"]);
  });
});

describe("for any order of cuts, connects and disconnects", () => {
  test("there is at most one stream, connect settles, and disconnect ends it all", async () => {
    const action = fc.constantFrom("cut", "connect", "disconnect", "advance", "settle", "refuse", "hang", "kick");
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 30 }), async (actions) => {
        const runtime = fakeRuntime();
        const { server } = await testServer(runtime, { heartbeatIntervalMs: 1000, heartbeatTimeoutMs: 3000 });
        const { client } = testClient(runtime, {
          connectTimeoutMs: 500,
          closeTimeoutMs: 300,
          reconnect: { delayMs: 50, maxDelayMs: 200, attempts: 3, jitter: false },
        });
        const connects: ReturnType<typeof outcome>[] = [];
        const counts = { connect: 0, disconnect: 0 };
        client.onConnect(() => {
          counts.connect += 1;
        });
        client.onDisconnect(() => {
          counts.disconnect += 1;
        });
        const step: Record<string, () => unknown> = {
          cut: () => runtime.pairs.at(-1)?.accepted.destroy(null),
          connect: () => connects.push(outcome(client.connect())),
          disconnect: () => void client.disconnect(),
          advance: () => runtime.advance(70),
          settle: () => runtime.settle(),
          refuse: () => runtime.dialBehaviours.push(() => Promise.reject(new Error("refused"))),
          hang: () => runtime.dialBehaviours.push(() => new Promise(() => undefined)),
          kick: () => void server.connections[0]?.close("kick", { reconnect: true }),
        };
        for (const name of actions) {
          await step[name]?.();
          expect(server.connectionCount).toBeLessThanOrEqual(2);
        }
        await runtime.advance(10_000);
        expect(server.connectionCount).toBe(client.isConnected ? 1 : 0);
        expect(connects.map((connect) => connect.settled)).toEqual(connects.map(() => 1));
        const leaving = outcome(client.disconnect());
        await runtime.advance(1000);
        expect(leaving.state).toBe("resolved");
        expect(["disconnected", "closed"]).toContain(client.state);
        expect([server.connectionCount, runtime.timers.keepingAlive]).toEqual([0, 0]);
        expect(counts.disconnect).toBe(counts.connect);
        const dials = runtime.dials.length;
        await runtime.advance(60_000);
        expect(runtime.dials.length).toBe(dials);
        await server.stop();
      }),
      { numRuns: 60 },
    );
  });
});

describe("the raw server", () => {
  test("that admits a client and resets the connection is dialled again, and the client logs in again", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime, { reconnect: { delayMs: 100, jitter: false } });
    const connecting = client.connect();
    (await raw.admit()).stream.destroy(null);
    await connecting;
    await runtime.advance(100);
    await raw.admit();
    expect([client.isConnected, raw.peers.length]).toEqual([true, 2]);
  });
});
