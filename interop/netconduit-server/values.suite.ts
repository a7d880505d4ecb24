import { float64 } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import type { Staged } from "../scene.ts";
import { longText, mebibyte, wireValues } from "../wire-values.ts";
import type { ServerScene } from "./scene.ts";

export function describeValues(staged: Staged<ServerScene>): void {
  describe("values", () => {
    for (const [name, value] of Object.entries(wireValues)) {
      test(
        `${name} arrives unchanged on both sides`,
        staged(async (scene) => {
          const target = await scene.listen();
          const ours = await scene.logIn(target);
          expect(await ours.call("echo", { value })).toStrictEqual(value);
          expect((await scene.driver.next({ event: "echo", server: target.server })).value).toStrictEqual(value);
          expect(await ours.request("echo", { value })).toStrictEqual({ value });
        }),
      );
    }

    test(
      "float64() arrives as a float in Python, and comes back as a number",
      staged(async (scene) => {
        const target = await scene.listen();
        const ours = await scene.logIn(target);
        expect(await ours.call("echo", { value: float64(2) })).toBe(2);
        expect((await scene.driver.next({ event: "echo", server: target.server })).value).toEqual(float64(2));
      }),
    );

    test(
      "1 MiB of binary data crosses unharmed, in calls and in messages",
      staged(async (scene) => {
        const bytes = mebibyte();
        const target = await scene.listen();
        const ours = await scene.logIn(target);
        expect(Buffer.compare(await ours.call<Uint8Array>("echo", { value: bytes }), bytes)).toBe(0);
        const seen = (await scene.driver.next({ event: "echo", server: target.server })).value as Uint8Array;
        expect(Buffer.compare(seen, bytes)).toBe(0);
        expect(Buffer.compare(await ours.request<Uint8Array>("echo", bytes), bytes)).toBe(0);
      }),
    );

    for (const [here, there] of [
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ] as const) {
      test(
        `with compression ${here} here and ${there} there, each side compresses as it is set, and ours takes what it does itself`,
        staged(async (scene) => {
          const target = await scene.listen({ enable_compression: there });
          const ours = await scene.logIn(target, { enableCompression: here });
          const echoed = ours.call("echo", { value: longText });
          if (there && !here) {
            await expect(echoed).rejects.toMatchObject({ codeName: "UNSUPPORTED_FLAG" });
            return;
          }
          expect(await echoed).toBe(longText);
          // netconduit counts a write after sending the bytes, so make one more round trip.
          await ours.call("add", { a: 1, b: 1 });
          const [bytes] = await scene.driver.run<{ received: number; sent: number }[]>("traffic", {
            server: target.server,
          });
          expect((bytes?.received ?? 0) < longText.length).toBe(here);
          expect((bytes?.sent ?? 0) < longText.length).toBe(there);
        }),
      );
    }
  });
}
