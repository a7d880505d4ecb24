/** Attacks by subscribers and publishers of topics. */

import { EXTENSIONS } from "../packages/core/src/test-support/raw-peer.ts";
import { call } from "../packages/core/src/testing/raw-frames.ts";
import type { Attack, AttackContext } from "./lib/attack.ts";

const server = { topics: true };
const extensions = [...EXTENSIONS, "topic"];
/** Number of calls per write. */
const CALLS = 1000;

/** Logs in and repeatedly calls a method, with different parameters each time. Reads the answers. */
async function floodWith(
  context: AttackContext,
  connections: number,
  calls: (n: number) => readonly (readonly [method: string, params: unknown])[],
): Promise<void> {
  let n = 0;
  await context.againInParallel(connections, async () => {
    const socket = await context.logIn(undefined, extensions);
    let id = 1;
    while (!context.isStopped) {
      const frames: Uint8Array[] = [];
      while (frames.length < CALLS) {
        n += 1;
        for (const [method, params] of calls(n)) {
          frames.push(call(id, method, params));
          id += 1;
        }
      }
      await socket.write(Buffer.concat(frames));
    }
  });
}

export const topicAttacks: readonly Attack[] = [
  {
    name: "subscriptions to ever new topics of a pattern, 20 connections",
    server,
    run: (context) => floodWith(context, 20, (n) => [["$topic.subscribe", { topic: `room:${n}`, token: n }]]),
  },
  {
    name: "subscriptions to topics that don't exist",
    server,
    run: (context) => floodWith(context, 1, (n) => [["$topic.subscribe", { topic: `${"nothing ".repeat(20)}${n}` }]]),
  },
  {
    name: "coming to and leaving a topic with presence, 10 connections",
    server,
    run: (context) =>
      floodWith(context, 10, () => [
        ["$topic.subscribe", { topic: "room:lobby" }],
        ["$topic.unsubscribe", { topic: "room:lobby" }],
      ]),
  },
  {
    name: "publishing to a topic with 50 subscribers",
    server,
    run: async (context) => {
      for (let count = 0; count < 50; count += 1) {
        const socket = await context.logIn(undefined, extensions);
        await socket.write(call(1, "$topic.subscribe", { topic: "room:lobby" }));
      }
      await floodWith(context, 1, (n) => [
        ...(n % CALLS === 1 ? [["$topic.subscribe", { topic: "room:lobby" }] as const] : []),
        ["$topic.publish", { topic: "room:lobby", data: { text: "x".repeat(100) } }],
      ]);
    },
  },
  {
    name: "messages of 60 KB to ever new topics that keep them, within maxTopicBytes 64 MiB",
    server: { ...server, options: { maxTopicBytes: 64 * 1024 * 1024 } },
    seconds: 5,
    run: async (context) => {
      const data = new Uint8Array(60_000);
      let n = 0;
      await context.again(async () => {
        const socket = await context.logIn(undefined, extensions);
        for (let id = 1; !context.isStopped; id += 1) {
          if (id % 100 === 1) n += 1;
          const topic = `room:${n}`;
          await socket.write(
            id % 100 === 1 ? call(id, "$topic.subscribe", { topic }) : call(id, "$topic.publish", { topic, data }),
          );
        }
      });
    },
  },
  {
    name: "a topic's 64 KiB every 20 ms to 100 subscribers that don't read",
    server,
    run: async (context) => {
      await context.againInParallel(100, async () => {
        const socket = await context.logIn(undefined, extensions);
        await socket.write(call(1, "$topic.subscribe", { topic: "news" }));
        socket.pause();
        await context.hold();
      });
    },
  },
];
