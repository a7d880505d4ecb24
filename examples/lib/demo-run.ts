/** Runs a demo and cleans up after it. */

import { ConduitError } from "@netconduit/node";
import { checkCount, deadline, Mismatch } from "./demo-checks.ts";
import { closing, printError } from "./demo-output.ts";
import type { Program } from "./program.ts";

/** Time limit, far longer than the demo takes. */
const TIMEOUT_MS = 30_000;

/** Resources of a demo that must be released at its end. */
export interface Stage {
  /** Processes by name; killed at the end. */
  readonly programs: Map<string, Program>;
  /** Called at the end, before the processes are killed. */
  readonly cleanUps: (() => Promise<unknown>)[];
}

/**
 * Runs a demo and cleans up after it.
 *
 * @returns the exit code: 0 if every check passed.
 */
export async function perform(play: (stage: Stage) => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  const stage: Stage = { programs: new Map(), cleanUps: [] };
  const tooLate = deadline(TIMEOUT_MS);
  try {
    await Promise.race([tooLate.promise, play(stage)]);
    closing(`${checkCount()} checks passed.`, performance.now() - startedAt);
    return 0;
  } catch (error) {
    const expected = error instanceof Mismatch || error instanceof ConduitError;
    const text = expected ? error.message : error instanceof Error ? error.stack : String(error);
    const outputs = [...stage.programs].map(([name, { output }]) => `\n\n${name} printed:\n${output}`);
    printError(`The demo failed: ${text}${outputs.join("")}`);
    return 1;
  } finally {
    tooLate.end();
    await Promise.allSettled(stage.cleanUps.map((cleanUp) => cleanUp()));
    await Promise.all([...stage.programs.values()].map((program) => program.kill()));
  }
}
