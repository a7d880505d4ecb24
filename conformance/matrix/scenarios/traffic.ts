import assert from "node:assert/strict";
import { EventLog } from "../../../packages/core/src/testing/event-log.ts";
import { turn } from "../../support/turns.ts";
import type { Scenario } from "../scenario.ts";

const MANY = 10_000;
const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

/** Small queues at both ends, so that each end pauses and resumes many times. */
const SMALL_QUEUES = {
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

/** Two peers flood each other with more messages than fit in their queues. */
function floodScenario(size: string, data: string, count: number): Scenario {
  return {
    title: `two peers that flood each other with ${size} messages through small queues lose none`,
    async server(half) {
      const server = half.server(SMALL_QUEUES);
      const heard = new EventLog<number>();
      server.on("n", async (_connection, got) => {
        await turn();
        heard.add((got as string).length);
      });
      const connection = await (await half.open(server)).next();
      await half.waitFor("ready");
      await flood(connection, count, data);
      const lengths = await heard.count(count);
      assert.deepEqual([lengths.length, new Set(lengths)], [count, new Set([data.length])]);
      await half.waitFor("all");
    },
    async client(half) {
      const client = await half.client(SMALL_QUEUES);
      const heard = new EventLog<number>();
      client.on("n", async (got) => {
        await turn();
        heard.add((got as string).length);
      });
      await client.connect();
      half.tell("ready");
      await flood(client, count, data);
      const lengths = await heard.count(count);
      assert.deepEqual([lengths.length, new Set(lengths)], [count, new Set([data.length])]);
      half.tell("all");
    },
  };
}

/** Many frames in both directions: boundaries, order and back-pressure. */
export const traffic: readonly Scenario[] = [
  {
    title: "10,000 messages of a client arrive in order",
    async server(half) {
      const server = half.server();
      const heard = new EventLog<unknown>();
      server.on("n", (_connection, data) => void heard.add(data));
      await half.open(server);
      assert.deepEqual(await heard.count(MANY), numbers(MANY));
    },
    async client(half) {
      const client = await half.join();
      for (let n = 0; n < MANY; n++) if (!client.send("n", n)) await client.drained();
    },
  },
  {
    title: "10,000 messages of a server arrive in order, broadcasts among them",
    async server(half) {
      const server = half.server();
      const connection = await (await half.open(server)).next();
      await half.waitFor("ready");
      for (let n = 0; n < MANY; n += 2) {
        connection.send("n", n);
        server.broadcast("n", n + 1);
        if (n % 100 === 0) await connection.drained();
      }
      await half.waitFor("all");
    },
    async client(half) {
      const client = await half.join();
      const heard = new EventLog<unknown>();
      client.on("n", heard.add);
      half.tell("ready");
      assert.deepEqual(await heard.count(MANY), numbers(MANY));
      half.tell("all");
    },
  },
  {
    title: "five hundred calls in each direction at the same time are all answered",
    async server(half) {
      const server = half.server();
      server.rpc("square", ({ n }) => Number(n) ** 2);
      const connection = await (await half.open(server)).next();
      await half.waitFor("ready");
      const answers = await Promise.all(numbers(500).map((n) => connection.call("cube", { n })));
      assert.deepEqual(
        answers,
        numbers(500).map((n) => n ** 3),
      );
    },
    async client(half) {
      const client = await half.client();
      client.rpc("cube", async ({ n }) => Number(n) ** 3);
      await client.connect();
      half.tell("ready");
      const answers = await Promise.all(numbers(500).map((n) => client.call("square", { n })));
      assert.deepEqual(
        answers,
        numbers(500).map((n) => n ** 2),
      );
    },
  },
  floodScenario("small", "x", 1000),
  floodScenario("large", "x".repeat(60_000), 400),
];
