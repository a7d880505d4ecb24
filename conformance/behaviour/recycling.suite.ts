import { recycle } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { PATIENT, stagedOn } from "./stage.ts";
import type { Subject } from "./subject.ts";

const MIB = 1024 * 1024;

/** Memory of received data that the application gives back. */
export function describeRecycling(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`recycling on ${subject.name}`, PATIENT, () => {
    test(
      "messages that are received in recycled memory arrive as they were sent",
      staged(async (stage) => {
        const server = await stage.listen();
        server.on("sum", (_client, data) => {
          const bytes = data as Uint8Array;
          const sum = bytes.reduce((total, byte) => total + byte, 0);
          return { sum, length: bytes.length, recycled: recycle(bytes) };
        });
        const client = await stage.join(server);
        const sizes = [MIB, MIB - 10, 900_000, MIB, 3 * MIB, 40_000, 64 * 1024, MIB];
        const replies = sizes.map((length, index) => client.request("sum", new Uint8Array(length).fill(index + 1)));
        const expected = sizes.map((length, index) => ({ sum: length * (index + 1), length, recycled: true }));
        expect(await Promise.all(replies)).toEqual(expected);
      }),
    );

    test(
      "a result that was recycled is empty, and the next one is whole",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("read", ({ fill }) => new Uint8Array(MIB).fill(fill as number));
        const client = await stage.join(server);
        const first = await client.call<Uint8Array>("read", { fill: 1 });
        recycle(first);
        const second = await client.call<Uint8Array>("read", { fill: 2 });
        expect([first.length, second.length, second.every((byte) => byte === 2)]).toEqual([0, MIB, true]);
      }),
    );

    test(
      "data that was not recycled stays as it is",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("read", ({ fill }) => new Uint8Array(MIB).fill(fill as number));
        const client = await stage.join(server);
        const kept = await client.call<Uint8Array>("read", { fill: 1 });
        for (let fill = 2; fill < 10; fill++) recycle(await client.call<Uint8Array>("read", { fill }));
        expect(kept.every((byte) => byte === 1)).toBe(true);
      }),
    );

    test(
      "memory of large texts is used again, and changes nothing that was received before",
      staged(async (stage) => {
        const server = await stage.listen();
        server.rpc("read", ({ fill }) => new Uint8Array(MIB).fill(fill as number));
        server.rpc("text", ({ fill }) => String(fill).repeat(MIB));
        const client = await stage.join(server);
        const kept: Uint8Array[] = [];
        for (let fill = 0; fill < 8; fill++) {
          expect(await client.call("text", { fill })).toBe(String(fill).repeat(MIB));
          kept.push(await client.call<Uint8Array>("read", { fill }));
        }
        expect(kept.map((bytes, fill) => bytes.every((byte) => byte === fill))).toEqual(new Array(8).fill(true));
      }),
    );

    test(
      "what a handler sends back before it recycles it arrives whole",
      staged(async (stage) => {
        const server = await stage.listen();
        server.on("echo", (connection, data) => {
          connection.send("echoed", data);
          recycle(data as Uint8Array);
        });
        const client = await stage.join(server);
        const whole: boolean[] = [];
        const all = new Promise<void>((resolve) => {
          client.on("echoed", (data) => {
            const bytes = data as Uint8Array;
            whole.push(bytes.length === MIB && bytes.every((byte) => byte === whole.length));
            recycle(bytes);
            if (whole.length === 16) resolve();
          });
        });
        for (let fill = 0; fill < 16; fill++) client.send("echo", new Uint8Array(MIB).fill(fill));
        await all;
        expect(whole).toEqual(new Array(16).fill(true));
      }),
    );
  });
}
