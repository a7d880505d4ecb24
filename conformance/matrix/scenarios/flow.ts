import assert from "node:assert/strict";
import { ErrorCode } from "@netconduit/core";
import { failureOf, gate, Heard, thrownBy, turn } from "../../behaviour/heard.ts";
import { frame, Type } from "../../behaviour/raw-peer.ts";
import type { Scenario } from "../scenario.ts";

/** Small queues at both ends, so that every wait there is occurs. */
const SMALL = {
  handlerConcurrency: 2,
  receiveQueueSize: 10,
  sendQueueSize: 20,
  maxMessageBytes: 64 * 1024,
  sendQueueBytes: 256 * 1024,
  receiveQueueBytes: 256 * 1024,
};

interface Sender {
  send(type: string, data: unknown): boolean;
  drained(): Promise<void>;
}

async function flood(sender: Sender, count: number, data: unknown): Promise<void> {
  for (let n = 0; n < count; n++) if (!sender.send("n", data)) await sender.drained();
}

/** Two peers that flood each other with more than their queues hold. */
function floodScenario(size: string, data: string): Scenario {
  return {
    title: `two peers that flood each other with ${size} messages through small queues lose none`,
    async server(half) {
      const server = half.server(SMALL);
      const heard = new Heard<number>();
      server.on("n", async (_connection, got) => {
        await turn();
        heard.add((got as string).length);
      });
      const connection = await (await half.open(server)).next();
      await half.recordReceive("ready");
      await flood(connection, 1000, data);
      const lengths = await heard.count(1000);
      assert.deepEqual([lengths.length, new Set(lengths)], [1000, new Set([data.length])]);
      await half.recordReceive("all");
    },
    async client(half) {
      const client = await half.client(SMALL);
      const heard = new Heard<number>();
      client.on("n", async (got) => {
        await turn();
        heard.add((got as string).length);
      });
      await client.connect();
      half.tell("ready");
      await flood(client, 1000, data);
      const lengths = await heard.count(1000);
      assert.deepEqual([lengths.length, new Set(lengths)], [1000, new Set([data.length])]);
      half.tell("all");
    },
  };
}

