/** Attacks by peers that call methods with streams. */

import { setTimeout as sleep } from "node:timers/promises";
import { encode } from "@msgpack/msgpack";
import { frame, type ReceivedFrame, rawFrame, Type } from "../packages/core/src/testing/raw-frames.ts";
import type { Attack, AttackContext } from "./lib/attack.ts";
import type { AttackSocket } from "./lib/attack-socket.ts";
import { codeNameOf } from "./lib/attack-socket.ts";

export const INPUT = 0x0120;
const INPUT_END = 0x0122;
const INPUT_CREDIT = 0x0123;
const OUTPUT_CREDIT = 0x0124;
export const BINARY = 0x0040;
const MORE = 0x2000;

const MIB = 1024 * 1024;
const CHUNK_BYTES = 65_536;
/** The server's default limit of streams. */
const MAX_STREAMS = 10_000;
/** Practically unlimited credit for the server. */
const OUTPUT_BYTES = 0xffff_ffff;
const EXTENSIONS = {
  close: true,
  cancel: true,
  credit: { frames: 1_000_000, bytes: 1024 * MIB },
  stream: { streams: MAX_STREAMS, overdraft: 64 * MIB },
};

const server = { streams: true };

/** A logged-in client that respects the credit of calls, which would end the connection, and otherwise sends anything. */
export class StreamAttacker {
  readonly socket: AttackSocket;
  #id = 0;
  #calls = 1000;
  #wake: () => void = () => undefined;
  /** Credit of each input by the call's id. */
  readonly inputs = new Map<number, number>();
  /** Calls that were answered with an error. */
  readonly refused = new Set<number>();

