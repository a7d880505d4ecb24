import assert from "node:assert/strict";
import { type CloseReason, ErrorCode } from "@netconduit/core";
import { failureOf, gate, Heard, thrownBy } from "../../behaviour/heard.ts";
import type { Scenario } from "../scenario.ts";

const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

/** How connections and servers end. */
export const closing: readonly Scenario[] = [
  {
    title: "a client's reason for its leaving reaches the server's hook, once",
    async server(half) {
      const server = half.server();
      const left = new Heard<CloseReason>();
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
    title: "a client that the server closes is told why behind what was sent, and does not come back",
    async server(half) {
      const server = half.server();
      const connection = await (await half.open(server)).next();
      connection.send("last", "words");
      await connection.close("Kicked for spam");
      await half.recordReceive("told");
      assert.equal(server.stats.loggedIn, 1);
    },
    async client(half) {
      const client = await half.client({ reconnect: { enabled: true, delayMs: 1, maxDelayMs: 1 } });
      const log = new Heard<unknown>();
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
    title: "what a client sends just before it disconnects arrives: 200 connections, one after the other",
    async server(half) {
      const server = half.server();
      const heard = new Heard<unknown>();
      server.on("last words", (_connection, data) => void heard.add(data));
      await half.open(server);
      assert.deepEqual(await heard.count(200), numbers(200));
    },
    async client(half) {
      const client = await half.client();
      for (let n = 0; n < 200; n++) {
        await client.connect();
        client.send("last words", n);
        await client.disconnect();
      }
    },
  },
  {
    title: "10 MB in a thousand messages, sent just before disconnect(), all arrive in order",
    async server(half) {
      const server = half.server();
      const heard = new Heard<number>();
      server.on("n", (_connection, data) => void heard.add((data as { n: number }).n));
      await half.open(server);
      assert.deepEqual(await heard.count(1000), numbers(1000));
    },
    async client(half) {
      const client = await half.join({ sendQueueSize: 2000, sendQueueBytes: 64 * 1024 * 1024 });
      for (let n = 0; n < 1000; n++) client.send("n", { n, filler: "x".repeat(10_000) });
      await client.disconnect();
    },
  },
  {
    title: "10 MB in a thousand messages, sent just before connection.close(), all arrive in order",
    async server(half) {
      const server = half.server({ sendQueueSize: 2000, sendQueueBytes: 64 * 1024 * 1024 });
      const connection = await (await half.open(server)).next();
      await half.recordReceive("ready");
      for (let n = 0; n < 1000; n++) connection.send("n", { n, filler: "x".repeat(10_000) });
      await connection.close("done");
    },
    async client(half) {
      const client = await half.client();
      const heard = new Heard<number>();
      client.on("n", (data) => void heard.add((data as { n: number }).n));
      const left = new Heard<CloseReason>();
      client.onDisconnect((_client, reason) => left.add(reason));
      await client.connect();
      half.tell("ready");
      assert.equal((await left.next()).message, "done");
      assert.deepEqual(heard.all, numbers(1000));
    },
  },
  {
    title: "stop() lets running handlers finish, refuses new calls with SERVER_STOPPING, and tells clients so",
    async server(half) {
      const server = half.server();
      const started = gate();
      const go = gate();
      server.rpc("slow", async (_params, { client }) => {
        started.open();
        await go.promise;
        return client.call("ask");
      });
      server.rpc("ping", () => "pong");
      server.onShutdown((srv) => void srv.broadcast("goodbye", "soon"));
      await half.open(server);
      await started.promise;
      const stopping = server.stop();
      await half.recordReceive("refused");
      assert.equal(server.state, "stopping");
      go.open();
      await stopping;
      assert.deepEqual([server.state, server.connectionCount], ["stopped", 0]);
    },
    async client(half) {
      const client = await half.client();
      client.rpc("ask", () => "told");
      const goodbye = new Heard<unknown>();
      client.on("goodbye", goodbye.add);
      const left = new Heard<CloseReason>();
      client.onDisconnect((_client, reason) => left.add(reason));
      await client.connect();
      const slow = client.call("slow");
      await goodbye.next();
      // The shutdown hook has run, and its server refuses from then on.
      let refusal: number | null = null;
      while (refusal === null) {
        refusal = await client.call("ping").then(
          () => null,
          (failure: { code: number }) => failure.code,
        );
      }
      assert.equal(refusal, ErrorCode.SERVER_STOPPING);
      half.tell("refused");
      assert.equal(await slow, "told");
      const { code, byPeer, reconnect } = await left.next();
      assert.deepEqual([code, byPeer, reconnect], [ErrorCode.SERVER_STOPPING, true, true]);
    },
  },
  {
    title: "stop({drainMs: 0}) waits for no handler: its signal fires, its caller gets CONNECTION_CLOSED",
    async server(half) {
      const server = half.server();
      const started = gate();
      const fired = new Heard<number>();
      server.rpc("hang", (_params, { signal }) => {
        signal.addEventListener("abort", () => fired.add((signal.reason as { code: number }).code));
        started.open();
        return new Promise(() => {});
      });
      await half.open(server);
      await started.promise;
      await server.stop({ drainMs: 0 });
      assert.equal(await fired.next(), ErrorCode.CONNECTION_CLOSED);
    },
    async client(half) {
      const client = await half.join();
      assert.equal((await failureOf(client.call("hang"))).code, ErrorCode.CONNECTION_CLOSED);
    },
  },
  {
    title: "a login under way when the server stops is refused with SERVER_STOPPING",
    async server(half) {
      const server = half.server();
      await half.open(server);
      await half.recordReceive("under way");
      await server.stop();
      half.tell("stopped");
    },
    async client(half) {
      const { runtime } = half.subject;
      // Its key is not ready before the server has refused it and is gone.
      const pbkdf2Sha256: typeof runtime.crypto.pbkdf2Sha256 = async (...args) => {
        half.tell("under way");
        await half.recordReceive("stopped");
        return runtime.crypto.pbkdf2Sha256(...args);
      };
      // A password of its own: keys that were derived before would be known already.
      const settings = { password: "asked for the first time" };
      const client = await half.client(settings, { ...runtime, crypto: { ...runtime.crypto, pbkdf2Sha256 } });
      assert.equal((await failureOf(client.connect())).code, ErrorCode.SERVER_STOPPING);
    },
  },
  {
    title: "a server stops and starts again on its port three times, with its handlers; between, nothing listens",
    async server(half) {
      const server = half.server();
      server.rpc("ping", () => "pong");
      await half.open(server);
      const { port } = server.address;
      const again = half.server({ port });
      again.rpc("ping", () => "pong");
      let running = server;
      for (let round = 0; round < 3; round++) {
        await half.recordReceive("served");
        await running.stop();
        half.tell("stopped");
        await half.recordReceive("refused");
        await again.start();
        running = again;
        half.tell("started");
      }
    },
    async client(half) {
      const client = await half.client();
      for (let round = 0; round < 3; round++) {
        await client.connect();
        assert.equal(await client.call("ping"), "pong");
        half.tell("served");
        await half.recordReceive("stopped");
        assert.equal((await failureOf(client.connect())).code, ErrorCode.CONNECTION_REFUSED);
        half.tell("refused");
        await half.recordReceive("started");
      }
      await client.connect();
    },
  },
];
