/** Attacks that keep the server busy. */

import { deflateSync } from "node:zlib";
import { COMPRESSED, call, frame, message, rawFrame, Type } from "../packages/core/src/testing/raw-frames.ts";
import type { Attack, AttackContext } from "./lib/attack.ts";

/** Small frames are sent in chunks of about this size. */
const CHUNK_BYTES = 256 * 1024;

function chunkOf(bytes: Uint8Array): Uint8Array {
  const count = Math.max(1, Math.floor(CHUNK_BYTES / bytes.length));
  return Buffer.concat(Array.from({ length: count }, () => bytes));
}

/** Logs in and sends the same bytes as fast as the server reads them. Restarts whenever the connection ends. */
async function flood(
  context: AttackContext,
  bytes: Uint8Array,
  connections = 1,
  extensions?: Parameters<AttackContext["logIn"]>[1],
): Promise<void> {
  const chunk = chunkOf(bytes);
  await context.againInParallel(connections, async () => {
    const socket = await context.logIn(undefined, extensions);
    while (!context.isStopped) await socket.write(chunk);
  });
}

const JUNK = rawFrame(Type.MESSAGE, Uint8Array.of(0xc1));
const LARGE = message("chat", new Uint8Array(65_000));
const CALL = call(1, "echo", { text: "hostile" });
const rateLimit = { messagesPerSecond: 200 };

/** A payload `{type, data}` whose data is `count` times `element`. */
function arrayOf(element: readonly number[], count: number): Uint8Array {
  const head = Buffer.concat([
    Buffer.from([0x82, 0xa4]),
    Buffer.from("type"),
    Buffer.from([0xa4]),
    Buffer.from("chat"),
    Buffer.from([0xa4]),
    Buffer.from("data"),
    Buffer.from([0xdd, 0, 0, 0, 0]),
  ]);
  head.writeUInt32BE(count, head.length - 4);
  return Buffer.concat([head, Buffer.alloc(count * element.length, Buffer.from(element))]);
}

/** Elements of one to three bytes that decode to objects. */
const SMALL_ELEMENTS: readonly (readonly [string, readonly number[]])[] = [
  ["binaries", [0xc4, 0x00]],
  ["timestamps and extension values", [0xc7, 0x00, 0x05]],
  ["maps", [0x80]],
  ["nils", [0xc0]],
];
const LARGEST = 10 * 1024 * 1024 - 100;

const payloadOf = (element: readonly number[]): Uint8Array => arrayOf(element, Math.floor(LARGEST / element.length));

const bombs: readonly Attack[] = [
  ...SMALL_ELEMENTS.map(
    ([what, element]): Attack => ({
      name: `10 MiB of empty ${what}`,
      run: (context) => flood(context, rawFrame(Type.MESSAGE, payloadOf(element))),
    }),
  ),
  {
    name: "10 MiB of nils compressed to 10 KiB, not agreed on",
    run: (context) => flood(context, rawFrame(Type.MESSAGE, deflateSync(payloadOf([0xc0])), { flags: COMPRESSED })),
  },
];

export const floods: readonly Attack[] = [
  { name: "junk", run: (context) => flood(context, JUNK) },
  {
    name: "junk over a rate limit of 200/s",
    server: { options: { rateLimit } },
    run: (context) => flood(context, JUNK),
  },
  { name: "valid calls", run: (context) => flood(context, CALL) },
  {
    name: "valid calls over a rate limit of 200/s",
    server: { options: { rateLimit } },
    run: (context) => flood(context, CALL),
  },
  {
    name: "valid calls whose replies are larger than the client takes",
    run: (context) =>
      flood(context, call(1, "echo", { text: "x".repeat(2000) }), 1, { limits: { message_bytes: 1024 } }),
  },
  { name: "valid calls on 20 connections", run: (context) => flood(context, CALL, 20) },
  { name: "messages of 64 KiB", run: (context) => flood(context, LARGE) },
  {
    name: "messages of 64 KiB in TLS records of 512 bytes, 10 connections",
    server: { tls: true },
    run: async (context) => {
      const chunk = chunkOf(LARGE);
      await context.againInParallel(10, async () => {
        const socket = await context.logInByTls(512);
        while (!context.isStopped) await socket.write(chunk);
      });
    },
  },
  {
    name: "RPC_LIST, 500 methods",
    server: { extraMethods: 500 },
    run: (context) => flood(context, frame(Type.RPC_LIST, undefined, { id: 1 })),
  },
  { name: "listall, 500 methods", server: { extraMethods: 500 }, run: (context) => flood(context, call(1, "listall")) },
  { name: "PING", run: (context) => flood(context, frame(Type.HEARTBEAT_PING)) },
  {
    name: "calls that fail, no onError hook",
    server: { withoutErrorHook: true },
    run: (context) => flood(context, call(1, "fail", { text: "x".repeat(1000) })),
  },
  ...bombs,
];
