import assert from "node:assert/strict";
import { type CloseReason, ErrorCode } from "@netconduit/core";
import { EventLog } from "../../../packages/core/src/testing/event-log.ts";
import { failureOf, thrownBy } from "../../support/failures.ts";
import type { Scenario } from "../scenario.ts";

const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

/** Connections closed by either end, and messages sent just before closing. */
export const closing: readonly Scenario[] = [
  {
    title: "the server's hook runs once and hears the reason that the client gave to disconnect()",
    async server(half) {
      const server = half.server();
      const left = new EventLog<CloseReason>();
      server.onClientDisconnect((_connection, reason) => left.add(reason));
      const connection = await (await half.open(server)).next();
      const { code, message, byPeer } = await left.next();
      assert.deepEqual([code, message, byPeer], [ErrorCode.CONNECTION_CLOSED, "going home", true]);
      assert.equal(connection.isConnected, false);
      await server.stop();
      assert.equal(left.all.length, 1);
      assert.equal(thrownBy(() => connection.send("late")).code, ErrorCode.CONNECTION_CLOSED);
      assert.equal((await failureOf(connection.call("late"))).code, ErrorCode.CONNECTION_CLOSED);
    },
    async client(half) {
      const client = await half.join();
      await client.disconnect("going home");
      assert.deepEqual([client.state, client.isConnected], ["closed", false]);
      assert.equal(thrownBy(() => client.send("late")).code, ErrorCode.CONNECTION_CLOSED);
      assert.equal((await failureOf(client.call("late"))).code, ErrorCode.CONNECTION_CLOSED);
    },
  },
  {
    title: "a client that the server closes gets what was sent, then the reason, and does not come back",
    async server(half) {
      const server = half.server();
      const connection = await (await half.open(server)).next();
      connection.send("last", "words");
      await connection.close("Kicked for spam");
      await half.waitFor("told");
      assert.equal(server.stats.loggedIn, 1);
    },
    async client(half) {
      const client = await half.client({ reconnect: { enabled: true, delayMs: 1, maxDelayMs: 1 } });
      const log = new EventLog<unknown>();
      client.on("last", (data) => log.add(data));
      client.onDisconnect((_client, reason) => log.add(reason));
      await client.connect();
      const reason = {
        code: ErrorCode.CONNECTION_CLOSED,
        codeName: "CONNECTION_CLOSED",
        message: "Kicked for spam",
        byPeer: true,
        reconnect: false,
      };
      assert.deepEqual(await log.count(2), ["words", reason]);
      assert.equal(client.state, "closed");
      half.tell("told");
    },
  },
  {
    title: "a message sent just before disconnect() arrives, on each of 100 connections in a row",
    async server(half) {
      const server = half.server();
      const heard = new EventLog<unknown>();
      server.on("last words", (_connection, data) => void heard.add(data));
      await half.open(server);
      assert.deepEqual(await heard.count(100), numbers(100));
    },
    async client(half) {
      const client = await half.client();
      for (let n = 0; n < 100; n++) {
        await client.connect();
        client.send("last words", n);
        await client.disconnect();
      }
    },
  },
  {
    title: "10 MB in a thousand messages sent just before disconnect() arrive in order",
    async server(half) {
      const server = half.server();
      const heard = new EventLog<number>();
      server.on("n", (_connection, data) => void heard.add((data as { n: number }).n));
      await half.open(server);
      assert.deepEqual(await heard.count(1000), numbers(1000));
    },
    async client(half) {
      const client = await half.join({ sendQueueSize: 1000, sendQueueBytes: 64 * 1024 * 1024 });
      for (let n = 0; n < 1000; n++) client.send("n", { n, filler: "x".repeat(10_000) });
      await client.disconnect();
    },
  },
  {
    title: "10 MB in a thousand messages sent just before connection.close() arrive in order",
    async server(half) {
      const server = half.server({ sendQueueSize: 1000, sendQueueBytes: 64 * 1024 * 1024 });
      const connection = await (await half.open(server)).next();
      await half.waitFor("ready");
      for (let n = 0; n < 1000; n++) connection.send("n", { n, filler: "x".repeat(10_000) });
      await connection.close("done");
    },
    async client(half) {
      const client = await half.client();
      const heard = new EventLog<number>();
      client.on("n", (data) => void heard.add((data as { n: number }).n));
      const left = new EventLog<CloseReason>();
      client.onDisconnect((_client, reason) => left.add(reason));
      await client.connect();
      half.tell("ready");
      assert.equal((await left.next()).message, "done");
      assert.deepEqual(heard.all, numbers(1000));
    },
  },
  {
    title: "a client whose login is under way when the server stops is refused with SERVER_STOPPING",
    async server(half) {
      const server = half.server();
      await half.open(server);
      await half.waitFor("under way");
      await server.stop();
      half.tell("stopped");
    },
    async client(half) {
      const { runtime } = half.subject;
      // Delays the key until the server has rejected the login and stopped.
      const pbkdf2Sha256: typeof runtime.crypto.pbkdf2Sha256 = async (...args) => {
        half.tell("under way");
        await half.waitFor("stopped");
        return runtime.crypto.pbkdf2Sha256(...args);
      };
      // A unique password, because the key of another password might be cached.
      const settings = { password: "asked for the first time" };
      const client = await half.client(settings, { ...runtime, crypto: { ...runtime.crypto, pbkdf2Sha256 } });
      assert.equal((await failureOf(client.connect())).code, ErrorCode.SERVER_STOPPING);
    },
  },
];
