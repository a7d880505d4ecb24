/**
 * Decodes the worst-case message of a kind within a limit, on any runtime: `decode.ts <runtime> <kind>
 * <maxMessageBytes>`. Prints the code of the rejection, and the number of bytes by which the process has grown.
 */
import process from "node:process";
import { messageOf } from "../../packages/core/src/test-support/worst-values.ts";
import { maxDecodedBytes } from "../../packages/core/src/wire/payload-reader.ts";
import { ValueReader } from "../../packages/core/src/wire/value-reader.ts";

function decode(bytes: Uint8Array, maxMessageBytes: number): unknown {
  try {
    return new ValueReader().decode(bytes, 0, bytes.length, false, maxDecodedBytes(maxMessageBytes));
  } catch (failure) {
    return (failure as { readonly codeName?: string }).codeName ?? String(failure);
  }
}

const [, kind = "", limit = ""] = process.argv.slice(2);
// Warm-up: compiles the code.
decode(messageOf(kind, 100_000), 1024);
const maxMessageBytes = Number(limit);
const bytes = messageOf(kind, maxMessageBytes);
const before = process.memoryUsage().rss;
const code = decode(bytes, maxMessageBytes);
console.log(JSON.stringify({ code, grown: process.memoryUsage().rss - before }));
