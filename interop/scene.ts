import { afterAll, beforeAll, describe } from "vitest";
import { Cleanups } from "../conformance/support/cleanups.ts";
import type { Subject } from "../conformance/support/subject.ts";
import { type DriverProgram, PythonDriver } from "./python-driver.ts";

/** Time limit of a test, generous because machines may be busy. */
export const PATIENCE_MS = 120_000;

/** The runtime package under test. */
export type InteropSubject = Pick<Subject, "name" | "Server" | "Client">;

/** The servers and clients of one test, on both sides. Closes all of them. */
export abstract class Scene extends Cleanups {
  readonly subject: InteropSubject;
  readonly driver: PythonDriver;

  constructor(subject: InteropSubject, driver: PythonDriver) {
    super();
    this.subject = subject;
    this.driver = driver;
  }
}

/** Creates a test body that receives its own scene as the only argument, because test runners pass different ones. */
export type Staged<S extends Scene> = (body: (scene: S) => Promise<void>) => () => Promise<void>;

/** Runs `suites` in sequence with one driver of this program; each test gets a scene created by `makeScene`. */
export function describeWithDriver<S extends Scene>(
  title: string,
  python: string,
  program: DriverProgram,
  makeScene: (driver: PythonDriver) => S,
  suites: readonly ((staged: Staged<S>) => void)[],
): void {
  describe(title, () => {
    let driver: PythonDriver;

    beforeAll(async () => {
      driver = await PythonDriver.start(python, program);
    }, PATIENCE_MS);
    afterAll(() => driver?.kill(), PATIENCE_MS);

    const staged: Staged<S> = (body) => async () => {
      const scene = makeScene(driver);
      try {
        await body(scene);
      } finally {
        await scene.dispose();
      }
    };
    for (const suite of suites) suite(staged);
  });
}
