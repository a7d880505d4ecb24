import { ErrorCode, float64 } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { failureOf } from "../support/failures.ts";
import type { Subject } from "../support/subject.ts";
import { PATIENT, stagedOn } from "./stage.ts";

/** Values and their form on arrival. */
export function describeValues(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`values on ${subject.name}`, PATIENT, () => {
    test(
      "every kind of value survives the round trip, none rounded",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("echo", (params) => params);
        server.on("echo", (_client, data) => data);
        const client = await stage.join(server);
        const values = {
          text: "Grüße, 世界 🚀 \u0000",
          empty: "",
          bytes: Uint8Array.of(0, 1, 254, 255),
          date: new Date(1_767_225_600_123),
          milliseconds: 1_767_225_600_123,
          safe: Number.MAX_SAFE_INTEGER,
          beyond: 2n ** 53n + 1n,
          negative: -(2n ** 63n),
          fraction: 0.1,
          zeros: [0, -0],
          flags: [true, false, null],
          nested: { list: [{ deep: [[]] }] },
        };
        expect(await client.call("echo", values)).toStrictEqual(values);
        expect(await client.request("echo", -0)).toBe(-0);
      }),
    );

    test(
      "undefined, Map, ArrayBuffer, instances of classes, small bigints and float64 arrive in the form they have on the wire",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("echo", (params) => params);
        const client = await stage.join(server);
        class Point {
          readonly x = 1;
          readonly y = undefined;
        }
        const sent = {
          dropped: undefined,
          list: [undefined, 1],
          map: new Map<string, unknown>([["a", new Map()]]),
          buffer: Uint8Array.of(1, 2, 3).buffer,
          view: new Uint8Array([9, 8, 7, 6]).subarray(1, 3),
          point: new Point(),
          small: 2n ** 40n,
          float: float64(2),
        };
        expect(await client.call("echo", sent)).toStrictEqual({
          list: [null, 1],
          map: { a: {} },
          buffer: Uint8Array.of(1, 2, 3),
          view: Uint8Array.of(8, 7),
          point: { x: 1 },
          small: 2 ** 40,
          float: 2,
        });
      }),
    );

    test(
      "bytes that arrived are the receiver's own: changing them changes nothing else",
      staged(async (stage) => {
        const server = await stage.listen();
        const kept: Uint8Array[] = [];
        server.on("bytes", (_connection, data) => {
          const bytes = data as Uint8Array;
          kept.push(bytes.slice());
          bytes.fill(0xff);
        });
        const client = await stage.join(server);
        for (let n = 0; n < 199; n++) client.send("bytes", new Uint8Array(20).fill(n));
        await client.request("bytes", new Uint8Array(20).fill(199));
        expect(kept).toEqual(Array.from({ length: 200 }, (_, n) => new Uint8Array(20).fill(n)));
      }),
    );

    test(
      "nesting up to the limit arrives; one level more is refused before it is sent",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("echo", (params) => params);
        const client = await stage.join(server);
        const nested = (depth: number): unknown => {
          let value: unknown = null;
          for (let n = 0; n < depth; n++) value = [value];
          return value;
        };
        // The envelope and the parameters add two levels.
        expect(await client.call("echo", { value: nested(126) })).toEqual({ value: nested(126) });
        const tooDeep = await failureOf(client.call("echo", { value: nested(127) }));
        expect(tooDeep.code).toBe(ErrorCode.UNSERIALIZABLE);
      }),
    );
  });
}
