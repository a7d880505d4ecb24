import { describe, expect, test } from "vitest";
import type { Subject } from "../support/subject.ts";
import { PATIENT, stagedOn } from "./stage.ts";

const NAMES = ["queueMicrotask", "setImmediate", "setTimeout", "setInterval"] as const;

/** Replaces global functions with ones that never call back, like fake timers until a test advances the clock. */
function replaceTimers(): () => void {
  const timer = { ref: () => timer, unref: () => timer };
  const originals = NAMES.map((name) => [name, globalThis[name]] as const);
  for (const name of NAMES) Object.assign(globalThis, { [name]: () => timer });
  return () => Object.assign(globalThis, Object.fromEntries(originals));
}

/** Programs tested with fake timers, such as those of Jest and Sinon. */
export function describeFakeTimers(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`fake timers on ${subject.name}`, PATIENT, () => {
    test(
      "stop neither logins nor calls, messages, large values, disconnect() and stop()",
      staged(async (stage) => {
        const restore = replaceTimers();
        try {
          const server = await stage.listen();
          server.rpc("echo", async (params) => params);
          server.on("ask", (_client, data) => ({ asked: data }));
          const client = await stage.join(server);
          client.rpc("echo", (params) => params);
          server.rpc("back", (params, { client: caller }) => caller.call("echo", params));
          const large = new Uint8Array(500_000).fill(7);
          for (const params of [{ n: 1 }, { large }]) {
            expect(await client.call("echo", params)).toEqual(params);
            expect(await client.call("back", params)).toEqual(params);
          }
          expect(await client.request("ask", 2)).toEqual({ asked: 2 });
          await Promise.all(Array.from({ length: 500 }, (_, n) => client.call("echo", { n })));
          await client.disconnect();
          await server.stop();
        } finally {
          restore();
        }
      }),
    );
  });
}
