import assert from "node:assert/strict";
import { gate, Heard } from "../../behaviour/heard.ts";
import type { Scenario } from "../scenario.ts";

const MANY = 10_000;
const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

/** In which order messages arrive and handlers start. */
export const order: readonly Scenario[] = [
  {
    title: "10,000 messages of a client arrive in their order",
    async server(half) {
      const server = half.server();
      const heard = new Heard<unknown>();
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
    title: "10,000 messages of a server arrive in their order, broadcasts among them",
    async server(half) {
      const server = half.server();
      const connection = await (await half.open(server)).next();
      await half.recordReceive("ready");
      for (let n = 0; n < MANY; n += 2) {
        connection.send("n", n);
        server.broadcast("n", n + 1);
        if (n % 100 === 0) await connection.drained();
      }
      await half.recordReceive("all");
    },
    async client(half) {
      const client = await half.join();
      const heard = new Heard<unknown>();
      client.on("n", heard.add);
      half.tell("ready");
      assert.deepEqual(await heard.count(MANY), numbers(MANY));
      half.tell("all");
    },
  },
  {
    title: "handlers start in the order in which messages, requests and calls were sent, slow or not",
    async server(half) {
      const server = half.server({ handlerConcurrency: 3 });
      const started: unknown[] = [];
      const work = async (n: unknown): Promise<unknown> => {
        started.push(n);
        for (let turns = Number(n) % 5; turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
        return n;
      };
      server.on("n", (_connection, data) => work(data));
      server.rpc("n", ({ n }) => work(n));
      await half.open(server);
      await half.recordReceive("all");
      assert.deepEqual(started, numbers(300));
    },
    async client(half) {
      const client = await half.join();
      const answers: Promise<unknown>[] = [];
      for (let n = 0; n < 300; n += 3) {
        client.send("n", n);
        answers.push(client.call("n", { n: n + 1 }), client.request("n", n + 2));
      }
      await Promise.all(answers);
      half.tell("all");
    },
  },
  {
    title: "requests of one type at once each get their own answer",
    async server(half) {
      const server = half.server();
      const last = gate();
      server.on("echo", async (_connection, data) => {
        if (data === 0) await last.promise;
        if (data === 99) last.open();
        return data;
      });
      await half.open(server);
    },
    async client(half) {
      const client = await half.join();
      assert.deepEqual(await Promise.all(numbers(100).map((n) => client.request("echo", n))), numbers(100));
    },
  },
];
