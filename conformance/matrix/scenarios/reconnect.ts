import assert from "node:assert/strict";
import { type CloseReason, ErrorCode } from "@netconduit/core";
import { EventLog } from "../../../packages/core/src/testing/event-log.ts";
import { failureOf } from "../../support/failures.ts";
import { SteppedClock } from "../../support/stepped-clock.ts";
import type { Scenario } from "../scenario.ts";

const RECONNECT = { enabled: true, delayMs: 1000, jitter: false };

/** Clients with automatic reconnection. */
export const reconnect: readonly Scenario[] = [
  {
    title: "a client comes back to a server that was started again: new session, same handlers, onReconnect",
    async server(half) {
      const first = half.server();
      await (await half.open(first)).next();
      const { port } = first.address;
      await first.stop();
      const second = half.server({ port });
      second.rpc("ping", () => "pong");
      const connection = await (await half.open(second)).next();
      await half.waitFor("back");
      assert.equal(await connection.call("who"), "Ada");
      second.broadcast("news", 1);
      await half.waitFor("heard");
    },
    async client(half) {
      const clock = new SteppedClock(half.subject.runtime);
      const client = await half.client({ reconnect: RECONNECT }, clock.runtime);
      const log = new EventLog<string>();
      client.onReconnect(() => log.add("reconnect"));
      client.onDisconnect((_client, { code }) => log.add(`disconnect ${code}`));
      client.rpc("who", () => "Ada");
      const news = new EventLog<unknown>();
      client.on("news", news.add);
      await client.connect();
      const token = client.sessionToken;
      assert.equal(await log.next(), `disconnect ${ErrorCode.SERVER_STOPPING}`);
      await half.nextServer();
      await half.until(() => clock.delays.includes(RECONNECT.delayMs));
      clock.advance(RECONNECT.delayMs);
      assert.equal(await log.next(), "reconnect");
      assert.notEqual(client.sessionToken, token);
      assert.equal(client.health().reconnectAttempts, 0);
      half.tell("back");
      assert.equal(await client.call("ping"), "pong");
      assert.equal(await news.next(), 1);
      half.tell("heard");
    },
  },
  {
    title: "a client comes back from close(reason, { reconnect: true })",
    async server(half) {
      const server = half.server();
      const arrivals = await half.open(server);
      const first = await arrivals.next();
      await half.waitFor("connected");
      await first.close("Moving house", { reconnect: true });
      await arrivals.next();
      await half.waitFor("back");
    },
    async client(half) {
      const client = await half.client({ reconnect: { enabled: true, delayMs: 1, maxDelayMs: 1 } });
      const back = new EventLog<unknown>();
      client.onReconnect(back.add);
      const left = new EventLog<CloseReason>();
      client.onDisconnect((_client, reason) => left.add(reason));
      await client.connect();
      half.tell("connected");
      const { message, byPeer, reconnect: mayReturn } = await left.next();
      assert.deepEqual([message, byPeer, mayReturn], ["Moving house", true, true]);
      await back.next();
      half.tell("back");
    },
  },
  {
    title: "a client that the server cuts off without a word notices, its calls reject, and it comes back",
    async server(half) {
      // A client with hanging handlers returns no credit. Broadcasts fill its queue, and it is disconnected as a slow
      // consumer.
      const server = half.server({ slowConsumer: "disconnect", sendQueueSize: 8 });
      server.rpc("hang", () => new Promise(() => {}));
      const ends = new EventLog<CloseReason>();
      server.onClientDisconnect((_connection, reason) => ends.add(reason));
      const arrivals = await half.open(server);
      await arrivals.next();
      await half.waitFor("ready");
      while (server.broadcast("news") > 0);
      assert.equal((await ends.next()).code, ErrorCode.SLOW_CONSUMER);
      await arrivals.next();
      await half.waitFor("back");
    },
    async client(half) {
      const client = await half.client({
        handlerConcurrency: 1,
        receiveQueueSize: 10,
        reconnect: { enabled: true, delayMs: 1, maxDelayMs: 1 },
      });
      client.on("news", () => new Promise(() => {}));
      const back = new EventLog<unknown>();
      client.onReconnect(back.add);
      const left = new EventLog<CloseReason>();
      client.onDisconnect((_client, reason) => left.add(reason));
      await client.connect();
      const pending = failureOf(client.call("hang", {}, { timeoutMs: 0 }));
      half.tell("ready");
      const { code, reconnect: mayReturn } = await left.next();
      // The error at the other end of a destroyed connection depends on the system and the runtime.
      assert.ok(code === ErrorCode.CONNECTION_RESET || code === ErrorCode.CONNECTION_CLOSED, String(code));
      assert.equal(mayReturn, true);
      assert.equal((await pending).code, ErrorCode.CONNECTION_CLOSED);
      await back.next();
      half.tell("back");
    },
  },
];
