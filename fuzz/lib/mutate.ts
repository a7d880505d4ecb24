import { Buffer } from "node:buffer";
import type { Random } from "../../packages/core/src/test-support/random.ts";

/** Bytes at the boundaries of formats in MessagePack, lengths and counts. */
const EDGES = [0, 1, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc4, 0xc7, 0xca, 0xcb, 0xcf, 0xd3, 0xd9, 0xdc, 0xde, 0xdf, 0xe0, 0xff]; // biome-ignore format: a list

/** Words of the protocol, encoded as MessagePack. */
const WORDS: readonly Uint8Array[] = [
  ...["type", "data", "method", "params", "timeout_ms", "meta", "frames", "bytes", "code", "reason", "error", "result"],
  ...["success", "extensions", "scram", "client_info", "output", "input", "progress", "started", "taken", "value"],
  ...["echo", "wait", "count", "sum", "note", "news", "subscribe", "topic", "offset", "epoch", "received", "id"],
].map((word) => Buffer.from([0xa0 | word.length, ...Buffer.from(word)]));

const MAX_MUTATIONS = 5;

/** Returns a mutated copy of an input, in some cases spliced with `other`. */
export function mutated(input: Uint8Array, other: Uint8Array, random: Random, maxBytes: number): Uint8Array {
  let bytes = Buffer.from(input);
  for (let left = 1 + random.below(MAX_MUTATIONS); left > 0; left -= 1) bytes = mutatedOnce(bytes, other, random);
  return Uint8Array.from(bytes.subarray(0, maxBytes));
}

function mutatedOnce(bytes: Buffer, other: Uint8Array, random: Random): Buffer<ArrayBuffer> {
  const at = random.below(bytes.length + 1);
  const end = Math.min(bytes.length, at + 1 + random.below(16));
  const copy = Buffer.from(bytes);
  const insert = (...what: Uint8Array[]) => Buffer.concat([bytes.subarray(0, at), ...what, bytes.subarray(at)]);
  switch (random.below(10)) {
    case 0:
      if (at < copy.length) copy[at] = (copy[at] as number) ^ (1 << random.below(8));
      return copy;
    case 1:
      if (at < copy.length) copy[at] = random.below(256);
      return copy;
    case 2:
      if (at < copy.length) copy[at] = random.pick(EDGES);
      return copy;
    case 3:
      if (at < copy.length) copy[at] = (copy[at] as number) + random.pick([1, -1, 2, -2, 16, -16]);
      return copy;
    case 4:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]);
    case 5:
      return insert(bytes.subarray(at, end));
    case 6:
      return insert(Buffer.from([random.pick(EDGES)]));
    case 7:
      return insert(random.pick(WORDS));
    case 8: {
      const from = random.below(other.length + 1);
      return insert(other.subarray(from, from + 1 + random.below(64)));
    }
    default:
      return Buffer.concat([bytes.subarray(0, at), other.subarray(random.below(other.length + 1))]);
  }
}
