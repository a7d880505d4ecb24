import assert from "node:assert/strict";
import { type CloseReason, ErrorCode } from "@netconduit/core";
import { failureOf, Heard } from "../../behaviour/heard.ts";
import { SteppedClock } from "../../behaviour/stepped-clock.ts";
import type { OpenClient, OpenServer } from "../../behaviour/subject.ts";
import type { ClientHalf, ClientSettings } from "../client-half.ts";
import { PASSWORD } from "../half.ts";
import type { Scenario } from "../scenario.ts";
import type { ServerHalf, ServerSettings } from "../server-half.ts";

const RECONNECT = { enabled: true, attempts: 4, delayMs: 1000, maxDelayMs: 3000, multiplier: 2, jitter: false };

/** A server that stops once its clients are there, and may be followed by another one on its port. */
async function vanish(half: ServerHalf, clients = 1): Promise<(options?: ServerSettings) => OpenServer> {
  const first = half.server();
  await (await half.open(first)).count(clients);
  const { port } = first.address;
  await first.stop();
  // Until here the system may have taken a connection for it, to reset it.
  half.tell("gone");
  return (options) => half.server({ port, ...options });
}

interface Orphan {
  readonly client: OpenClient;
  readonly clock: SteppedClock;
  readonly errors: Heard<number>;
}

/** A client on a stepped clock whose server has just gone. */
async function orphan(half: ClientHalf, options: ClientSettings = {}): Promise<Orphan> {
  const clock = new SteppedClock(half.subject.runtime);
  const client = await half.client({ reconnect: RECONNECT, ...options }, clock.runtime);
  const errors = new Heard<number>();
  client.onError((error) => errors.add((error as unknown as { code: number }).code));
  const lost = new Heard<CloseReason>();
  client.onDisconnect((_client, reason) => lost.add(reason));
  await client.connect();
  assert.equal((await lost.next()).code, ErrorCode.SERVER_STOPPING);
  await half.recordReceive("gone");
  return { client, clock, errors };
}

/** Waits until the client waits for exactly `delayMs`, and lets them pass. */
async function pass(half: ClientHalf, { clock }: Orphan, delayMs: number): Promise<void> {
  await half.until(() => clock.delays.includes(delayMs));
  clock.advance(delayMs);
}

