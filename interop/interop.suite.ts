import { afterAll, beforeAll, describe } from "vitest";
import { describeAbsence } from "./absence.ts";
import { describeHeartbeats, HeartbeatPairs } from "./heartbeats.suite.ts";
import { describeNetconduitClient } from "./netconduit-client/suites.ts";
import { describeNetconduitServer } from "./netconduit-server/suites.ts";
import { pythonEnvironment } from "./python-environment.ts";
import { describeSameProgram } from "./same-program/suites.ts";
import { type InteropSubject, PATIENCE_MS } from "./scene.ts";

/**
 * Tests a runtime package against the Python package. Each runtime has a short test file that awaits this function.
 * Without Python the suite is skipped with the reason in its title; with NETCONDUIT_INTEROP=required it fails
 * instead.
 */
export async function describeInterop(subject: InteropSubject): Promise<void> {
  const environment = await pythonEnvironment();
  if (environment.python === null) return describeAbsence(`interop on ${subject.name}`, environment.reason);
  const { python, version } = environment;
  const on = `on ${subject.name} (netconduit ${version})`;

  describe("interop", { timeout: PATIENCE_MS }, () => {
    const pairs = new HeartbeatPairs(subject, python);
    beforeAll(() => pairs.start());
    afterAll(() => pairs.dispose(), PATIENCE_MS);

    describeNetconduitClient(subject, python, on);
    describeNetconduitServer(subject, python, on);
    describeSameProgram(subject, python, on);
    describeHeartbeats(pairs, on);
  });
}
