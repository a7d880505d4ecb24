import { describe, test } from "vitest";

/** Skips the tests called `what` with the reason in their title; fails with NETCONDUIT_INTEROP=required. */
export function describeAbsence(what: string, reason: string): void {
  const required = process.env.NETCONDUIT_INTEROP === "required";
  describe.skipIf(!required)(`${what} (${required ? "required" : "skipped"}: ${reason})`, () => {
    test("Python has the packages", () => {
      throw new Error(`NETCONDUIT_INTEROP is "required", and Python doesn't have the packages: ${reason}`);
    });
  });
}
