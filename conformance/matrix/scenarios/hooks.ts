import assert from "node:assert/strict";
import { type CloseReason, ErrorCode, error, type StateChange } from "@netconduit/core";
import { failureOf, gate, Heard } from "../../behaviour/heard.ts";
import type { Scenario } from "../scenario.ts";

const moves = (changes: readonly StateChange[]): string[] => changes.map(({ from, to }) => `${from} > ${to}`);

/** Hooks, states, sessions, data and statistics. */
export const hooks: readonly Scenario[] = [
  {
    title: "a server's hooks run in order: startup, listening, connect, disconnect, shutdown",
    async server(half) {
      const log = new Heard<string>();
      const server = half.server();
      server.onStartup(async ({ state }) => {
        await Promise.resolve();
        log.add(`startup ${state}`);
      });
      server.onListening(({ address }) => log.add(`listening ${address.port > 0}`));
      server.onClientConnect(async ({ info }) => {
        await Promise.resolve();
        log.add(`connect ${info.name}`);
      });
      server.onClientConnect(() => log.add("connect again"));
      server.onClientConnect(() => log.add("removed"))();
      server.onClientDisconnect(({ info }, { message }) => log.add(`disconnect ${info.name}: ${message}`));
      server.onShutdown(({ state }) => log.add(`shutdown ${state}`));
      await half.open(server);
      await log.count(5);
      await server.stop();
      assert.deepEqual(log.all, [
        "startup starting",
        "listening true",
        "connect Ada",
        "connect again",
        "disconnect Ada: enough for today",
        "shutdown stopping",
      ]);
    },
    async client(half) {
      const client = await half.join({ name: "Ada" });
      await client.disconnect("enough for today");
    },
  },
  {
    title: "a client's hooks run in order: connect before connect() resolves, disconnect once, with the reason",
    async server(half) {
      await (await half.open(half.server())).count(2);
    },
    async client(half) {
      const client = await half.client();
      const log: string[] = [];
      client.onConnect(async ({ state }) => {
        await new Promise((resolve) => setImmediate(resolve));
        log.push(`connect ${state}`);
      });
      client.onDisconnect((_client, { code, byPeer }) => void log.push(`disconnect ${code} ${byPeer}`));
      client.onReconnect(() => void log.push("reconnect"));
      for (let n = 0; n < 2; n++) {
        await client.connect();
        await client.disconnect();
      }
      const connect = log[0];
      assert.match(connect ?? "", /^connect (connected|active)$/);
      assert.deepEqual(log, [connect, "disconnect 5010 false", connect, "disconnect 5010 false"]);
    },
  },
  {
    title: "a connect hook that throws an RpcError turns the client away with its code and message",
    async server(half) {
      const server = half.server();
      server.onClientConnect(({ info }) => {
        if (info.name === "banned") throw error("You are banned", { code: 451 });
      });
      const left = new Heard<CloseReason>();
      server.onClientDisconnect((_connection, reason) => left.add(reason));
      await half.open(server);
      assert.equal((await left.next()).code, 451);
      assert.equal(server.connectionCount, 0);
      half.tell("turned away");
    },
    async client(half) {
      const banned = await half.client({ name: "banned", reconnect: { enabled: true, delayMs: 1 } });
      const left = new Heard<CloseReason>();
      banned.onDisconnect((_client, reason) => left.add(reason));
      const failure = await banned.connect().then(
        () => null,
        (failed: { code: number }) => failed,
      );
      if (failure === null) {
        const { code, message, byPeer, reconnect } = await left.next();
        assert.deepEqual([code, message, byPeer, reconnect], [451, "You are banned", true, false]);
      } else {
        assert.equal(failure.code, 451);
      }
      await half.recordReceive("turned away");
      assert.equal((await half.join({ name: "welcome" })).isConnected, true);
    },
  },
  {
    title: "a connection's messages and calls wait for its connect hooks; another connection's do not",
    async server(half) {
      const server = half.server();
      const slow = gate();
      const log: unknown[] = [];
      server.onClientConnect(async ({ info }) => {
        if (info.name !== "slow") return;
        await slow.promise;
        log.push("hook");
      });
      server.on("n", (_connection, data) => void log.push(data));
      server.rpc("log", () => log);
      server.rpc("release", () => slow.open());
      await half.open(server);
    },
    async client(half) {
      const first = await half.client({ name: "slow" });
      const connecting = first.connect();
      const second = await half.join({ name: "fast" });
      await connecting;
      for (let n = 0; n < 10; n++) first.send("n", n);
      const waiting = first.call("log");
      assert.deepEqual(await second.call("log"), []);
      await second.call("release");
      assert.deepEqual(await waiting, ["hook", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    },
  },
  {
    title: "a connect hook may send to its client, call it and await the answer",
    async server(half) {
      const server = half.server();
      const answers = new Heard<unknown>();
      server.onClientConnect(async (connection) => {
        connection.send("welcome", connection.id);
        answers.add(await connection.call("who"));
      });
      await half.open(server);
      assert.equal(await answers.next(), "Ada");
    },
    async client(half) {
      const client = await half.client();
      const heard = new Heard<unknown>();
      client.on("welcome", heard.add);
      client.rpc("who", () => "Ada");
      await client.connect();
      assert.equal(typeof (await heard.next()), "string");
    },
  },
  {
    title: "hooks that throw are reported to onError with their name, and stop nothing",
    async server(half) {
      const server = half.server();
      const errors = new Heard<string>();
      server.onError(({ message }, { stage, name }) => errors.add(`${stage} ${name}: ${message}`));
      server.onClientConnect(() => {
        throw new Error("one");
      });
      server.onClientDisconnect(async () => {
        throw new Error("two");
      });
      server.onClientRejected(() => {
        throw new Error("three");
      });
      server.rpc("ping", () => "pong");
      await half.open(server);
      await errors.count(3);
      assert.deepEqual([...errors.all].sort(), [
        "hook onClientConnect: one",
        "hook onClientDisconnect: two",
        "hook onClientRejected: three",
      ]);
    },
    async client(half) {
      const client = await half.join();
      assert.equal(await client.call("ping"), "pong");
      await client.disconnect();
      await failureOf((await half.client({ password: "wrong" })).connect());
    },
  },
  {
    title: "state events of both ends tell each move, from dialling to the end, with its reason",
    async server(half) {
      const changes = new Heard<StateChange>();
      const server = half.server();
      const left = new Heard<unknown>();
      server.onClientDisconnect(left.add);
      server.onClientConnect((connection) => void connection.onStateChange(changes.add));
      const connection = await (await half.open(server)).next();
      await half.recordReceive("connected");
      await connection.close("enough");
      await left.next();
      assert.deepEqual(moves(changes.all), ["connected > active", "active > closing", "closing > closed"]);
      assert.deepEqual(changes.all[1]?.reason, { code: ErrorCode.CONNECTION_CLOSED, message: "enough" });
    },
    async client(half) {
      const client = await half.client();
      const changes = new Heard<StateChange>();
      client.onStateChange(changes.add);
      assert.equal(client.state, "disconnected");
      await client.connect();
      half.tell("connected");
      await half.until(() => client.state === "closed");
      assert.deepEqual(moves(changes.all), [
        "disconnected > connecting",
        "connecting > authenticating",
        "authenticating > connected",
        "connected > active",
        "active > closing",
        "closing > closed",
      ]);
      assert.equal(changes.all[4]?.reason.message, "enough");
    },
  },
  {
    title: "each connection has data of its own, made by connectionData, until its disconnect hook",
    async server(half) {
      const server = half.server({ connectionData: () => ({ score: 0 }) });
      server.rpc("score", (_params, { client }) => {
        client.data["score"] = Number(client.data["score"]) + 1;
        return client.data["score"];
      });
      const left = new Heard<unknown>();
      server.onClientDisconnect(({ data }) => left.add(data["score"]));
      await half.open(server);
      assert.deepEqual([await left.next(), await left.next()], [2, 1]);
    },
    async client(half) {
      const [ada, bob] = [await half.join(), await half.join()];
      await ada.call("score");
      assert.equal(await ada.call("score"), 2);
      assert.equal(await bob.call("score"), 1);
      await ada.disconnect();
      await bob.disconnect();
    },
  },
  {
    title: "statistics of a connection count its messages and the very bytes of both directions",
    async server(half) {
      const server = half.server();
      server.on("n", () => "answer");
      const connection = await (await half.open(server)).next();
      connection.send("news", 1);
      await half.recordReceive("done");
      const { stats } = connection;
      assert.deepEqual([stats.messagesReceived, stats.messagesSent], [10, 1]);
      assert.deepEqual([stats.errors, stats.dropped, stats.rateLimited], [0, 0, 0]);
      assert.ok(stats.bytesReceived > 10 * 1000, String(stats.bytesReceived));
      assert.ok(stats.bytesSent > 10 * 32, String(stats.bytesSent));
      const { accepted, loggedIn, authFailures, rejected } = server.stats;
      assert.deepEqual([accepted, loggedIn, authFailures, rejected], [1, 1, 0, 0]);
    },
    async client(half) {
      const client = await half.client();
      const heard = new Heard<unknown>();
      client.on("news", heard.add);
      await client.connect();
      for (let n = 0; n < 10; n++) assert.equal(await client.request("n", new Uint8Array(1000)), "answer");
      await heard.next();
      half.tell("done");
    },
  },
  {
    title: "both ends know both addresses, and keep them after the end",
    async server(half) {
      const server = half.server();
      const connection = await (await half.open(server)).next();
      const { local, remote, remoteAddress } = connection;
      assert.ok(local.kind === "tcp" && remote.kind === "tcp");
      assert.deepEqual([local.host, local.port], ["127.0.0.1", server.address.port]);
      assert.deepEqual([remote.host, remote.family], ["127.0.0.1", "IPv4"]);
      assert.equal(remoteAddress, `127.0.0.1:${remote.port}`);
      assert.equal(connection.tls, null);
      await connection.close();
      assert.deepEqual([connection.remoteAddress, connection.local], [remoteAddress, local]);
    },
    async client(half) {
      const client = await half.client();
      const left = new Heard<unknown>();
      client.onDisconnect(left.add);
      await client.connect();
      await left.next();
    },
  },
];
