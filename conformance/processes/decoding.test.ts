/** Memory usage of a process that decodes the worst-case messages within a limit. */
import { afterEach, describe, expect, test } from "vitest";
import { RUNTIMES } from "../../docs-tests/lib/runtimes.ts";
import { DECODED_FACTOR } from "../../packages/core/src/limits.ts";
import { RunningProgram } from "./run-program.ts";

const PROGRAM = "conformance/processes/decode.ts";
const MIB = 1024 * 1024;
const MAX_MESSAGE_BYTES = 32 * MIB;
/** Allowance for late garbage collection and compiled code. In 87 runs no process needed any of it. */
const SLACK_BYTES = 64 * MIB;
const PATIENT = { timeout: 120_000 };

/** For each MessagePack type, the values that need most memory per byte. */
const KINDS = [
  "small integers",
  "floats",
  "large integers",
  "empty arrays",
  "empty maps",
  "maps with a key of their own",
  "maps with 15 keys of their own",
  "maps with the key 999",
  "keys in one map",
  "short strings",
  "strings that are not ASCII",
  "empty binaries",
  "extension values",
  "timestamps",
];

let program: RunningProgram | null = null;
afterEach(() => program?.kill());

describe.each(RUNTIMES)("a process on %s that decodes a message full of", PATIENT, (runtime) => {
  test.each(KINDS)(`%s refuses it, and grows by at most ${DECODED_FACTOR} × maxMessageBytes`, async (kind) => {
    const args = [kind, String(MAX_MESSAGE_BYTES)];
    program = new RunningProgram(runtime, args, [], ["--allow-all"], PROGRAM);
    const [result] = (await program.output) as readonly { readonly code: string; readonly grown: number }[];
    expect(result?.code).toBe("DECODED_TOO_LARGE");
    expect(result?.grown).toBeLessThan(DECODED_FACTOR * MAX_MESSAGE_BYTES + SLACK_BYTES);
  });
});
