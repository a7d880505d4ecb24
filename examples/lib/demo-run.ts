/** What the demos have in common: how one begins, fails and ends. */

import { ConduitError } from "@netconduit/node";
import { checkCount, deadline, Mismatch } from "./demo-checks.ts";
import { closing, printError } from "./demo-output.ts";
import type { Program } from "./program.ts";

/** Far longer than all of it takes; a demo that hangs helps nobody. */
const PATIENCE_MS = 30_000;

/** What a demo uses, and leaves behind when it fails. */
export interface Stage {
  /** Processes by their names; killed in the end. */
  readonly programs: Map<string, Program>;
  /** Called in the end, before the processes are killed. */
  readonly cleanUps: (() => Promise<unknown>)[];
}

/**
 * Plays a demo and cleans up after it.
 *
 * @returns the exit code: 0 when everything was as it should be.
 */
export async function perform(play: (stage: Stage) => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  const stage: Stage = { programs: new Map(), cleanUps: [] };
  const tooLate = deadline(PATIENCE_MS);
  try {
    await Promise.race([tooLate.promise, play(stage)]);
    closing(`${checkCount()} checks, all as they should be.`, performance.now() - startedAt);
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
