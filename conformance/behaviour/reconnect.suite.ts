import { type ConduitError, ErrorCode } from "@netconduit/core";
import { afterEach, describe, expect, test, vi } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { failureOf } from "../support/failures.ts";
import { Relay } from "../support/relay.ts";
import { SteppedClock } from "../support/stepped-clock.ts";
import type { OpenClient, OpenServer, Subject } from "../support/subject.ts";
import { until } from "../support/turns.ts";
import { PASSWORD, PATIENT, type Stage, stagedOn } from "./stage.ts";

/** Starts a server on a port that another server can use later. */
async function replaceable(stage: Stage): Promise<{ server: OpenServer; port: number }> {
  const server = await stage.listen();
  return { server, port: server.address.port };
}

/** Resolves when a timer of exactly `delayMs` has been set. */
async function waitsFor(clock: SteppedClock, delayMs: number): Promise<void> {
  await until(() => clock.delays.includes(delayMs));
}

/** Clients with automatic reconnection. */
export function describeReconnect(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`reconnecting on ${subject.name}`, PATIENT, () => {
    afterEach(() => {
      vi.restoreAllMocks();
    });

    const reconnect = { enabled: true, attempts: 4, delayMs: 1000, maxDelayMs: 3000, multiplier: 2, jitter: true };

    /** Starts a client on a stepped clock whose server has just stopped. */
    async function orphan(
      stage: Stage,
      options: Parameters<Stage["client"]>[1] = {},
    ): Promise<{ client: OpenClient; clock: SteppedClock; port: number }> {
      const { server, port } = await replaceable(stage);
      const clock = new SteppedClock(subject.runtime);
      const client = await stage.join(server, { reconnect, ...options }, clock.runtime);
      const lost = gate();
      client.onDisconnect(() => lost.open());
      await server.stop();
      await lost.promise;
      return { client, clock, port };
    }

    test(
      "the delays grow by the multiplier up to the longest, each a random part of its bound: full jitter",
      staged(async (stage) => {
        vi.spyOn(Math, "random").mockReturnValue(0.25);
        const { client, clock } = await orphan(stage);
        const errors = new EventLog<ConduitError>();
        client.onError((error) => errors.add(error as ConduitError));
        const tried = (): number => clock.delays.filter((delayMs) => [250, 500, 750].includes(delayMs)).length;
        for (const [attempt, delayMs] of [250, 500, 750, 750].entries()) {
          await until(() => tried() === attempt + 1);
          expect(clock.delays.at(-1)).toBe(delayMs);
          expect(client.health().reconnectAttempts).toBe(attempt);
          clock.advance(delayMs);
          await errors.count(attempt + 1);
        }
        await errors.count(5);
        expect(errors.all.map(({ code }) => code)).toEqual([
          ...Array.from({ length: 4 }, () => ErrorCode.CONNECTION_REFUSED),
          ErrorCode.RECONNECT_FAILED,
        ]);
        expect([client.state, client.isReconnecting]).toEqual(["failed", false]);
      }),
    );

    test(
      "without jitter the delays are the bounds themselves",
      staged(async (stage) => {
        const { client, clock } = await orphan(stage, { reconnect: { ...reconnect, jitter: false } });
        const errors = new EventLog<Error>();
        client.onError(errors.add);
        for (const [attempt, delayMs] of [1000, 2000, 3000].entries()) {
          await waitsFor(clock, delayMs);
          clock.advance(delayMs);
          await errors.count(attempt + 1);
        }
      }),
    );

    test(
      "a client that reconnects has a new session and its old handlers, and runs onConnect and onReconnect",
      staged(async (stage) => {
        const { client, clock, port } = await orphan(stage, { reconnect: { ...reconnect, jitter: false } });
        const log = new EventLog<string>();
        client.onConnect(() => log.add("connect"));
        client.onReconnect(() => log.add("reconnect"));
        const token = client.sessionToken;
        const news = new EventLog<unknown>();
        client.on("news", news.add);
        const server = await stage.listen({ port });
        server.rpc("ping", () => "pong");
        await waitsFor(clock, 1000);
        clock.advance(1000);
        expect(await log.count(2)).toEqual(["connect", "reconnect"]);
        expect(client.sessionToken).not.toBe(token);
        server.broadcast("news", 1);
        expect(await news.next()).toBe(1);
        expect(await client.call("ping")).toBe("pong");
        expect(client.health().reconnectAttempts).toBe(0);
      }),
    );

    test(
      "isReconnecting is true from onDisconnect to the next login, and ends with disconnect() and when the client gives up",
      staged(async (stage) => {
        const { server, port } = await replaceable(stage);
        const clock = new SteppedClock(subject.runtime);
        const client = await stage.join(server, { reconnect: { ...reconnect, jitter: false } }, clock.runtime);
        const lost = new EventLog<boolean>();
        client.onDisconnect(() => lost.add(client.isReconnecting));
        expect(client.isReconnecting).toBe(false);

        await server.stop();
        expect(await lost.next()).toBe(true);
        expect(client.health().reconnecting).toBe(true);

        const second = await stage.listen({ port });
        const again = gate();
        client.onReconnect(() => again.open());
        await waitsFor(clock, 1000);
        clock.advance(1000);
        await again.promise;
        expect([client.isReconnecting, client.isConnected]).toEqual([false, true]);

        await second.stop();
        expect(await lost.next()).toBe(true);
        await client.disconnect();
        expect(client.isReconnecting).toBe(false);
      }),
    );

    test(
      "a wrong password ends reconnecting",
      staged(async (stage) => {
        const { client, clock, port } = await orphan(stage, {
          reconnect: { ...reconnect, attempts: 0, jitter: false },
        });
        const errors = new EventLog<ConduitError>();
        client.onError((error) => errors.add(error as ConduitError));
        const server = await stage.listen({ port, password: "changed" });
        await waitsFor(clock, 1000);
        clock.advance(1000);
        expect((await errors.count(2)).map(({ code }) => code)).toEqual([
          ErrorCode.AUTH_FAILED,
          ErrorCode.RECONNECT_FAILED,
        ]);
        for (let n = 0; n < 5; n++) clock.advance(60_000);
        expect(server.stats).toMatchObject({ accepted: 1, authFailures: 1 });
        expect(client.state).toBe("failed");
      }),
    );

    test(
      "a password callback is asked at every attempt, so a wrong password does not end reconnecting",
      staged(async (stage) => {
        let password = PASSWORD;
        let asked = 0;
        const { client, clock, port } = await orphan(stage, {
          password: async () => {
            asked++;
            return password;
          },
          reconnect: { ...reconnect, jitter: false },
        });
        const errors = new EventLog<ConduitError>();
        client.onError((error) => errors.add(error as ConduitError));
        await stage.listen({ port, password: "changed" });
        await waitsFor(clock, 1000);
        clock.advance(1000);
        expect(await errors.next()).toMatchObject({ code: ErrorCode.AUTH_FAILED });
        password = "changed";
        const back = gate();
        client.onReconnect(() => back.open());
        await waitsFor(clock, 2000);
        clock.advance(2000);
        await back.promise;
        expect(asked).toBe(3);
      }),
    );

    test(
      "queueWhileDisconnected: messages and calls are rejected, or kept and sent in order",
      staged(async (stage) => {
        const rejecting = await orphan(stage);
        const rejected = failureOf(rejecting.client.call("any"));
        // A pause of 50 ms prevents a busy loop if the call is repeated.
        rejecting.clock.advance(50);
        expect((await rejected).code).toBe(ErrorCode.CONNECTION_CLOSED);

        const options = { queueWhileDisconnected: "send", reconnect: { ...reconnect, jitter: false } } as const;
        const { client, clock, port } = await orphan(stage, options);
        const heard = new EventLog<unknown>();
        client.send("n", 0);
        client.send("n", 1);
        const called = client.call("add", { a: 1 });
        client.send("n", 2);
        const server = await stage.listen({ port });
        server.on("n", (_client, data) => heard.add(data));
        server.rpc("add", ({ a }) => {
          heard.add("call");
          return a;
        });
        await waitsFor(clock, 1000);
        clock.advance(1000);
        expect(await called).toBe(1);
        expect(await heard.count(4)).toEqual([0, 1, "call", 2]);
      }),
    );

    test(
      "messages with ack wait for the next login, and are handled once and in order, however often the stream is cut",
      staged(async (stage) => {
        const server = await stage.listen();
        const relay = new Relay(server.address.port);
        await relay.start();
        stage.defer(() => relay.kill());
        const client = await stage.join(relay, { reconnect: { delayMs: 1, maxDelayMs: 20, jitter: false } });
        const handled: unknown[] = [];
        server.on("n", (_connection, n) => void handled.push(n));
        const sent: Promise<void>[] = [];
        const send = (): void => {
          for (let i = 0; i < 20; i += 1) sent.push(client.send("n", sent.length, { ack: { attempts: 100 } }));
        };
        for (let round = 0; round < 10; round += 1) {
          send();
          if (round % 3 === 0) await until(() => handled.length >= sent.length - 10);
          await relay.kill();
          await until(() => !client.isConnected);
          send();
          await relay.start();
        }
        await Promise.all(sent);
        expect(handled).toEqual(Array.from(sent, (_, n) => n));
      }),
    );

    test(
      "disconnect() ends reconnecting, until connect() is called",
      staged(async (stage) => {
        const { client, clock, port } = await orphan(stage, { reconnect: { ...reconnect, jitter: false } });
        await waitsFor(clock, 1000);
        await client.disconnect();
        const server = await stage.listen({ port });
        for (let n = 0; n < 5; n++) clock.advance(60_000);
        await stage.join(server);
        expect(server.stats.accepted).toBe(1);
        expect(client.isConnected).toBe(false);
        await client.connect();
        expect(client.isConnected).toBe(true);
      }),
    );
  });
}
