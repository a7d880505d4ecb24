import { type Gate, gate } from "../../packages/core/src/test-support/gate.ts";
import type { OpenServer } from "../support/subject.ts";

/** Adds a method `slow`, which opens `started` and returns `"finished"` when `go` opens. */
export function slowMethod(server: OpenServer): { readonly started: Gate; readonly go: Gate } {
  const started = gate();
  const go = gate();
  server.rpc("slow", async () => {
    started.open();
    await go.promise;
    return "finished";
  });
  return { started, go };
}
