import { AsyncLocalStorage } from "node:async_hooks";
import { type Contract, ErrorCode, type Server } from "@netconduit/core";
import { connectedPair, EventLog, frame, type RecordedFrame, rawFrame, TestNetwork } from "@netconduit/core/testing";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { failureOf } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { PATIENT } from "./stage.ts";

const sums = {
  server: { methods: { add: { params: v.object({ a: v.number(), b: v.number() }), result: v.number() } } },
} satisfies Contract;

/** Maximum delay of calls' timeouts. */
const TICK_MS = 16;

/** Without jitter: one second after the connection is lost, then two. */
const RECONNECT = { delayMs: 1000, multiplier: 2, jitter: false };

function shown({ direction, type }: RecordedFrame): string {
  return `${direction === "to-server" ? ">" : "<"} ${type}`;
}

/** The entry `@netconduit/core/testing`. */
export function describeInMemory(subject: Subject): void {
  describe(`servers and clients in memory on ${subject.name}`, PATIENT, () => {
    test("a connected pair calls, sends and streams in both directions", async () => {
      const { server, client, connection } = await connectedPair({
        prepare(server, client) {
          server.rpc("add", ({ a, b }) => Number(a) + Number(b));
          client.on("ask", (data) => [data, "answered"]);
        },
      });
      expect(await client.call("add", { a: 1, b: 2 })).toBe(3);
      expect(await connection.request("ask", "asked")).toEqual(["asked", "answered"]);
      // Handlers may also be registered later.
      server.stream("count", async function* () {
        yield* [1, 2, 3];
      });
      const items: unknown[] = [];
      for await (const item of client.stream("count")) items.push(item);
      expect(items).toEqual([1, 2, 3]);
    });

    test("errors that nobody handles are warnings, on the console or of the option runtime", async () => {
      const prepare = (server: Server): unknown =>
        server.rpc("fail", () => {
          throw new Error("the handler's own fault");
        });
      const expected = [expect.stringMatching(/^RPC method 'fail' failed .*the handler's own fault/)];
      const warnings: string[] = [];
      const log = (error: Error): unknown => warnings.push(error.message);

      const { client } = await connectedPair({ runtime: { ...subject.runtime, warn: log }, prepare });
      expect((await failureOf(client.call("fail"))).code).toBe(ErrorCode.INTERNAL);
      expect(warnings.splice(0)).toEqual(expected);

      const plain = await connectedPair({ prepare });
      const { warn } = console;
      console.warn = log;
      try {
        await failureOf(plain.client.call("fail"));
      } finally {
        console.warn = warn;
      }
      expect(warnings).toEqual(expected);
    });

    test("a contract that is given once types and validates both ends", async () => {
      const { client } = await connectedPair({
        contract: sums,
        prepare: (server) => server.implement({ add: ({ a, b }) => a + b }),
      });
      const sum: number = await client.call("add", { a: 1, b: 2 });
      expect(sum).toBe(3);
      const wrong = await failureOf(client.call("add", { a: "1" as never, b: 2 }));
      expect(wrong.code).toBe(ErrorCode.INVALID_TYPE);
    });

    test("time passes when the test says so, and everything due happens before advance resolves", async () => {
      const { client, clock } = await connectedPair({
        prepare: (server) => server.rpc("hang", () => new Promise(() => {})),
      });
      const log: string[] = [];
      for (const timeoutMs of [2000, 1000]) {
        client.call("hang", {}, { timeoutMs }).catch(({ codeName }) => log.push(`${codeName} after ${timeoutMs}`));
      }
      await clock.advance(999);
      expect(log).toEqual([]);
      await clock.advance(1 + TICK_MS);
      expect(log).toEqual(["TIMEOUT after 1000"]);
      await clock.advance(1000);
      expect(log).toEqual(["TIMEOUT after 1000", "TIMEOUT after 2000"]);
      expect(clock.nowMs).toBe(2000 + TICK_MS);
    });

    test("all frames are recorded, decoded, with their direction and time", async () => {
      const { client, clock, frames } = await connectedPair({
        prepare: (server) => server.rpc("add", ({ a, b }) => Number(a) + Number(b)),
      });
      await clock.settle();
      expect(frames.all.map(shown)).toEqual(
        expect.arrayContaining(["> AUTH_REQUEST", "< AUTH_CHALLENGE", "> AUTH_RESPONSE", "< AUTH_SUCCESS"]),
      );
      frames.clear();
      await clock.advance(500);
      await client.call("add", { a: 1, b: 2 });
      const [request] = frames.of("RPC_REQUEST");
      const { id = 0n } = request ?? {};
      expect(request).toMatchObject({
        direction: "to-server",
        connection: 1,
        type: "RPC_REQUEST",
        payload: { method: "add", params: { a: 1, b: 2 } },
        timeMs: 500,
      });
      expect(frames.of("RPC_RESPONSE")).toMatchObject([{ direction: "to-client", id, payload: { result: 3 } }]);
      expect(frames.of("RPC_RESPONSE", "to-server")).toEqual([]);
    });

    test("items of streams are recorded as lists", async () => {
      const { client, frames } = await connectedPair({
        prepare: (server) => server.stream("two", () => ["one", "two"]),
      });
      for await (const _item of client.stream("two"));
      expect(frames.of("OUTPUT").flatMap(({ payload }) => payload)).toEqual(["one", "two"]);
    });

    test("a client whose network is cut reconnects when its delay is over, and its session continues", async () => {
      const { server, client, clock, network, frames } = await connectedPair({
        server: { resume: true },
        client: { resume: true, reconnect: RECONNECT },
        prepare: (server) => server.rpc("double", ({ n }) => 2 * Number(n)),
      });
      const states = new EventLog<string>();
      client.onStateChange(({ to }) => states.add(to));
      await network.cut();
      expect(client.state).toBe("suspended");
      const call = client.call("double", { n: 21 });
      await clock.advance(999);
      expect(frames.of("RPC_REQUEST")).toEqual([]);
      await clock.advance(1);
      expect(await call).toBe(42);
      expect(client.isConnected).toBe(true);
      expect(server.connections.map(({ resumes }) => resumes)).toEqual([1]);
      expect(frames.of("AUTH_REQUEST").map(({ connection, timeMs }) => [connection, timeMs])).toEqual([
        [1, 0],
        [2, 1000],
      ]);
    });

    test("bytes may arrive one by one", async () => {
      const { client } = await connectedPair({
        maxChunkBytes: 1,
        prepare: (server) => server.rpc("echo", ({ text }) => text),
      });
      expect(await client.call("echo", { text: "slow" })).toBe("slow");
    });

    test("one network has several servers and clients", async () => {
      const network = new TestNetwork();
      const one = await network.server({ name: "one" });
      const ofOne = network.client();
      const two = await network.server({ name: "two" });
      const ofTwo = network.client();
      await Promise.all([ofOne.connect(), ofTwo.connect()]);
      expect([ofOne, ofTwo].map(({ serverInfo }) => serverInfo?.name)).toEqual(["one", "two"]);
      expect([one, two].map(({ connectionCount }) => connectionCount)).toEqual([1, 1]);
    });

    test("close ends all servers and clients, and leaves no timer", async () => {
      const network = new TestNetwork();
      const server = await network.server({ resume: true });
      const client = network.client({ resume: true });
      await client.connect();
      server.rpc("hang", () => new Promise(() => {}));
      const call = failureOf(client.call("hang"));
      await network.close();
      expect([server.state, client.state]).toEqual(["stopped", "closed"]);
      expect((await call).code).toBe(ErrorCode.CONNECTION_CLOSED);
      expect(network.clock.timers).toBe(0);
    });

    test("a pair is closed at the end of an await using block", async () => {
      const ended: string[] = [];
      {
        await using pair = await connectedPair();
        pair.client.onDisconnect((_client, { codeName }) => ended.push(codeName));
      }
      expect(ended).toEqual(["CONNECTION_CLOSED"]);
    });

    test("users log in with their own credentials", async () => {
      const { connection } = await connectedPair({
        server: { users: { ada: { password: "lovelace", roles: ["admin"] } } },
        client: { username: "ada", password: "lovelace" },
      });
      expect(connection.user).toMatchObject({ name: "ada", roles: ["admin"] });
    });

    test("tokens go over a network in memory", async () => {
      const { connection } = await connectedPair({
        server: { authenticate: { token: async (token) => ({ name: token, roles: [] }) } },
        client: { credentials: { token: "ada" } },
      });
      expect(connection.user).toMatchObject({ name: "ada", method: "token" });
    });

    test("a runtime gives the network its compression and its asynchronous context", async () => {
      const storage = new AsyncLocalStorage<string>();
      const { client, frames } = await connectedPair({
        runtime: subject.runtime,
        server: { enableCompression: true },
        client: { enableCompression: true },
        prepare: (server) => server.rpc("long", () => [storage.getStore() ?? null, "x".repeat(50_000)]),
      });
      const [store, text] = await storage.run("the caller's", () => client.call<[unknown, string]>("long"));
      expect([store, text.length]).toEqual([null, 50_000]);
      const [reply] = frames.of("RPC_RESPONSE");
      expect(reply?.payload).toMatchObject({ result: [null, text] });
      expect(reply?.payloadBytes).toBeLessThan(1000);
    });

    test("without one, payloads aren't compressed", async () => {
      const options = { enableCompression: true };
      const { client, frames } = await connectedPair({
        server: options,
        client: options,
        prepare: (server) => server.rpc("long", () => "x".repeat(50_000)),
      });
      expect(await client.call("long")).toHaveLength(50_000);
      expect(frames.of("RPC_RESPONSE")[0]?.payloadBytes).toBeGreaterThan(50_000);
    });
  });

  describe(`a raw client in memory on ${subject.name}`, PATIENT, () => {
    test("logs in, calls, and gets what the server answers", async () => {
      const network = new TestNetwork();
      const server = await network.server({}, (made) => made.rpc("add", ({ a, b }) => Number(a) + Number(b)));
      const raw = await network.rawClient();
      await raw.login({ info: { name: "Mallory" } });
      expect(server.connections.map(({ info }) => info.name)).toEqual(["Mallory"]);
      raw.call("add", { a: 1, b: 2 }, 7);
      expect(await raw.next("RPC_RESPONSE")).toMatchObject({ id: 7n, payload: { success: true, result: 3 } });
    });

    test("answers a login wrongly", async () => {
      const network = new TestNetwork();
      const server = await network.server();
      const rejections = new EventLog<string>();
      server.onClientRejected(({ codeName }) => rejections.add(codeName));
      const guessing = await network.rawClient();
      await expect(guessing.login({ password: "wrong" })).rejects.toThrow("answered by AUTH_FAILURE");
      const confused = await network.rawClient();
      confused.send("AUTH_RESPONSE", { data: "nothing was asked" });
      expect(await confused.next()).toMatchObject({ payload: { code: ErrorCode.UNEXPECTED_FRAME } });
      expect(await rejections.count(2)).toEqual(["AUTH_FAILED", "UNEXPECTED_FRAME"]);
    });

    test("sends frames and bytes that no client sends", async () => {
      const network = new TestNetwork();
      const server = await network.server();
      const reasons = new EventLog<string>();
      server.onClientDisconnect((_connection, { codeName }) => reasons.add(codeName));
      const parts = [
        rawFrame(0x7abc, new Uint8Array(3)),
        frame(0x0001, { type: "note", data: 1 }, { version: 0x0900 }),
        new TextEncoder().encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
      ];
      for (const bytes of parts) {
        const raw = await network.rawClient();
        await raw.login();
        raw.write(bytes);
        expect((await raw.next("CLOSE")).payload).toMatchObject({ reconnect: expect.any(Boolean) });
      }
      expect((await reasons.count(3)).toSorted()).toEqual(["BAD_MAGIC", "UNKNOWN_FRAME_TYPE", "UNSUPPORTED_VERSION"]);
    });

    test("stops reading", async () => {
      const network = new TestNetwork();
      const server = await network.server({ sendQueueSize: 10 });
      const raw = await network.rawClient();
      await raw.login();
      raw.pause();
      const slow = new EventLog<string>();
      server.onSlowConsumer((_connection, { action }) => slow.add(action));
      for (let sent = 0; sent < 30 && slow.all.length === 0; sent += 1) server.broadcast("news", "x".repeat(50_000));
      expect(await slow.count(1)).toEqual(["disconnected"]);
      expect(server.connectionCount).toBe(0);
    });

    test("half-closes, and gets the answer to what it sent before", async () => {
      const network = new TestNetwork();
      await network.server({}, (made) => made.rpc("echo", ({ text }) => text));
      const raw = await network.rawClient();
      await raw.login();
      raw.call("echo", { text: "still there?" });
      raw.end();
      expect((await raw.next("RPC_RESPONSE")).payload).toMatchObject({ result: "still there?" });
      expect(await raw.over).toBe("end");
    });

    test("floods", async () => {
      const network = new TestNetwork();
      const server = await network.server({ rateLimit: { messagesPerSecond: 10 } }, (made) =>
        made.on("note", () => {}),
      );
      const raw = await network.rawClient();
      await raw.login();
      raw.flood("MESSAGE", { type: "note", data: null }, 1000);
      await network.clock.settle();
      const [connection] = server.connections;
      expect(connection?.stats.rateLimited).toBeGreaterThan(0);
    });

    test("is told what came instead of the frame that it waits for", async () => {
      const network = new TestNetwork();
      await network.server();
      const raw = await network.rawClient();
      await raw.login();
      raw.call("unknown");
      await expect(raw.next("RPC_RESPONSE")).rejects.toThrow("No RPC_RESPONSE arrived, but RPC_ERROR");
    });

    test("is refused where nothing listens", async () => {
      const network = new TestNetwork();
      expect((await failureOf(network.rawClient({ port: 9 }))).code).toBe(ErrorCode.CONNECTION_REFUSED);
    });
  });
}
