import { type Connection, ErrorCode, type StateChange } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { frame, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { SteppedClock } from "../support/stepped-clock.ts";
import type { Subject } from "../support/subject.ts";
import { until } from "../support/turns.ts";
import { connectionOf, PASSWORD, PATIENT, stagedOn } from "./stage.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** A connection's properties and the application's data on it. */
export function describeConnections(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`connections on ${subject.name}`, PATIENT, () => {
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
        "a connection's properties stay readable after it has ended",
        staged(async (stage) => {
          const server = await stage.listen();
          const ended = new EventLog<Connection>();
          server.onClientDisconnect(ended.add);
          const client = await stage.join(server, { name: "Ada" });
          const { id, remoteAddress, local } = connectionOf(server, client);
          await client.disconnect();
          const connection = await ended.next();
          expect(connection.id).toBe(id);
          expect([connection.remoteAddress, connection.local]).toEqual([remoteAddress, local]);
          expect(connection.info.name).toBe("Ada");
          expect(connection.isConnected).toBe(false);
          expect(connection.state).toBe("closed");
        }),
      );

      test(
        "client.info reaches handlers and hooks",
        staged(async (stage) => {
          const server = await stage.listen();
          const joined = new EventLog<unknown>();
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
        "info consists of bounded strings, whatever the peer sends",
        staged(async (stage) => {
          const server = await stage.listen();
          const peer = await stage.raw(server);
          await peer.login({
            password: PASSWORD,
            info: { name: "n".repeat(5000), version: 7, description: ["x"], extra: "ignored" },
          });
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
        "sessions end with their connection: twenty logins leave nothing behind",
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
        "a listener receives each change of a connection's state with its reason, until it is removed",
        staged(async (stage) => {
          const server = await stage.listen();
          const changes = new EventLog<StateChange>();
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

    test(
      "a client's listener receives each change of its state with its reason",
      staged(async (stage) => {
        const server = await stage.listen();
        const client = stage.client(server);
        const changes = new EventLog<StateChange>();
        client.onStateChange(changes.add);
        expect(client.state).toBe("disconnected");
        await client.connect();
        await connectionOf(server, client).close("enough");
        await changes.count(6);
        expect(changes.all.map(({ from, to }) => `${from} > ${to}`)).toEqual([
          "disconnected > connecting",
          "connecting > authenticating",
          "authenticating > connected",
          "connected > active",
          "active > closing",
          "closing > closed",
        ]);
        expect(changes.all[4]?.reason.message).toBe("enough");
      }),
    );

    describe("data", () => {
      test(
        "each connection has data of its own, made by connectionData",
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
        "data is an empty object without connectionData, and still there in the disconnect hook",
        staged(async (stage) => {
          const server = await stage.listen();
          server.onClientConnect((connection) => {
            expect(connection.data).toEqual({});
            connection.data["room"] = "lobby";
          });
          const left = new EventLog<unknown>();
          server.onClientDisconnect(({ data }) => left.add(data["room"]));
          const client = await stage.join(server);
          await client.disconnect();
          expect(await left.next()).toBe("lobby");
        }),
      );

      test(
        "a connectionData that throws fails that login, is reported, and leaves the slot free",
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
          const errors = new EventLog<string>();
          server.onError(({ message }) => errors.add(message));
          await server.start();
          await expect(stage.join(server)).rejects.toThrow();
          expect(await errors.next()).toBe("no data");
          broken = false;
          expect((await stage.join(server)).isConnected).toBe(true);
        }),
      );
    });
  });
}
