/** Attacks with bytes that the library never sends. */
import { call, frame, message, rawFrame, Type } from "../packages/core/src/testing/raw-frames.ts";
import type { Attack } from "./lib/attack.ts";

const SOUND: readonly Uint8Array[] = [
  call(1, "echo", { list: [1, 2, 3], text: "text", binary: new Uint8Array(100), nested: { a: { b: [] } } }),
  message("chat", { text: "text" }),
  frame(Type.HEARTBEAT_PING),
  frame(Type.CANCEL, undefined, { id: 1 }),
  frame(Type.RPC_LIST, undefined, { id: 2 }),
  frame(Type.RPC_RESPONSE, { success: true, result: 1 }, { id: 3 }),
  frame(Type.PAUSE),
  frame(Type.RESUME),
];

/** Returns a deterministic generator of numbers below `limit`. */
function numbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * limit);
  };
}

const CLOSES: readonly Record<string, unknown>[] = [
  { reason: "x", code: Number.NaN },
  { reason: "x", code: 3.6e306 },
  { reason: "x", code: -1 },
  { reason: "x".repeat(9 * 1024 * 1024), code: 5010 },
  { reason: 7, code: "code", reconnect: "yes" },
  { reason: ["x"], code: { code: 1 }, retry_after_ms: -5 },
];

export const malformedAttacks: readonly Attack[] = [
  {
    name: "mutated streams",
    run: async (context) => {
      const next = numbers(7);
      await context.againInParallel(8, async () => {
        const socket = await context.logIn();
        for (let n = 0; n < 200 && !context.isStopped; n += 1) {
          const bytes = Buffer.concat(Array.from({ length: 5 }, () => SOUND[next(SOUND.length)] as Uint8Array));
          // Most changes hit payloads, because one wrong byte in a header ends the connection.
          for (let flips = next(4); flips > 0; flips -= 1) bytes[next(bytes.length)] = next(256);
          await socket.write(bytes);
        }
        socket.destroy();
      });
    },
  },
  {
    name: "CLOSE with codes and reasons that make no sense",
    run: async (context) => {
      let n = 0;
      await context.again(async () => {
        const socket = await context.logIn();
        await socket.write(frame(Type.CLOSE, CLOSES[n++ % CLOSES.length]));
        await Promise.race([socket.ended, context.hold()]);
      }, 20);
    },
  },
  {
    name: "frames cut into single bytes",
    run: async (context) => {
      const socket = await context.logIn();
      socket.socket.setNoDelay(true);
      while (!context.isStopped) {
        for (const byte of SOUND[0] as Uint8Array) socket.socket.write(Uint8Array.of(byte));
        await socket.write(rawFrame(Type.ACK, new Uint8Array(0)));
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  },
];