/** Bounded queues in both directions, and what the peers tell each other about them. */
export const flow: readonly Scenario[] = [
  {
    title: "a server whose handlers lag asks its client to pause and to resume; nothing is lost, in either state",
    async server(half) {
      const server = half.server({ handlerConcurrency: 1, receiveQueueSize: 10 });
      const go = gate();
      const heard = new Heard<unknown>();
      server.on("work", async (_connection, data) => {
        await go.promise;
        heard.add(data);
      });
      await half.open(server);
      await half.recordReceive("paused");
      go.open();
      const sent = await half.recordReceive<number>("sent");
      assert.deepEqual(
        await heard.count(sent),
        Array.from({ length: sent }, (_, n) => n),
      );
    },
    async client(half) {
      const client = await half.join({ sendQueueSize: 50 });
      const states: string[] = [];
      client.onStateChange(({ to }) => states.push(to));
      let sent = 0;
      // One message a turn, until the server's PAUSE is here.
      while (client.state !== "paused") {
        client.send("work", sent++);
        await client.drained();
        await half.until(() => client.state === "paused" || client.bufferedBytes === 0);
      }
      while (client.send("work", sent++)) assert.equal(client.state, "paused");
      half.tell("paused");
      await client.drained();
      client.send("work", sent++);
      half.tell("sent", sent);
      await half.until(() => states.includes("active"));
      assert.equal(states[0], "paused");
    },
  },
  {
    title: "a client whose handlers lag pauses its server; send says there is no room, drained() when there is again",
    async server(half) {
      const server = half.server({ sendQueueSize: 10 });
      const connection = await (await half.open(server)).next();
      await half.recordReceive("ready");
      let sent = 0;
      while (connection.state !== "paused") {
        connection.send("work", sent++);
        await half.until(() => connection.state === "paused" || connection.bufferedBytes === 0);
      }
      while (connection.send("work", sent++)) assert.equal(connection.state, "paused");
      let isDrained = false;
      const drained = connection.drained().then(() => {
        isDrained = true;
      });
      await turn();
      assert.equal(isDrained, false);
      half.tell("go");
      await drained;
      connection.send("work", sent++);
      half.tell("sent", sent);
      await half.recordReceive("all");
    },
    async client(half) {
      const client = await half.client({ handlerConcurrency: 1, receiveQueueSize: 10 });
      const go = gate();
      const heard = new Heard<unknown>();
      client.on("work", async (data) => {
        await go.promise;
        heard.add(data);
      });
      await client.connect();
      half.tell("ready");
      await half.recordReceive("go");
      go.open();
      const sent = await half.recordReceive<number>("sent");
      assert.deepEqual(
        await heard.count(sent),
        Array.from({ length: sent }, (_, n) => n),
      );
      half.tell("all");
    },
  },
  {
    title: "a full send queue refuses with SEND_QUEUE_FULL and queues nothing of it; what was taken arrives",
    async server(half) {
      const server = half.server({ sendQueueSize: 10 });
      const connection = await (await half.open(server)).next();
      await half.recordReceive("paused");
      await half.until(() => connection.state === "paused");
      const room = Array.from({ length: 10 }, (_, n) => connection.send("n", n));
      assert.deepEqual(room, [...new Array(7).fill(true), false, false, false]);
      assert.equal(thrownBy(() => connection.send("n", 10)).code, ErrorCode.SEND_QUEUE_FULL);
      assert.equal((await failureOf(connection.call("any"))).code, ErrorCode.SEND_QUEUE_FULL);
      half.tell("full");
      await connection.drained();
      assert.equal(connection.send("n", "last"), true);
    },
    async client(half) {
      const peer = await half.rawLoggedIn();
      peer.write(frame(Type.PAUSE));
      half.tell("paused");
      await half.recordReceive("full");
      peer.write(frame(Type.RESUME));
      const numbers: unknown[] = [];
      while (numbers.at(-1) !== "last") {
        numbers.push(((await peer.nextOf(Type.MESSAGE)).payload as { data: unknown }).data);
      }
      assert.deepEqual(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, "last"]);
    },
  },
  {
    title: "enableBackpressure: false says no PAUSE, stops reading all the same, and loses nothing",
    async server(half) {
      const server = half.server({ handlerConcurrency: 1, receiveQueueSize: 10, enableBackpressure: false });
      const go = gate();
      let handled = 0;
      server.on("work", async () => {
        await go.promise;
        handled += 1;
      });
      server.rpc("handled", () => handled);
      const connection = await (await half.open(server)).next();
      await half.until(() => connection.state === "paused");
      go.open();
    },
    async client(half) {
      const client = await half.join();
      const states: string[] = [];
      client.onStateChange(({ to }) => states.push(to));
      for (let n = 0; n < 100; n++) client.send("work", n);
      assert.equal(await client.call("handled"), 100);
      assert.deepEqual(states, []);
    },
  },
  {
    title: "a server that reads no more holds up only the client that floods it",
    async server(half) {
      const server = half.server({ handlerConcurrency: 1, receiveQueueSize: 10 });
      const go = gate();
      let handled = 0;
      server.on("work", async () => {
        await go.promise;
        handled += 1;
      });
      server.rpc("ping", () => "pong");
      server.rpc("go", () => go.open());
      const flooder = await (await half.open(server)).next();
      await half.until(() => flooder.state === "paused");
      half.tell("paused");
      await half.until(() => handled === 300);
    },
    async client(half) {
      const flooder = await half.rawLoggedIn();
      const chunk = frame(Type.MESSAGE, { type: "work", data: new Uint8Array(60_000) });
      for (let n = 0; n < 300; n++) flooder.write(chunk);
      await half.recordReceive("paused");
      const other = await half.join();
      for (let n = 0; n < 50; n++) assert.equal(await other.call("ping"), "pong");
      await other.call("go");
    },
  },
  floodScenario("small", "x"),
  floodScenario("large", "x".repeat(60_000)),
];
