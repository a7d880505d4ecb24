import { type CloseReason, ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { call, frame, message, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { failureOf } from "../support/failures.ts";
import { SteppedClock } from "../support/stepped-clock.ts";
import type { Subject } from "../support/subject.ts";
import { turn, until } from "../support/turns.ts";
import { DEPARTURES } from "./departures.ts";
import { connectionOf, PATIENT, stagedOn } from "./stage.ts";

/** Closing connections: hooks, pending calls, and messages sent just before. */
export function describeClosing(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`the end of connections on ${subject.name}`, PATIENT, () => {
    for (const [how, leave] of DEPARTURES) {
      test(
        `the disconnect hook runs once for a peer that ${how}`,
        staged(async (stage) => {
          const server = await stage.listen();
          const left = new EventLog<CloseReason>();
          server.onClientDisconnect((_connection, reason) => left.add(reason));
          const peer = await stage.rawLoggedIn(server);
          leave(peer);
          await left.next();
          await peer.dispose();
          const other = await stage.join(server);
          await other.disconnect();
          await left.count(2);
          await server.stop();
          expect(left.all).toHaveLength(2);
        }),
      );
    }

    test(
      "the disconnect hook runs once when the server closes the connection, several times over",
      staged(async (stage) => {
        const server = await stage.listen();
        const left = new EventLog<CloseReason>();
        server.onClientDisconnect((_connection, reason) => left.add(reason));
        const client = await stage.join(server);
        const connection = connectionOf(server, client);
        const first = connection.close("first");
        await Promise.all([first, connection.close("second"), server.stop()]);
        expect(left.all).toEqual([
          {
            code: ErrorCode.CONNECTION_CLOSED,
            codeName: "CONNECTION_CLOSED",
            message: "first",
            byPeer: false,
            reconnect: false,
          },
        ]);
        await connection.close("third");
        expect(left.all).toHaveLength(1);
      }),
    );

    test(
      "close(reason) sends the client the reason, and it does not reconnect",
      staged(async (stage) => {
        const server = await stage.listen();
        const client = await stage.join(server, { reconnect: { enabled: true, delayMs: 1, maxDelayMs: 1 } });
        const left = new EventLog<CloseReason>();
        client.onDisconnect((_client, reason) => left.add(reason));
        const connection = connectionOf(server, client);
        await connection.close("Kicked for spam");
        expect(await left.next()).toEqual({
          code: ErrorCode.CONNECTION_CLOSED,
          codeName: "CONNECTION_CLOSED",
          message: "Kicked for spam",
          byPeer: true,
          reconnect: false,
        });
        expect(connection.isConnected).toBe(false);
        expect(client.state).toBe("closed");
        expect(server.stats.loggedIn).toBe(1);
      }),
    );

    test(
      "close(reason, {reconnect: true}) sends the client the reason, and it reconnects",
      staged(async (stage) => {
        const server = await stage.listen();
        const client = await stage.join(server, { reconnect: { enabled: true, delayMs: 1, maxDelayMs: 1 } });
        const left = new EventLog<CloseReason>();
        client.onDisconnect((_client, reason) => left.add(reason));
        const back = gate();
        client.onReconnect(() => back.open());
        await connectionOf(server, client).close("Moving house", { reconnect: true });
        expect(await left.next()).toMatchObject({ message: "Moving house", byPeer: true, reconnect: true });
        await back.promise;
        expect(client.isConnected).toBe(true);
        expect(server.stats.loggedIn).toBe(2);
      }),
    );

    for (const side of ["server", "client"] as const) {
      test(
        `messages that wait when the ${side} closes the connection are one report with their number, and not started`,
        staged(async (stage) => {
          const server = await stage.listen({ handlerConcurrency: 1 });
          const client = await stage.join(server, { handlerConcurrency: 1 });
          const connection = connectionOf(server, client);
          const [receiver, sender] = side === "server" ? [connection, client] : [client, connection];
          const reports = new EventLog<unknown>();
          const report = (error: unknown, { stage: where, count }: { stage: string; count?: number }): void => {
            reports.add({ code: (error as { code: number }).code, stage: where, count });
          };
          if (side === "server") server.onError(report);
          else client.onError(report);
          const go = gate();
          let started = 0;
          const hold = (): Promise<void> => {
            started += 1;
            return go.promise;
          };
          server.on("wait", hold);
          client.on("wait", hold);
          for (let n = 0; n < 501; n++) sender.send("wait", n);
          await until(() => receiver.stats?.messagesReceived === 501);
          await (side === "server" ? connection.close() : client.disconnect());
          go.open();
          await turn();
          expect(reports.all).toEqual([{ code: ErrorCode.CONNECTION_CLOSED, stage: "protocol", count: 500 }]);
          expect(started).toBe(1);
        }),
      );
    }

    test(
      "a close sends what was queued, then CLOSE with the reason, then FIN",
      staged(async (stage) => {
        const server = await stage.listen();
        const peer = await stage.rawLoggedIn(server);
        const connection = server.connections[0]!;
        connection.send("last", "words");
        const closed = connection.close("enough");
        expect((await peer.next()).payload).toEqual({ type: "last", data: "words" });
        expect(await peer.next()).toMatchObject({
          type: Type.CLOSE,
          payload: { reason: "enough", code: ErrorCode.CONNECTION_CLOSED, reconnect: false },
        });
        expect(await peer.over).toBe("end");
        await closed;
      }),
    );

    test(
      "a CLOSE is acknowledged, and its reason reaches the hook",
      staged(async (stage) => {
        const server = await stage.listen();
        const left = new EventLog<CloseReason>();
        server.onClientDisconnect((_connection, reason) => left.add(reason));
        const peer = await stage.rawLoggedIn(server);
        peer.write(frame(Type.CLOSE, { reason: "going home", code: 1234 }));
        expect((await peer.next()).type).toBe(Type.CLOSE_ACK);
        expect(await peer.over).toBe("end");
        expect(await left.next()).toEqual({
          code: 1234,
          codeName: "1234",
          message: "going home",
          byPeer: true,
          reconnect: true,
        });
      }),
    );

    test(
      "a CLOSE whose code is no integer is a normal close, and a long reason is cut",
      staged(async (stage) => {
        const server = await stage.listen();
        const left = new EventLog<CloseReason>();
        server.onClientDisconnect((_connection, reason) => left.add(reason));
        for (const code of [Number.NaN, 3.6e306, 4000.5, "AUTH_FAILED", null]) {
          const peer = await stage.rawLoggedIn(server);
          peer.write(frame(Type.CLOSE, { reason: "x".repeat(10_000), code, codeName: "AUTH_FAILED" }));
          expect(await left.next()).toStrictEqual({
            code: ErrorCode.CONNECTION_CLOSED,
            codeName: "CONNECTION_CLOSED",
            message: `${"x".repeat(255)}…`,
            byPeer: true,
            reconnect: true,
          });
        }
      }),
    );

    test(
      "a CLOSE with a reason of 9 MiB is refused by its length",
      staged(async (stage) => {
        const server = await stage.listen();
        const left = new EventLog<CloseReason>();
        server.onClientDisconnect((_connection, reason) => left.add(reason));
        const peer = await stage.rawLoggedIn(server);
        const close = frame(Type.CLOSE, { reason: "x".repeat(9 * 1024 * 1024) });
        peer.write(close.subarray(0, 1000));
        expect(await peer.next()).toMatchObject({ type: Type.CLOSE, payload: { code: ErrorCode.MESSAGE_TOO_LARGE } });
        expect(await left.next()).toMatchObject({ codeName: "MESSAGE_TOO_LARGE", byPeer: false });
      }),
    );

    test(
      "a peer that never closes its end is cut off after closeTimeoutMs",
      staged(async (stage) => {
        const clock = new SteppedClock(subject.runtime);
        const server = await stage.listen({ closeTimeoutMs: 4000 }, clock.runtime);
        const peer = await stage.rawLoggedIn(server);
        peer.pause();
        const connection = server.connections[0]!;
        connection.send("large", new Uint8Array(9_000_000));
        let isClosed = false;
        const closed = connection.close("enough").then(() => {
          isClosed = true;
        });
        await turn();
        clock.advance(3900);
        await turn();
        expect(isClosed).toBe(false);
        clock.advance(200);
        await closed;
        expect(server.connectionCount).toBe(0);
      }),
    );

    test(
      "every pending call of a server rejects at once with CONNECTION_CLOSED when its client drops",
      staged(async (stage) => {
        const server = await stage.listen();
        const peer = await stage.rawLoggedIn(server);
        const connection = server.connections[0]!;
        const calls = [
          connection.call("a"),
          connection.call("b"),
          connection.request("c"),
          connection.call("d", {}, { timeoutMs: 0 }),
        ].map(failureOf);
        peer.reset();
        for (const failure of await Promise.all(calls)) expect(failure.code).toBe(5010);
      }),
    );

    test(
      "every pending call of a client rejects at once with CONNECTION_CLOSED when its server drops",
      staged(async (stage) => {
        const server = await stage.listen();
        const started = new EventLog<unknown>();
        const never = gate();
        server.rpc("hang", ({ n }) => {
          started.add(n);
          return never.promise;
        });
        server.on("hang", () => {
          started.add("message");
          return never.promise;
        });
        const client = await stage.join(server);
        const calls = Array.from({ length: 50 }, (_, n) => failureOf(client.call("hang", { n })));
        calls.push(failureOf(client.request("hang")));
        calls.push(failureOf(client.call("hang", { n: 50 }, { timeoutMs: 0 })));
        await started.count(52);
        expect(client.health().pendingCalls).toBe(52);
        void connectionOf(server, client).close("gone");
        const failures = await Promise.all(calls);
        for (const failure of failures) {
          expect(failure.code).toBe(ErrorCode.CONNECTION_CLOSED);
          expect(failure.message).toContain("gone");
        }
        expect(client.health().pendingCalls).toBe(0);
      }),
    );

    test(
      "pending calls reject when the client itself disconnects",
      staged(async (stage) => {
        const server = await stage.listen();
        const started = gate();
        server.rpc("hang", () => {
          started.open();
          return new Promise(() => {});
        });
        const client = await stage.join(server);
        const result = failureOf(client.call("hang"));
        await started.promise;
        const disconnected = client.disconnect();
        expect((await result).code).toBe(ErrorCode.CONNECTION_CLOSED);
        await disconnected;
      }),
    );

    test(
      "a message sent just before disconnect() arrives, 300 times in a row",
      staged(async (stage) => {
        const server = await stage.listen();
        const heard = new EventLog<number>();
        server.on("last words", (_client, data) => heard.add(data as number));
        const client = stage.client(server);
        for (let n = 0; n < 300; n++) {
          await client.connect();
          client.send("last words", n);
          await client.disconnect();
        }
        expect(await heard.count(300)).toEqual(Array.from({ length: 300 }, (_, n) => n));
      }),
    );

    test(
      "a thousand messages sent just before disconnect() arrive in order",
      staged(async (stage) => {
        const server = await stage.listen();
        const heard = new EventLog<number>();
        server.on("n", (_client, data) => heard.add((data as { n: number }).n));
        const client = await stage.join(server, { sendQueueSize: 2000, sendQueueBytes: 64 * 1024 * 1024 });
        for (let n = 0; n < 1000; n++) client.send("n", { n, filler: "x".repeat(10_000) });
        await client.disconnect();
        expect(await heard.count(1000)).toEqual(Array.from({ length: 1000 }, (_, n) => n));
      }),
    );

    test(
      "a message sent just before disconnect() arrives though the connect hooks still run",
      staged(async (stage) => {
        const server = await stage.listen();
        const hook = gate();
        server.onClientConnect(() => hook.promise);
        const heard = new EventLog<unknown>();
        server.on("last words", (_client, data) => heard.add(data));
        const peer = await stage.rawLoggedIn(server);
        peer.write(message("last words", "goodbye"), frame(Type.CLOSE));
        await peer.over;
        hook.open();
        expect(await heard.next()).toBe("goodbye");
      }),
    );

    test(
      "messages sent just before disconnect() arrive though they wait for a busy handler",
      staged(async (stage) => {
        const server = await stage.listen({ handlerConcurrency: 1 });
        const busy = gate();
        const heard = new EventLog<unknown>();
        server.on("n", async (_client, data) => {
          heard.add(data);
          await busy.promise;
        });
        const client = await stage.join(server);
        for (let n = 0; n < 50; n++) client.send("n", n);
        await client.disconnect();
        busy.open();
        expect(await heard.count(50)).toEqual(Array.from({ length: 50 }, (_, n) => n));
      }),
    );

    test(
      "a message that a server sends just before close() arrives",
      staged(async (stage) => {
        const server = await stage.listen();
        const heard = new EventLog<unknown>();
        for (let n = 0; n < 100; n++) {
          const client = await stage.join(server);
          client.on("last words", heard.add);
          const connection = connectionOf(server, client);
          connection.send("last words", n);
          await connection.close();
        }
        expect(await heard.count(100)).toEqual(Array.from({ length: 100 }, (_, n) => n));
      }),
    );

    test(
      "a handler that replies after its client has disconnected does no harm",
      staged(async (stage) => {
        const server = await stage.listen();
        const errors = new EventLog<Error>();
        server.onError(errors.add);
        const go = gate();
        const done = gate();
        server.rpc("slow", async () => {
          await go.promise;
          queueMicrotask(() => done.open());
          return "late";
        });
        const peer = await stage.rawLoggedIn(server);
        peer.write(call(1n, "slow"));
        await until(() => server.connections[0]?.stats.messagesReceived === 1);
        peer.reset();
        await until(() => server.connectionCount === 0);
        go.open();
        await done.promise;
        expect(errors.all).toEqual([]);
        expect((await stage.join(server)).isConnected).toBe(true);
      }),
    );
  });
}
