import type { Runtime } from "@netconduit/core/adapter";

/** A runtime that counts its pending timers. */
export interface CountedTimers {
  readonly runtime: Runtime;
  readonly pending: ReadonlySet<unknown>;
}

export function countedTimers(runtime: Runtime): CountedTimers {
  const pending = new Set<ReturnType<Runtime["setTimer"]>>();
  return {
    pending,
    runtime: {
      ...runtime,
      setTimer(task, delayMs, keepAlive) {
        const run = (): void => {
          pending.delete(handle);
          task();
        };
        const handle = runtime.setTimer(run, delayMs, keepAlive);
        pending.add(handle);
        return handle;
      },
      clearTimer(handle) {
        pending.delete(handle);
        runtime.clearTimer(handle);
      },
    },
  };
}
