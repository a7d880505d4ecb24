import assert from "node:assert/strict";
import { type CloseReason, ErrorCode } from "@netconduit/core";
import { failureOf, Heard, thrownBy } from "../../behaviour/heard.ts";
import { SteppedClock } from "../../behaviour/stepped-clock.ts";
import type { Scenario } from "../scenario.ts";

/** Limits on size and rate. */
export const limits: readonly Scenario[] = [
  {
    title: "a message over the sender's maxMessageBytes is MESSAGE_TOO_LARGE before anything is sent, on either end",
    async server(half) {
      const server = half.server({ maxMessageBytes: 1024 });
      server.on("chat", () => "got it");
      const connection = await (await half.open(server)).next();
      const failure = thrownBy(() => connection.send("large", "x".repeat(2000)));
      assert.deepEqual(
        [failure.code, (failure.details as { limit: number }).limit],
        [ErrorCode.MESSAGE_TOO_LARGE, 1024],
      );
      assert.equal(
        (await failureOf(connection.call("any", { x: "x".repeat(2000) }))).code,
        ErrorCode.MESSAGE_TOO_LARGE,
      );
    },
    async client(half) {
      const client = await half.join({ maxMessageBytes: 1024 });
      assert.equal(thrownBy(() => client.send("chat", "x".repeat(2000))).code, ErrorCode.MESSAGE_TOO_LARGE);
      assert.equal((await failureOf(client.request("chat", "x".repeat(2000)))).code, ErrorCode.MESSAGE_TOO_LARGE);
      assert.equal(await client.request("chat", "x"), "got it");
    },
  },
  {
    title: "a message over the server's maxMessageBytes ends the connection with MESSAGE_TOO_LARGE, told to its client",
    async server(half) {
      const server = half.server({ maxMessageBytes: 4096 });
      const left = new Heard<CloseReason>();
      server.onClientDisconnect((_connection, reason) => left.add(reason));
      const handled = new Heard<unknown>();
      server.on("chat", (_connection, data) => void handled.add(data));
      await half.open(server);
      const { code, byPeer } = await left.next();
      assert.deepEqual([code, byPeer], [ErrorCode.MESSAGE_TOO_LARGE, false]);
      assert.equal(handled.all.length, 0);
    },
    async client(half) {
      const client = await half.join();
      const left = new Heard<CloseReason>();
      client.onDisconnect((_client, reason) => left.add(reason));
      const call = failureOf(client.call("chat", { text: "x".repeat(5000) }));
      const { code, byPeer } = await left.next();
      assert.deepEqual([code, byPeer], [ErrorCode.MESSAGE_TOO_LARGE, true]);
      const failure = await call;
      assert.equal(failure.code, ErrorCode.CONNECTION_CLOSED);
      assert.match(failure.message, /exceeds the limit of 4096 bytes \(option maxMessageBytes of the server/);
      assert.equal((await (await half.join()).call("listall")) !== null, true);
    },
  },
  {
    title: "a message over the client's maxMessageBytes ends the connection with MESSAGE_TOO_LARGE, told to its server",
    async server(half) {
      const server = half.server();
      const left = new Heard<CloseReason>();
      server.onClientDisconnect((_connection, reason) => left.add(reason));
      const connection = await (await half.open(server)).next();
      connection.send("chat", "x".repeat(5000));
      const { code, byPeer } = await left.next();
      assert.deepEqual([code, byPeer], [ErrorCode.MESSAGE_TOO_LARGE, true]);
    },
    async client(half) {
      const client = await half.client({ maxMessageBytes: 4096 });
      const left = new Heard<CloseReason>();
      client.onDisconnect((_client, reason) => left.add(reason));
      await client.connect();
      const { code, byPeer } = await left.next();
      assert.deepEqual([code, byPeer], [ErrorCode.MESSAGE_TOO_LARGE, false]);
    },
  },
  {
    title: "a payload that inflates beyond maxMessageBytes costs that call alone: INFLATED_TOO_LARGE",
    async server(half) {
      const server = half.server({ maxMessageBytes: 64 * 1024 });
      server.rpc("length", ({ text }) => (text as string).length);
      await half.open(server);
    },
    async client(half) {
      const client = await half.join({ enableCompression: true });
      const failure = await failureOf(client.call("length", { text: "x".repeat(1_000_000) }));
      assert.equal(failure.code, ErrorCode.INFLATED_TOO_LARGE);
      assert.equal(await client.call("length", { text: "x".repeat(60_000) }), 60_000);
    },
  },
  {
    title: "a call or request over the rate limit is RATE_LIMITED with retry_after, and passes when that has gone by",
    async server(half) {
      const clock = new SteppedClock(half.subject.runtime);
      const server = half.server({ rateLimit: { messagesPerSecond: 2 } }, clock.runtime);
      server.rpc("ping", () => "pong");
      server.on("ping", () => "pong");
      const stages = new Heard<string>();
      server.onError((_error, { stage }) => stages.add(stage));
      await half.open(server);
      await half.recordReceive("refused");
      assert.deepEqual(await stages.count(2), ["rate-limit", "rate-limit"]);
      clock.advance(510);
      half.tell("half a second later");
    },
    async client(half) {
      const client = await half.join();
      await client.call("ping");
      await client.request("ping");
      for (const result of [client.call("ping"), client.request("ping")]) {
        const failure = await failureOf(result);
        assert.deepEqual([failure.code, failure.details], [ErrorCode.RATE_LIMITED, { retry_after: 0.5 }]);
      }
      half.tell("refused");
      await half.recordReceive("half a second later");
      assert.equal(await client.call("ping"), "pong");
    },
  },
  {
    title: "a message over the rate limit is dropped, counted and reported; the limit is each client's own",
    async server(half) {
      const clock = new SteppedClock(half.subject.runtime);
      const server = half.server({ rateLimit: { messagesPerSecond: 3, bytesPerSecond: 100_000 } }, clock.runtime);
      const heard = new Heard<unknown>();
      server.on("chat", (_connection, data) => void heard.add(data));
      const first = await (await half.open(server)).next();
      await half.until(() => first.stats.messagesReceived === 5);
      assert.deepEqual(heard.all, [0, 1, 2]);
      assert.equal(first.stats.rateLimited, 2);
      half.tell("next");
      await heard.count(4);
      assert.equal(heard.all[3], "of another");
    },
    async client(half) {
      const client = await half.join();
      for (let n = 0; n < 5; n++) client.send("chat", n);
      await half.recordReceive("next");
      const other = await half.join();
      other.send("chat", "of another");
    },
  },
  {
    title: "the rate limit counts real bytes, however few keys they are behind",
    async server(half) {
      const clock = new SteppedClock(half.subject.runtime);
      const server = half.server({ rateLimit: { bytesPerSecond: 10_000 } }, clock.runtime);
      const heard = new Heard<number>();
      server.on("blob", (_connection, data) => void heard.add((data as { blob: Uint8Array }).blob.length));
      const connection = await (await half.open(server)).next();
      await half.until(() => connection.stats.messagesReceived === 3);
      assert.deepEqual(heard.all, [6000, 2000]);
      assert.equal(connection.stats.rateLimited, 1);
    },
    async client(half) {
      const client = await half.join();
      for (const length of [6000, 6000, 2000]) client.send("blob", { blob: new Uint8Array(length) });
    },
  },
];