/** A client that comes back by itself. */
export const reconnect: readonly Scenario[] = [
  {
    title: "a client comes back to a server that was started again: new session, same handlers, onReconnect",
    async server(half) {
      const restart = await vanish(half);
      const second = restart();
      second.rpc("ping", () => "pong");
      const arrivals = await half.open(second);
      const connection = await arrivals.next();
      await half.recordReceive("back");
      assert.equal(await connection.call("who"), "Ada");
      second.broadcast("news", 1);
      await half.recordReceive("heard");
    },
    async client(half) {
      const alone = await orphan(half);
      const { client } = alone;
      const log = new Heard<string>();
      client.onConnect(() => log.add("connect"));
      client.onReconnect(() => log.add("reconnect"));
      client.rpc("who", () => "Ada");
      const news = new Heard<unknown>();
      client.on("news", news.add);
      const token = client.sessionToken;
      await half.nextPlace();
      await pass(half, alone, 1000);
      assert.deepEqual(await log.count(2), ["connect", "reconnect"]);
      assert.notEqual(client.sessionToken, token);
      assert.equal(client.health().reconnectAttempts, 0);
      half.tell("back");
      assert.equal(await client.call("ping"), "pong");
      assert.equal(await news.next(), 1);
      half.tell("heard");
    },
  },
  {
    title: "the waits between tries grow by the multiplier up to the longest, then RECONNECT_FAILED",
    async server(half) {
      await vanish(half);
    },
    async client(half) {
      const alone = await orphan(half);
      const { client, clock, errors } = alone;
      let tried = 0;
      for (const delayMs of [1000, 2000, 3000, 3000]) {
        await half.until(() => clock.delays.filter((delay) => [1000, 2000, 3000].includes(delay)).length > tried);
        assert.equal(clock.delays.at(-1), delayMs);
        clock.advance(delayMs);
        tried += 1;
        await errors.count(tried);
      }
      await errors.count(5);
      assert.deepEqual(errors.all, [...new Array(4).fill(ErrorCode.CONNECTION_REFUSED), ErrorCode.RECONNECT_FAILED]);
      assert.equal(client.state, "failed");
    },
  },
  {
    title: "a password that is wrong by now ends reconnecting",
    async server(half) {
      const restart = await vanish(half);
      const second = restart({ password: "changed" });
      await half.open(second);
      await half.recordReceive("ended");
      assert.deepEqual([second.stats.accepted, second.stats.authFailures], [1, 1]);
    },
    async client(half) {
      const alone = await orphan(half);
      const { client, clock, errors } = alone;
      await half.nextPlace();
      await pass(half, alone, 1000);
      assert.deepEqual(await errors.count(2), [ErrorCode.AUTH_FAILED, ErrorCode.RECONNECT_FAILED]);
      for (let n = 0; n < 5; n++) clock.advance(60_000);
      assert.equal(client.state, "failed");
      half.tell("ended");
    },
  },
  {
    title: "a password that is a function is asked at every try, so a wrong one does not end it",
    async server(half) {
      const restart = await vanish(half);
      await (await half.open(restart({ password: "changed" }))).next();
    },
    async client(half) {
      let password = PASSWORD;
      const alone = await orphan(half, { password: async () => password });
      const back = new Heard<unknown>();
      alone.client.onReconnect(back.add);
      await half.nextPlace();
      await pass(half, alone, 1000);
      assert.equal(await alone.errors.next(), ErrorCode.AUTH_FAILED);
      password = "changed";
      await pass(half, alone, 2000);
      await back.next();
    },
  },
  {
    title: "queueWhileDisconnected: what is sent meanwhile is rejected at once, or kept and sent in its order",
    async server(half) {
      const restart = await vanish(half, 2);
      const second = restart();
      const heard = new Heard<unknown>();
      second.on("n", (_connection, data) => void heard.add(data));
      second.rpc("add", ({ a }) => {
        heard.add("call");
        return a;
      });
      await half.recordReceive("queued");
      await half.open(second);
      assert.deepEqual(await heard.count(4), [0, 1, "call", 2]);
    },
    async client(half) {
      const rejecting = await half.join({ reconnect: { ...RECONNECT, delayMs: 60_000, maxDelayMs: 60_000 } });
      const alone = await orphan(half, { queueWhileDisconnected: "send" });
      await half.until(() => !rejecting.isConnected);
      assert.equal((await failureOf(rejecting.call("any"))).code, ErrorCode.CONNECTION_CLOSED);
      const { client } = alone;
      client.send("n", 0);
      client.send("n", 1);
      const called = client.call("add", { a: 1 });
      client.send("n", 2);
      half.tell("queued");
      await half.nextPlace();
      await pass(half, alone, 1000);
      assert.equal(await called, 1);
    },
  },
  {
    title: "disconnect() ends the waiting, connect() takes the place of the next try",
    async server(half) {
      const restart = await vanish(half);
      const second = restart();
      await half.open(second);
      await half.recordReceive("done");
      assert.equal(second.stats.accepted, 1);
    },
    async client(half) {
      const alone = await orphan(half);
      const { client, clock } = alone;
      await half.nextPlace();
      await half.until(() => clock.delays.includes(1000));
      await client.disconnect();
      for (let n = 0; n < 5; n++) clock.advance(60_000);
      assert.equal(client.isConnected, false);
      await client.connect();
      for (let n = 0; n < 5; n++) clock.advance(1000);
      assert.equal(client.isConnected, true);
      half.tell("done");
    },
  },
  {
    title: "a client comes back from close(reason, {reconnect: true}), and from a reset of its socket",
    async server(half) {
      const server = half.server();
      const arrivals = await half.open(server);
      const first = await arrivals.next();
      await half.recordReceive("in");
      await first.close("Moving house", { reconnect: true });
      await arrivals.next();
      await half.recordReceive("in");
    },
    async client(half) {
      const client = await half.client({ reconnect: { enabled: true, delayMs: 1, maxDelayMs: 1 } });
      const back = new Heard<unknown>();
      client.onReconnect(back.add);
      const left = new Heard<CloseReason>();
      client.onDisconnect((_client, reason) => left.add(reason));
      await client.connect();
      half.tell("in");
      const { message, byPeer, reconnect: mayReturn } = await left.next();
      assert.deepEqual([message, byPeer, mayReturn], ["Moving house", true, true]);
      await back.next();
      half.tell("in");
    },
  },
];
