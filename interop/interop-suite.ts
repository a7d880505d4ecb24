import { describe, test } from "vitest";
import { pythonEnvironment } from "./python-environment.ts";

/** Machines are slow and busy, and nothing here asserts how long it takes: this only ends what hangs. */
const TIMEOUT_MS = 120_000;

/**
 * A suite against netconduit's own Python package. Without it the suite reports itself skipped, with the reason in its
 * title; with NETCONDUIT_INTEROP=required it fails instead.
 */
export async function interopSuite(title: string, body: (python: string) => void): Promise<void> {
  const environment = await pythonEnvironment();
  if (environment.python !== null) {
    const { python, version } = environment;
    describe(`${title} (netconduit ${version})`, { timeout: TIMEOUT_MS }, () => body(python));
    return;
  }
  const { reason } = environment;
  const required = process.env.NETCONDUIT_INTEROP === "required";
  describe.skipIf(!required)(`${title} (${required ? "required" : "skipped"}: ${reason})`, () => {
    test("netconduit can be run", () => {
      throw new Error(`NETCONDUIT_INTEROP is "required", and netconduit cannot be run: ${reason}`);
    });
  });
}
