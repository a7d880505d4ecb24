/** Attacks that make the server hold memory. */

import process from "node:process";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { call, chunksOf, frame, rawFrame, Type } from "../packages/core/src/testing/raw-frames.ts";
import type { Attack } from "./lib/attack.ts";

const MAX_MESSAGE_BYTES = 10 * 1024 * 1024;

const ACK_NOW = 0x8000;
const WITH_CHUNKS = {
  close: true,
  credit: { frames: 1000, bytes: MAX_MESSAGE_BYTES },
  chunk: { messages: 8, bytes: MAX_MESSAGE_BYTES },
};

export const memoryAttacks: readonly Attack[] = [
  {
    name: "100 frames of 10 MiB less one byte, then a byte a second",
    server: { options: { heartbeatIntervalMs: 500, heartbeatTimeoutMs: 2000 } },
    seconds: 6,
    run: async (context) => {
      const one = async (): Promise<void> => {
        const socket = await context.logIn();
        await socket.write(rawFrame(Type.MESSAGE, new Uint8Array(1024), { length: MAX_MESSAGE_BYTES }));
        const chunk = new Uint8Array(65_536);
        for (let left = MAX_MESSAGE_BYTES - 4096; left > 0; left -= chunk.length)
          await socket.write(chunk.subarray(0, left));
        while (!context.isStopped) {
          await socket.write(new Uint8Array(1));
          await sleep(1000);
        }
      };
      await Promise.allSettled(Array.from({ length: 100 }, one));
      await context.hold();
    },
  },
  {
    name: "a frame that arrives a byte a second, 100 connections",
    server: { options: { heartbeatIntervalMs: 500, heartbeatTimeoutMs: 1500 } },
    seconds: 4,
    run: async (context) => {
      await context.againInParallel(100, async () => {
        const socket = await context.logIn();
        await socket.write(rawFrame(Type.MESSAGE, new Uint8Array(1024), { length: MAX_MESSAGE_BYTES }));
        for (;;) {
          await sleep(1000);
          await socket.write(new Uint8Array(1));
        }
      });
    },
  },
  {
    name: "chunks of 8 messages that are never finished, 100 connections",
    server: { options: { heartbeatIntervalMs: 500, heartbeatTimeoutMs: 1500 } },
    seconds: 6,
    run: async (context) => {
      const first = call(1, "big", { data: new Uint8Array(1024 * 1024) });
      await context.againInParallel(100, async () => {
        const socket = await context.logIn(undefined, WITH_CHUNKS);
        for (let id = 1; id <= 8; id += 1) await socket.write(chunksOf(first, id)[0] as Uint8Array);
        await socket.ended;
      });
    },
  },
  {
    name: "messages in chunks of a byte, begun by thousands under overlapping ids and aborted, 20 connections",
    run: async (context) => {
      const one = call(1, "add", { a: 1, b: 2 });
      const tangle = Buffer.concat([
        ...Array.from({ length: 1000 }, (_, id) => [
          chunksOf(one, (id % 7) + 1)[0] as Uint8Array,
          ...chunksOf(one.subarray(0, 40), (id % 7) + 1, 1).slice(0, 33),
          rawFrame(Type.CHUNK, new Uint8Array(0), { id: (id % 7) + 1 }),
        ]).flat(),
      ]);
      await context.againInParallel(20, async () => {
        const socket = await context.logIn(undefined, WITH_CHUNKS);
        while (!context.isStopped) await socket.write(tangle);
      });
    },
  },
  {
    name: "thousands of messages begun in chunks at once, 20 connections",
    run: async (context) => {
      const first = call(1, "big", { data: new Uint8Array(1024 * 1024) });
      const heads = Buffer.concat(
        Array.from({ length: 2000 }, (_, id) => chunksOf(first.subarray(0, 64), id + 1, 64)[0] as Uint8Array),
      );
      await context.againInParallel(20, async () => {
        const socket = await context.logIn(undefined, WITH_CHUNKS);
        await socket.write(heads);
        await socket.ended;
      });
    },
  },
  {
    name: "calls with a key to methods whose names are 1 MiB long, 10 connections",
    run: async (context) => {
      const method = "m".repeat(1024 * 1024);
      let keys = 0;
      await context.againInParallel(10, async () => {
        const socket = await context.logIn();
        for (let id = 1; !context.isStopped; id += 1) {
          keys += 1;
          await socket.write(call(id, "$once", { key: `key ${keys}`, method }));
          // If the server reads everything immediately, writes never wait, so yield to let the attack end.
          if (id % 8 === 0) await nextTurn();
        }
      });
    },
  },
  {
    name: "dead after the login, without a FIN: 100 of 104 places",
    server: { options: { maxConnections: 104, heartbeatIntervalMs: 500, heartbeatTimeoutMs: 1500 } },
    seconds: 3,
    run: async (context) => {
      await context.againInParallel(100, async () => {
        const socket = await context.logIn();
        socket.pause();
        await sleep(2500);
        socket.destroy();
      });
    },
  },
  {
    name: "1 MiB replies asked for and never read, 50 connections",
    run: async (context) => {
      const one = async (): Promise<void> => {
        const socket = await context.logIn();
        socket.pause();
        for (let id = 1; !context.isStopped; id += 1) await socket.write(call(id, "big"));
      };
      await Promise.allSettled(Array.from({ length: 50 }, one));
      await context.hold();
    },
  },
  {
    name: "PINGs without reading, 20 connections",
    run: async (context) => {
      const chunk = Buffer.concat(Array.from({ length: 2000 }, () => frame(Type.HEARTBEAT_PING)));
      await context.againInParallel(20, async () => {
        const socket = await context.logIn();
        socket.pause();
        while (!context.isStopped) await socket.write(chunk);
      });
    },
  },
  {
    name: "chunks of a byte that ask for acknowledgements, which nobody reads, 2 connections",
    seconds: 5,
    run: async (context) => {
      const head = rawFrame(Type.RPC_RESPONSE, new Uint8Array(0), { length: MAX_MESSAGE_BYTES - 1024 });
      const one = rawFrame(Type.CHUNK, new Uint8Array(1), { id: 1, flags: ACK_NOW });
      const chunk = Buffer.concat(Array.from({ length: 2000 }, () => one));
      await context.againInParallel(2, async () => {
        const socket = await context.logIn(undefined, WITH_CHUNKS);
        socket.pause();
        await socket.write(rawFrame(Type.CHUNK, head, { id: 1 }));
        while (!context.isStopped) await socket.write(chunk);
      });
    },
  },
  {
    name: "broadcasts never read, with PAUSE, 50 connections",
    server: { broadcasts: true },
    run: async (context) => {
      await context.againInParallel(50, async () => {
        const socket = await context.logIn();
        await socket.write(frame(Type.PAUSE));
        socket.pause();
        await socket.ended;
      });
    },
  },
  {
    name: "broadcasts never acknowledged by credit, but read, 50 connections",
    server: { broadcasts: true },
    run: async (context) => {
      await context.againInParallel(50, async () => {
        const socket = await context.logIn();
        await socket.ended;
      });
    },
  },
  {
    name: "10 MiB of replies unread, then CLOSE and linger, again and again, 100 places",
    server: { options: { maxConnections: 110 } },
    run: async (context) => {
      await context.againInParallel(20, async () => {
        const socket = await context.logIn();
        socket.pause();
        for (let id = 1; id <= 12; id += 1) await socket.write(call(id, "big"));
        await sleep(100);
        await socket.write(frame(Type.CLOSE, { reason: "bye", code: 5010, reconnect: false }));
        context.count("CLOSE sent");
      });
    },
  },
  {
    name: "10 MiB messages to handlers that never end, 100 connections",
    run: async (context) => {
      const payload = frame(
        Type.RPC_REQUEST,
        { method: "forever", params: { data: new Uint8Array(9 * 1024 * 1024) } },
        { id: 1 },
      );
      const one = async (): Promise<void> => {
        const socket = await context.logIn();
        for (let id = 1; !context.isStopped; id += 1) {
          const copy = Buffer.from(payload);
          copy.writeUInt32BE(id, 20);
          await socket.write(copy);
        }
      };
      await Promise.allSettled(Array.from({ length: 100 }, one));
      await context.hold();
    },
  },
  {
    name: "calls with a key to handlers that go on without their callers, which leave and come again, 10 connections",
    run: async (context) => {
      let keys = 0;
      const params = { data: new Uint8Array(60 * 1024) };
      await context.againInParallel(10, async () => {
        const socket = await context.logIn();
        for (let id = 1; id <= 100; id += 1) {
          keys += 1;
          await socket.write(call(id, "$once", { key: `${process.pid}-${keys}`, method: "forever", params }));
        }
        await sleep(100);
        socket.destroy();
      });
    },
  },
];
