import { ErrorCode, float64 } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import type { Staged } from "../scene.ts";
import { longText, mebibyte, wireValues } from "../wire-values.ts";
import { withMethods } from "./methods.ts";
import type { ClientScene } from "./scene.ts";

export function describeValues(staged: Staged<ClientScene>): void {
  describe("values", () => {
    for (const [name, value] of Object.entries(wireValues)) {
      test(
        `${name} arrives unchanged on both sides`,
        staged(async (scene) => {
          const received = new EventLog<unknown>();
          const server = await scene.listen({}, (made) =>
            made.rpc("echo", (params) => {
              received.add(params.value);
              return params.value;
            }),
          );
          const { client } = await scene.logIn(server);
          expect(await scene.callData(client, "echo", { value })).toStrictEqual(value);
          expect(received.all).toStrictEqual([value]);
        }),
      );
    }

    test(
      "a whole float arrives as a number, and float64() keeps it one in Python",
      staged(async (scene) => {
        const received = new EventLog<unknown>();
        const server = await scene.listen({}, (made) =>
          made.rpc("half", ({ value }) => {
            received.add(value);
            return { plain: value, marked: float64(value as number) };
          }),
        );
        const { client } = await scene.logIn(server);
        const halves = await scene.callData(client, "half", { value: float64(2) });
        expect(received.all).toEqual([2]);
        expect(halves).toEqual({ plain: 2, marked: float64(2) });
      }),
    );

    test(
      "1 MiB of binary data crosses unharmed, in calls and in messages",
      staged(async (scene) => {
        const bytes = mebibyte();
        const received = new EventLog<unknown>();
        const server = await scene.listen({}, (made) => {
          made.rpc("echo", ({ value }) => {
            received.add(value);
            return value;
          });
        });
        const { client, connection } = await scene.logIn(server, {}, ["blob"]);
        const echoed = await scene.callData<Uint8Array>(client, "echo", { value: bytes });
        expect(Buffer.compare(echoed, bytes)).toBe(0);
        expect(Buffer.compare((await received.next()) as Uint8Array, bytes)).toBe(0);
        connection.send("blob", bytes);
        expect(Buffer.compare((await scene.message(client, "blob")) as Uint8Array, bytes)).toBe(0);
      }),
    );

    for (const [ours, theirs] of [
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ] as const) {
      test(
        `with compression ${ours} here and ${theirs} there, each side compresses as it is set, and ours takes what it does itself`,
        staged(async (scene) => {
          const server = await scene.listen({ enableCompression: ours }, withMethods);
          const { client, connection } = await scene.logIn(server, { enable_compression: theirs });
          const echoed = scene.callData(client, "echo", { value: longText });
          if (theirs && !ours) {
            await expect(echoed).rejects.toThrow(`"code":${ErrorCode.UNSUPPORTED_FLAG}`);
            return;
          }
          expect(await echoed).toBe(longText);
          const { bytesReceived, bytesSent } = connection.stats;
          expect(bytesSent < longText.length).toBe(ours);
          expect(bytesReceived < longText.length).toBe(theirs);
        }),
      );
    }
  });
}