  private constructor(context: AttackContext, socket: AttackSocket) {
    this.socket = socket;
    socket.onFrame = (received) => this.#received(context, received);
    void socket.ended.then(() => this.#wake());
  }

  static async logIn(context: AttackContext, extensions: typeof EXTENSIONS = EXTENSIONS): Promise<StreamAttacker> {
    return new StreamAttacker(context, await context.logIn(undefined, extensions));
  }

  /** Waits for the credit of a call. Returns the call's id and frame. */
  async call(method: string, keys: object, params: object = {}): Promise<readonly [number, Uint8Array]> {
    while (this.#calls === 0) await this.next();
    this.#calls -= 1;
    this.#id += 1;
    return [this.#id, frame(Type.RPC_REQUEST, { method, ...keys, params }, { id: this.#id })];
  }

  /** Calls a method with an input. Returns its id when the input is open or rejected. */
  async openInput(method: string, params: object = {}): Promise<number> {
    const [id, bytes] = await this.call(method, { input: true }, params);
    await this.socket.write(bytes);
    while (!this.inputs.has(id) && !this.refused.delete(id)) await this.next();
    return id;
  }

  /** Resolves when frames have arrived. Rejects if the socket has ended. */
  async next(): Promise<void> {
    if (!this.socket.isEnded) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.socket.isEnded) throw new Error("The socket has ended");
  }

  #received(context: AttackContext, received: ReceivedFrame): void {
    const { type } = received;
    // Payloads of other frames, such as items, may contain several values.
    if (type !== Type.CREDIT && type !== INPUT_CREDIT && type !== Type.RPC_ERROR) return;
    const { frames, bytes, code } = received.payload as Record<string, unknown>;
    const id = Number(received.id);
    if (type === Type.CREDIT) this.#calls += Number(frames);
    else if (type === INPUT_CREDIT) this.inputs.set(id, (this.inputs.get(id) ?? 0) + Number(bytes));
    else {
      this.refused.add(id);
      context.count(`answered ${codeNameOf(code)}`);
    }
    this.#wake();
  }
}

/** Logs in on `connections` connections and repeats `work`. Restarts whenever a connection ends. */
export async function attack(
  context: AttackContext,
  connections: number,
  work: (attacker: StreamAttacker) => Promise<void>,
): Promise<void> {
  await context.againInParallel(connections, async () => {
    const attacker = await StreamAttacker.logIn(context);
    while (!context.isStopped) await work(attacker);
  });
}

/** Opens `count` calls of a method. */
async function openMany(attacker: StreamAttacker, count: number, method: string, keys: object): Promise<number[]> {
  const ids: number[] = [];
  for (let left = count; left > 0; ) {
    const frames: Uint8Array[] = [];
    for (; left > 0 && frames.length < 100; left -= 1) {
      const [id, bytes] = await attacker.call(method, keys);
      ids.push(id);
      frames.push(bytes);
    }
    await attacker.socket.write(Buffer.concat(frames));
  }
  return ids;
}

/** Opens many streams and stops reading. */
async function openUnread(context: AttackContext, connections: number, count: number, method: string): Promise<void> {
  await attack(context, connections, async (attacker) => {
    // Little has been received before the pause.
    await openMany(attacker, count, method, { output: OUTPUT_BYTES });
    attacker.socket.pause();
    await context.hold();
  });
}

const TINY = rawFrame(INPUT, Uint8Array.of(1));
const TINY_FULL = rawFrame(INPUT, new Uint8Array(CHUNK_BYTES).fill(1));

/** Sends the same input frame repeatedly, as far as credit allows. */
async function flood(context: AttackContext, connections: number, one: Uint8Array): Promise<void> {
  await attack(context, connections, async (attacker) => {
    const id = await attacker.openInput("drain");
    if (!attacker.inputs.has(id)) return;
    const bytes = Buffer.from(one);
    bytes.writeUInt32BE(id, 20);
    const batch = Buffer.concat(Array.from({ length: Math.floor(MIB / 4 / bytes.length) }, () => bytes));
    while (!context.isStopped) {
      const credit = attacker.inputs.get(id) as number;
      const count = Math.floor(Math.min(batch.length, credit) / bytes.length);
      if (count === 0) {
        await attacker.next();
        continue;
      }
      attacker.inputs.set(id, credit - count * bytes.length);
      await attacker.socket.write(batch.subarray(0, count * bytes.length));
    }
  });
}

export const streamAttacks: readonly Attack[] = [
  {
    name: "calls with streams beyond the bound of 10,000",
    server,
    run: (context) =>
      attack(context, 1, async (attacker) => {
        await openMany(attacker, 1000, "hold", { output: OUTPUT_BYTES });
      }),
  },
  {
    name: "items of a stream beyond its credit, 10 connections",
    server,
    run: (context) =>
      attack(context, 10, async (attacker) => {
        const id = await attacker.openInput("hold_input");
        const item = rawFrame(INPUT, encode("x".repeat(1000)), { id });
        const batch = Buffer.concat(Array.from({ length: 1000 }, () => item));
        for (;;) await attacker.socket.write(batch);
      }),
  },
  {
    name: "items of 9 MiB begun on 1,000 streams at once, 10 connections",
    server,
    run: (context) =>
      attack(context, 10, async (attacker) => {
        await openMany(attacker, 1000, "hold_input", { input: true });
        const part = new Uint8Array(CHUNK_BYTES);
        for (;;) {
          for (const id of attacker.inputs.keys()) {
            await attacker.socket.write(rawFrame(INPUT, part, { id, flags: BINARY | MORE }));
          }
          await sleep(1);
        }
      }),
  },
  {
    name: "10,000 streams of small items opened and never read, 4 connections",
    server,
    run: (context) => openUnread(context, 4, MAX_STREAMS, "items"),
  },
  {
    name: "10,000 streams of 64 KiB items opened and never read, 4 connections",
    server,
    run: (context) => openUnread(context, 4, MAX_STREAMS, "blocks"),
  },
  {
    name: "inputs filled that the handlers don't read, 10,000 streams, 4 connections",
    server,
    run: (context) =>
      attack(context, 4, async (attacker) => {
        await openMany(attacker, MAX_STREAMS, "hold_input", { input: true });
        while (!context.isStopped) {
          for (const [id, credit] of attacker.inputs) {
            attacker.inputs.delete(id);
            const bytes = new Uint8Array(Math.min(credit, CHUNK_BYTES) - 32);
            await attacker.socket.write(rawFrame(INPUT, bytes, { id, flags: BINARY }));
          }
          await attacker.next();
        }
      }),
  },
  { name: "items of a byte in frames of their own", server, run: (context) => flood(context, 1, TINY) },
  { name: "items of a byte, 65,536 in a frame", server, run: (context) => flood(context, 1, TINY_FULL) },
  {
    name: "items of a byte, 65,536 in a frame, 20 connections",
    server,
    run: (context) => flood(context, 20, TINY_FULL),
  },
  {
    name: "streams opened and cancelled again and again, 10 connections",
    server,
    run: (context) =>
      attack(context, 10, async (attacker) => {
        const frames: Uint8Array[] = [];
        while (frames.length < 200) {
          const [id, bytes] = await attacker.call("items", { output: 4096, input: true });
          frames.push(bytes, frame(Type.CANCEL, undefined, { id }), frame(INPUT_END, undefined, { id }));
        }
        await attacker.socket.write(Buffer.concat(frames));
      }),
  },
  {
    name: "credit by single bytes for the overdraft that 1,000 streams wait for",
    server,
    run: (context) =>
      context.againInParallel(1, async () => {
        const attacker = await StreamAttacker.logIn(context, {
          ...EXTENSIONS,
          stream: { streams: MAX_STREAMS, overdraft: 1 },
        });
        const [first = 0] = await openMany(attacker, 1000, "blocks", { output: 1 });
        const one = frame(OUTPUT_CREDIT, { bytes: 1 }, { id: first });
        const many = Buffer.concat(Array.from({ length: 1000 }, () => one));
        while (!context.isStopped) await attacker.socket.write(many);
      }),
  },
  {
    name: "an input ended twice",
    server,
    run: (context) =>
      attack(context, 1, async (attacker) => {
        const id = await attacker.openInput("hold_input");
        await attacker.socket.write(Buffer.concat([1, 2].map(() => frame(INPUT_END, undefined, { id }))));
        await attacker.socket.ended;
      }),
  },
  {
    name: "items and ends of streams that were never opened",
    server,
    run: (context) =>
      attack(context, 1, async (attacker) => {
        const [type] = [INPUT, INPUT_END, INPUT_CREDIT].sort(() => Math.random() - 0.5);
        await attacker.socket.write(frame(type as number, { bytes: 1 }, { id: 77 }));
        await attacker.socket.ended;
      }),
  },
];
