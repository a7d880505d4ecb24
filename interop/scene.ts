import type { Subject } from "../conformance/support/subject.ts";
import type { PythonDriver } from "./python-driver.ts";

/** Time limit for a hanging test, generous because machines may be busy. */
export const PATIENCE_MS = 120_000;

/** The runtime package under test. */
export type InteropSubject = Pick<Subject, "name" | "Server" | "Client">;

/** The servers and clients of one test, on both sides. Closes all of them. */
export abstract class Scene {
  readonly subject: InteropSubject;
  readonly driver: PythonDriver;
  readonly #cleanups: (() => Promise<unknown>)[] = [];

  constructor(subject: InteropSubject, driver: PythonDriver) {
    this.subject = subject;
    this.driver = driver;
  }

  /** Registers `cleanup` to run after the test, in reverse order of registration. */
  defer(cleanup: () => Promise<unknown>): void {
    this.#cleanups.push(cleanup);
  }

  async dispose(): Promise<void> {
    for (const cleanup of this.#cleanups.reverse()) await cleanup();
  }
}

/** Creates a test body that receives its own scene. */
export type Staged<S extends Scene> = (body: (scene: S) => Promise<void>) => () => Promise<void>;

/**
 * Each test calls `make` once the driver runs. The scene is the only argument, because test runners differ in what else
 * they pass.
 */
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
