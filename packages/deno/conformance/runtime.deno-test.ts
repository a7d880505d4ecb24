import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { describeRuntime } from "../../../conformance/adapter/runtime.suite.ts";
import { denoRuntime } from "../src/runtime.ts";

describeRuntime(denoRuntime);

describe("denoRuntime", () => {
  test("a deferred task that throws does not take the next one with it", async () => {
    const listeners = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    const thrown = once(process, "uncaughtException");
    const second = new Promise<void>((resolve) => {
      denoRuntime.defer(() => {
        throw new Error("thrown by a deferred task");
      });
      denoRuntime.defer(resolve);
    });
    await second;
    expect((await thrown)[0]).toMatchObject({ message: "thrown by a deferred task" });
    for (const listener of listeners) process.on("uncaughtException", listener);
  });

  test("only a timer with keepAlive keeps the process running", async () => {
    const ended = await Promise.all([
      program("setTimer(() => say('fired'), 20_000, false)"),
      program("setTimer(() => say('fired'), 50, true)"),
    ]);
    expect(ended).toEqual(["", "fired"]);
  });

  test("onTerminate passes the signal's name on until it is removed", async () => {
    const script = `
      const remove = onTerminate((signal) => {
        say(signal);
        remove();
        // Without the listener, this signal ends the process.
        setTimer(() => Deno.kill(Deno.pid, "SIGTERM"), 0, true);
        setTimer(() => say("still here"), 10_000, true);
      });
      Deno.kill(Deno.pid, "SIGTERM");
      setTimer(() => {}, 10_000, true);`;
    expect(await program(script)).toBe("SIGTERM");
  });
});

/** Runs a program with the runtime's members and `say` in scope, and resolves to its output. */
async function program(script: string): Promise<string> {
  const source = `
    import { denoRuntime } from "@netconduit/deno";
    const { setTimer, onTerminate } = denoRuntime;
    const say = (text) => Deno.stdout.writeSync(new TextEncoder().encode(text));
    ${script}`;
  const file = fileURLToPath(new URL(`program-${randomUUID()}.mjs`, import.meta.url));
  await writeFile(file, source);
  try {
    return (await promisify(execFile)(Deno.execPath(), ["run", "-A", "--no-check", file]).catch((error) => error))
      .stdout;
  } finally {
    await rm(file);
  }
}
