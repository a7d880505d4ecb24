/**
 * Measures how long decoding the worst message of each kind blocks the event loop, by `maxMessageBytes`. Runs on any
 * runtime: `node bench/decoding.ts`, `bun bench/decoding.ts`, `deno run -A --no-check bench/decoding.ts`.
 */
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { encode } from "@msgpack/msgpack";
import { messageOf, VALUES } from "../packages/core/src/test-support/worst-values.ts";
import { maxDecodedBytes } from "../packages/core/src/wire/payload-reader.ts";
import { ValueReader } from "../packages/core/src/wire/value-reader.ts";

const MIB = 1024 * 1024;
const LIMITS = [MIB, 4 * MIB, 10 * MIB];
/** The fastest round counts: the others include compilation and garbage collection. */
const ROUNDS = 5;
const THREAD_TIMES = `/proc/self/task/${process.pid}/schedstat`;

/** This thread's CPU time in milliseconds on Linux, so that other processes don't count; elsewhere wall time. */
function now(): number {
  if (!existsSync(THREAD_TIMES)) return performance.now();
  const [nanoseconds] = readFileSync(THREAD_TIMES, "latin1").split(" ");
  return Number(nanoseconds) / 1e6;
}

function records(maxBytes: number): Uint8Array {
  const one = (id: number): unknown => ({
    id,
    name: `name ${id}`,
    email: `user${id}@example.com`,
    score: id / 8,
    ok: true,
  });
  const bytesEach = encode(one(100_000)).length;
  return encode(Array.from({ length: Math.floor(maxBytes / bytesEach) }, (_, id) => one(id)));
}

/** Measures the milliseconds until the message is decoded or rejected. */
function measure(bytes: Uint8Array, limit: number): { readonly ms: number; readonly isRefused: boolean } {
  let ms = Number.POSITIVE_INFINITY;
  let isRefused = false;
  for (let round = 0; round < ROUNDS; round++) {
    const reader = new ValueReader();
    const start = now();
    try {
      reader.decode(bytes, 0, bytes.length, false, maxDecodedBytes(limit));
    } catch {
      isRefused = true;
    }
    ms = Math.min(ms, now() - start);
  }
  return { ms, isRefused };
}

const messages: readonly (readonly [string, (maxBytes: number) => Uint8Array])[] = [
  ["one binary", (maxBytes) => encode(new Uint8Array(maxBytes - 5))],
  ["one text", (maxBytes) => encode("x".repeat(maxBytes - 5))],
  ["records of five keys", records],
  ...Object.keys(VALUES).map((kind) => [kind, (maxBytes: number) => messageOf(kind, maxBytes)] as const),
];

console.log(["ms to decode, or refuse (*)", ...LIMITS.map((limit) => `${limit / MIB} MiB`)].join("\t"));
for (const [name, make] of messages) {
  const cells = LIMITS.map((limit) => {
    const { ms, isRefused } = measure(make(limit), limit);
    return `${ms.toFixed(0)}${isRefused ? " *" : ""}`;
  });
  console.log([name, ...cells].join("\t"));
}
