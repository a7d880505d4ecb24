import { expect, test } from "vitest";
import { RUNTIMES, type RuntimeName } from "../../docs-tests/lib/runtimes.ts";
import { RunningProgram } from "./run-program.ts";

/** See RUNTIMES.md: frames that move from the queue to the socket within the tick free space for more. */
const SENT: Readonly<Record<RuntimeName, number>> = { node: 2000, bun: 2000, deno: 1063 };

test.each(RUNTIMES)(
  "messages that fit into the send queue within one tick on %s",
  { timeout: 60_000 },
  async (runtime) => {
    const program = new RunningProgram(runtime, ["fillQueue"]);
    expect(await program.output).toEqual([{ sent: SENT[runtime], code: "SEND_QUEUE_FULL" }]);
  },
);
