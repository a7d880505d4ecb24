/**
 * How long one message of each kind holds up the event loop while it is decoded, by `maxMessageBytes`. On any runtime:
 * `node bench/decoding.ts`, `bun bench/decoding.ts`.
 */
import { encode } from "@msgpack/msgpack";
import { messageOf, VALUES } from "../packages/core/src/test-support/worst-values.ts";
import { maxDecodedBytes } from "../packages/core/src/wire/payload-reader.ts";
import { ValueReader } from "../packages/core/src/wire/value-reader.ts";

const MIB = 1024 * 1024;
const LIMITS = [MIB, 4 * MIB, 10 * MIB];

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

/** Milliseconds to decode the message, or to refuse it. */
function measure(bytes: Uint8Array, limit: number): { readonly ms: number; readonly isRefused: boolean } {
  const reader = new ValueReader();
  let isRefused = false;
  const start = performance.now();
  try {
    reader.decode(bytes, 0, bytes.length, false, maxDecodedBytes(limit));
  } catch {
    isRefused = true;
  }
  return { ms: performance.now() - start, isRefused };
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
    const bytes = make(limit);
    measure(bytes, limit);
    const { ms, isRefused } = measure(bytes, limit);
    return `${ms.toFixed(0)}${isRefused ? " *" : ""}`;
  });
  console.log([name, ...cells].join("\t"));
}
