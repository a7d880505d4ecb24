import { type CloseReason, type Connection, ErrorCode, type Rejection, type StateChange } from "@netconduit/core";
import type { Runtime } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { failureOf, gate, Heard, until } from "./heard.ts";
import { call, frame, type RawPeer, Type } from "./raw-peer.ts";
import { connectionOf, PASSWORD, stagedOn } from "./stage.ts";
import { SteppedClock } from "./stepped-clock.ts";
import type { Subject } from "./subject.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const DEPARTURES: readonly (readonly [string, (peer: RawPeer) => void])[] = [
  ["says CLOSE", (peer) => peer.write(frame(Type.CLOSE, { reason: "bye" }))],
  ["closes its socket", (peer) => peer.end()],
  [
    "says CLOSE and closes its socket",
    (peer) => {
      peer.write(frame(Type.CLOSE));
      peer.end();
    },
  ],
  ["resets its socket", (peer) => peer.reset()],
  ["breaks the framing", (peer) => peer.write(new Uint8Array(64))],
];

/** Connections as the server sees them: what they tell, how many there may be, how they end. */
export function describeConnections(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`connections on ${subject.name}`, () => {
    describe("properties", () => {
      test(
        "a connection has an id, the peer's address, and is authenticated",
        staged(async (stage) => {
          const server = await stage.listen();
          const client = await stage.join(server);
          const connection = connectionOf(server, client);
          expect(connection.id).toMatch(UUID);
          expect(connection.isAuthenticated).toBe(true);
          expect(connection.isConnected).toBe(true);
          expect(connection.state).toBe("active");
          expect(connection.remote).toMatchObject({ kind: "tcp", host: "127.0.0.1", family: "IPv4" });
          expect(connection.local).toMatchObject({ kind: "tcp", host: "127.0.0.1", port: server.address.port });
          expect(connection.remoteAddress).toMatch(/^127\.0\.0\.1:\d+$/);
          expect(connection.tls).toBeNull();
          expect(server.connection(connection.id)).toBe(connection);
          expect(server.connections).toEqual([connection]);
          expect(server.connectionCount).toBe(1);
        }),
      );

      test(
        "what is told of a connection stays readable after it has ended",
        staged(async (stage) => {
          const server = await stage.listen();
          const ended = new Heard<Connection>();
          server.onClientDisconnect(ended.add);
          const client = await stage.join(server, { name: "Ada" });
          const { id, remoteAddress } = connectionOf(server, client);
          await client.disconnect();
          const connection = await ended.next();
          expect(connection.id).toBe(id);
          expect(connection.remoteAddress).toBe(remoteAddress);
          expect(connection.info.name).toBe("Ada");
          expect(connection.isConnected).toBe(false);
          expect(connection.state).toBe("closed");
        }),
      );

      test(
        "client.info reaches handlers and hooks",
        staged(async (stage) => {
          const server = await stage.listen();
          const joined = new Heard<unknown>();
          server.onClientConnect(({ info }) => joined.add(info));
          server.rpc("who", (_params, { client }) => ({ ...client.info }));
          server.on("who", (client) => ({ ...client.info }));
          const info = { name: "Ada's console", version: "2.1.0", description: "Ein Gerät 🚀" };
          const client = await stage.join(server, info);
          const seen = { ...info, netconduit: false };
          expect(await joined.next()).toEqual(seen);
          expect(await client.call("who")).toEqual(seen);
          expect(await client.request("who")).toEqual(seen);
        }),
      );

      test(
        "info is bounded and of strings, whatever the peer claims",
        staged(async (stage) => {
          const server = await stage.listen();
          const peer = await stage.raw(server);
          await peer.login({ info: { name: "n".repeat(5000), version: 7, description: ["x"], extra: "ignored" } });
          expect(server.connections[0]?.info).toEqual({
            name: "n".repeat(256),
            version: "",
            description: "",
            netconduit: false,
          });
        }),
      );

      test(
        "the client learns the server's name, version and description",
        staged(async (stage) => {
          const server = await stage.listen({ name: "Game", version: "3.0.0", description: "A game" });
          const client = await stage.join(server);
          expect(client.serverInfo).toEqual({
            name: "Game",
            version: "3.0.0",
            description: "A game",
            netconduit: false,
          });
        }),
      );

      test(
        "a session has an unguessable token that both ends know, the time of the login and its method",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const server = await stage.listen({}, clock.runtime);
          const client = await stage.join(server);
          const { session } = connectionOf(server, client);
          expect(session.token).toMatch(/^[0-9a-f]{64}$/);
          expect(client.sessionToken).toBe(session.token);
          expect(session).toMatchObject({ createdAt: clock.runtime.wallClock(), method: "scram" });
          const other = await stage.join(server);
          expect(other.sessionToken).not.toBe(session.token);
        }),
      );

      test(
        "sessions end with their connection: nothing of twenty logins stays behind",
        staged(async (stage) => {
          const server = await stage.listen();
          const tokens = new Set<string>();
          for (let round = 0; round < 20; round++) {
            const client = await stage.join(server);
            tokens.add(client.sessionToken as string);
            await client.disconnect();
          }
          await until(() => server.connectionCount === 0);
          expect(tokens.size).toBe(20);
          expect(server.connections).toEqual([]);
          expect(server.stats).toMatchObject({ accepted: 20, loggedIn: 20, rejected: 0 });
        }),
      );

      test(
        "stats count messages and bytes in both directions",
        staged(async (stage) => {
          const clock = new SteppedClock(subject.runtime);
          const server = await stage.listen({}, clock.runtime);
          server.on("in", () => {});
          const peer = await stage.rawLoggedIn(server);
          const connection = server.connections[0]!;
          const before = connection.stats;
          expect(before).toMatchObject({
            connectedAt: clock.runtime.wallClock(),
            messagesSent: 0,
            messagesReceived: 0,
            errors: 0,
            dropped: 0,
            rateLimited: 0,
          });
          const sent = frame(Type.MESSAGE, { type: "in", data: "x".repeat(100) });
          peer.write(sent, sent);
          await until(() => connection.stats.messagesReceived === 2);
          expect(connection.stats.bytesReceived - before.bytesReceived).toBe(2 * sent.length);
          connection.send("out", "y".repeat(50));
          const received = await peer.next();
          expect(connection.stats.messagesSent).toBe(1);
          expect(connection.stats.bytesSent - before.bytesSent).toBe(32 + received.payloadBytes.length);
          expect(connection.bufferedBytes).toBe(0);
        }),
      );

      test(
        "a listener hears each change of a connection's state with its reason, until it is removed",
        staged(async (stage) => {
          const server = await stage.listen();
          const changes = new Heard<StateChange>();
          server.onClientConnect((connection) => {
            connection.onStateChange(changes.add);
            connection.onStateChange(() => {
              throw new Error("removed");
            })();
          });
          const client = await stage.join(server);
          await client.disconnect("enough");
          await until(() => changes.all.length === 3);
          expect(changes.all.map(({ from, to }) => `${from} > ${to}`)).toEqual([
            "connected > active",
            "active > closing",
            "closing > closed",
          ]);
          expect(changes.all[1]?.reason).toEqual({ code: ErrorCode.CONNECTION_CLOSED, message: "enough" });
        }),
      );
    });

    describe("data", () => {
      test(
        "every connection has data of its own, made by connectionData",
        staged(async (stage) => {
          interface Player {
            name: string;
            score: number;
          }
          const server = stage.ownServer(
            stage.serverOptions({ connectionData: (): Player => ({ name: "nobody", score: 0 }) }),
          );
          server.rpc("score", (_params, { client }) => ++client.data.score);
          await server.start();
          const [ada, bob] = [await stage.join(server), await stage.join(server)];
          await ada.call("score");
          expect(await ada.call("score")).toBe(2);
          expect(await bob.call("score")).toBe(1);
          connectionOf(server, ada).data = { name: "Ada", score: 10 };
          expect(await ada.call("score")).toBe(11);
        }),
      );

      test(
        "without connectionData it is an empty object, and it is there in the disconnect hook",
        staged(async (stage) => {
          const server = await stage.listen();
          server.onClientConnect((connection) => {
            expect(connection.data).toEqual({});
            connection.data["room"] = "lobby";
          });
          const left = new Heard<unknown>();
          server.onClientDisconnect(({ data }) => left.add(data["room"]));
          const client = await stage.join(server);
          await client.disconnect();
          expect(await left.next()).toBe("lobby");
        }),
      );

      test(
        "a connectionData that throws costs that login, is reported, and leaves no slot taken",
        staged(async (stage) => {
          let broken = true;
          const server = stage.ownServer(
            stage.serverOptions({
              maxConnections: 1,
              connectionData: () => {
                if (broken) throw new Error("no data");
                return {};
              },
            }),
          );
          const errors = new Heard<string>();
          server.onError(({ message }) => errors.add(message));
          await server.start();
          await expect(stage.join(server)).rejects.toThrow();
          expect(await errors.next()).toBe("no data");
          broken = false;
          expect((await stage.join(server)).isConnected).toBe(true);
        }),
      );
    });

    describe("room", () => {
      for (const [how, leave] of DEPARTURES) {
        test(
          `a closed peer's slot is free at once: one that ${how}`,
          staged(async (stage) => {
            const server = await stage.listen({ maxConnections: 1 });
            const left = new Heard<Connection>();
            server.onClientDisconnect(left.add);
            const peer = await stage.rawLoggedIn(server);
            leave(peer);
            await left.next();
            expect(server.connectionCount).toBe(0);
            const next = await stage.join(server);
            expect(next.isConnected).toBe(true);
          }),
        );
      }

      test(
        "the client over maxConnections is told SERVER_FULL and closed, and onClientRejected sees it",
        staged(async (stage) => {
          const server = await stage.listen({ maxConnections: 2 });
          const rejections = new Heard<Rejection>();
          server.onClientRejected(rejections.add);
          await stage.join(server);
          await stage.join(server);
          const third = stage.client(server);
          const failure = await failureOf(third.connect());
          expect(failure).toMatchObject({ code: ErrorCode.SERVER_FULL });
          expect(failure.message).toContain("Server full: 2 clients are connected");
          expect(third.state).toBe("failed");
          expect(await rejections.next()).toMatchObject({
            code: 3010,
            message: "Server full: 2 clients are connected",
            remoteAddress: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
          });
          expect(server.stats).toMatchObject({ loggedIn: 2, rejected: 1, authFailures: 0 });

          const peer = await stage.raw(server);
          await expect(peer.login()).rejects.toThrow();
          expect(peer.frames.all.at(-1)).toMatchObject({
            type: Type.AUTH_FAILURE,
            payload: { reason: "Server full: 2 clients are connected", code: 3010 },
          });
          await peer.over;
          expect(rejections.all).toHaveLength(2);
        }),
      );

      test(
        "maxConnections holds when many log in at the same moment",
        staged(async (stage) => {
          // The server's cryptography answers all logins in one turn, as one that is asynchronous may.
          const together = gate();
          let waiting = 0;
          const { crypto } = subject.runtime;
          const runtime: Runtime = {
            ...subject.runtime,
            crypto: {
              ...crypto,
              hmacSha256: async (key, data) => {
                if (server.isRunning) {
                  waiting++;
                  await together.promise;
                }
                return crypto.hmacSha256(key, data);
              },
            },
          };
          const server = stage.server({ maxConnections: 5 }, runtime);
          await server.start();
          const clients = Array.from({ length: 30 }, () => stage.client(server));
          const results = Promise.allSettled(clients.map((client) => client.connect()));
          await until(() => waiting === 30);
          together.open();
          const settled = await results;
          expect(settled.filter(({ status }) => status === "fulfilled")).toHaveLength(5);
          expect(server.connectionCount).toBe(5);
          for (const result of settled) {
            if (result.status === "rejected") expect(result.reason).toMatchObject({ code: ErrorCode.SERVER_FULL });
          }
        }),
      );

      test(
        "a rejected client that comes back when there is room is let in",
        staged(async (stage) => {
          const server = await stage.listen({ maxConnections: 1 });
          const first = await stage.join(server);
          const second = stage.client(server);
          await failureOf(second.connect());
          await first.disconnect();
          await until(() => server.connectionCount === 0);
          await second.connect();
          expect(second.isConnected).toBe(true);
        }),
      );

      test(
        "connections that have not logged in are bounded by maxPendingLogins, and take nobody's slot",
        staged(async (stage) => {
          const server = await stage.listen({ maxPendingLogins: 2, maxConnections: 1 });
          const rejections = new Heard<Rejection>();
          server.onClientRejected(rejections.add);
          const strangers = [await stage.raw(server), await stage.raw(server)];
          await until(() => server.stats.accepted === 2);
          const third = await stage.raw(server);
          await third.over;
          expect(await rejections.next()).toMatchObject({ code: ErrorCode.SERVER_FULL });
          strangers[0]?.end();
          await strangers[0]?.over;
          const client = stage.client(server);
          await until(() => server.stats.rejected === 1);
          await client.connect();
          expect(server.connectionCount).toBe(1);
        }),
      );
    });

    describe("the end", () => {
      for (const [how, leave] of DEPARTURES) {
        test(
          `the disconnect hook runs once for a peer that ${how}`,
          staged(async (stage) => {
            const server = await stage.listen();
            const left = new Heard<CloseReason>();
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
          const left = new Heard<CloseReason>();
          server.onClientDisconnect((_connection, reason) => left.add(reason));
          const client = await stage.join(server);
          const connection = connectionOf(server, client);
          const first = connection.close("first");
          await Promise.all([first, connection.close("second"), server.stop()]);
          expect(left.all).toEqual([
            { code: ErrorCode.CONNECTION_CLOSED, message: "first", byPeer: false, reconnect: false },
          ]);
          await connection.close("third");
          expect(left.all).toHaveLength(1);
        }),
      );

      test(
        "close(reason) tells the client the reason, and that it must not come back",
        staged(async (stage) => {
          const server = await stage.listen();
          const client = await stage.join(server, { reconnect: { enabled: true, delayMs: 1, maxDelayMs: 1 } });
          const left = new Heard<CloseReason>();
          client.onDisconnect((_client, reason) => left.add(reason));
          const connection = connectionOf(server, client);
          await connection.close("Kicked for spam");
          expect(await left.next()).toEqual({
            code: ErrorCode.CONNECTION_CLOSED,
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
        "close(reason, {reconnect: true}) tells the client the reason, and it comes back",
        staged(async (stage) => {
          const server = await stage.listen();
          const client = await stage.join(server, { reconnect: { enabled: true, delayMs: 1, maxDelayMs: 1 } });
          const left = new Heard<CloseReason>();
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

      test(
        "a raw peer is told the reason in a CLOSE frame behind what was sent, then FIN",
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
        "a CLOSE is acknowledged, and what the peer said of the reason reaches the hook",
        staged(async (stage) => {
          const server = await stage.listen();
          const left = new Heard<CloseReason>();
          server.onClientDisconnect((_connection, reason) => left.add(reason));
          const peer = await stage.rawLoggedIn(server);
          peer.write(frame(Type.CLOSE, { reason: "going home", code: 1234 }));
          expect((await peer.next()).type).toBe(Type.CLOSE_ACK);
          expect(await peer.over).toBe("end");
          expect(await left.next()).toEqual({ code: 1234, message: "going home", byPeer: true, reconnect: true });
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
          await new Promise((resolve) => setImmediate(resolve));
          clock.advance(3900);
          await new Promise((resolve) => setImmediate(resolve));
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
          const started = new Heard<unknown>();
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
        "what is sent just before disconnect arrives: 1,000 times",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new Heard<number>();
          server.on("last words", (_client, data) => heard.add(data as number));
          const client = stage.client(server);
          for (let n = 0; n < 1000; n++) {
            await client.connect();
            client.send("last words", n);
            await client.disconnect();
          }
          expect(await heard.count(1000)).toEqual(Array.from({ length: 1000 }, (_, n) => n));
        }),
        60_000,
      );

      test(
        "a thousand messages sent just before disconnect all arrive, in order",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new Heard<number>();
          server.on("n", (_client, data) => heard.add((data as { n: number }).n));
          const client = await stage.join(server, { sendQueueSize: 2000, sendQueueBytes: 64 * 1024 * 1024 });
          for (let n = 0; n < 1000; n++) client.send("n", { n, filler: "x".repeat(10_000) });
          await client.disconnect();
          expect(await heard.count(1000)).toEqual(Array.from({ length: 1000 }, (_, n) => n));
        }),
      );

      test(
        "what is sent just before disconnect arrives also while the connect hooks still run",
        staged(async (stage) => {
          const server = await stage.listen();
          const hook = gate();
          server.onClientConnect(() => hook.promise);
          const heard = new Heard<unknown>();
          server.on("last words", (_client, data) => heard.add(data));
          const client = await stage.join(server);
          client.send("last words", "goodbye");
          await client.disconnect();
          hook.open();
          expect(await heard.next()).toBe("goodbye");
        }),
      );

      test(
        "what is sent just before disconnect arrives also when it has to wait for a busy handler",
        staged(async (stage) => {
          const server = await stage.listen({ handlerConcurrency: 1 });
          const busy = gate();
          const heard = new Heard<unknown>();
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
        "what a server sends just before close arrives at the client",
        staged(async (stage) => {
          const server = await stage.listen();
          const heard = new Heard<unknown>();
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
        "the answer to a call that was on its way when the client disconnects harms nothing",
        staged(async (stage) => {
          const server = await stage.listen();
          const errors = new Heard<Error>();
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

    test(
      "a wrong password leaves no slot taken and no connection behind",
      staged(async (stage) => {
        const server = await stage.listen({ maxConnections: 1 });
        const wrong = stage.client(server, { password: `${PASSWORD}!` });
        expect((await failureOf(wrong.connect())).code).toBe(ErrorCode.AUTH_FAILED);
        expect(server.connectionCount).toBe(0);
        expect((await stage.join(server)).isConnected).toBe(true);
      }),
    );
  });
}
