import type { Subject } from "../conformance/support/subject.ts";
import type { PythonDriver } from "./python-driver.ts";

/** Machines are slow and busy, and nothing here asserts how long it takes: this only ends what hangs. */
export const PATIENCE_MS = 120_000;

/** A runtime package, as these suites see it. */
export type InteropSubject = Pick<Subject, "name" | "Server" | "Client">;

/** What one test makes, on our side and in Python; it ends all of it. */
export abstract class Scene {
  readonly subject: InteropSubject;
  readonly driver: PythonDriver;
  readonly #cleanups: (() => Promise<unknown>)[] = [];

  constructor(subject: InteropSubject, driver: PythonDriver) {
    this.subject = subject;
    this.driver = driver;
  }

  /** Has `cleanup` called when the test is over, before those handed over earlier. */
  defer(cleanup: () => Promise<unknown>): void {
    this.#cleanups.push(cleanup);
  }

  async dispose(): Promise<void> {
    for (const cleanup of this.#cleanups.reverse()) await cleanup();
  }
}

/** Makes the body of a test that gets a scene of its own. */
export type Staged<S extends Scene> = (body: (scene: S) => Promise<void>) => () => Promise<void>;

/** `make` is called by each test, when the driver runs. Runtimes differ in what else a test may be given. */
export function staged<S extends Scene>(make: () => S): Staged<S> {
  return (body) => async () => {
    const scene = make();
    try {
      await body(scene);
    } finally {
      await scene.dispose();
    }
  };
}
