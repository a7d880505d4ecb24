import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/test-support/event-log.ts";
import { COMPRESSED, call, rawFrame, Type } from "../../packages/core/src/test-support/raw-frames.ts";
import type { Subject } from "../support/subject.ts";
import { PATIENT, stagedOn } from "./stage.ts";

/** Compression, which netconduit's own peers have too. */
export function describeCompression(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`compression on ${subject.name}`, PATIENT, () => {
    const text = "compress me ".repeat(1000);

    test(
      "enableCompression compresses payloads over 1,024 bytes that shrink, and no others",
      staged(async (stage) => {
        const server = await stage.listen({ enableCompression: true });
        server.rpc("repeat", ({ n }) => "x".repeat(n as number));
        server.rpc("random", () => subject.runtime.crypto.randomBytes(5000));
        const peer = await stage.rawLoggedIn(server);
        peer.write(call(1n, "repeat", { n: 100 }), call(2n, "repeat", { n: 5000 }), call(3n, "random"));
        const [small, large, random] = [await peer.next(), await peer.next(), await peer.next()];
        expect([small.flags, large.flags, random.flags]).toEqual([0, COMPRESSED, 0]);
        expect(large.payloadBytes.length).toBeLessThan(200);
        const inflated = subject.runtime.inflate(large.payloadBytes, 10_000);
        expect(Buffer.from(inflated).toString("latin1")).toContain("x".repeat(5000));
      }),
    );

    test(
      "compressed payloads are inflated whatever the own setting is",
      staged(async (stage) => {
        const server = await stage.listen({ enableCompression: false });
        server.rpc("length", ({ text }) => (text as string).length);
        const client = await stage.join(server, { enableCompression: true });
        expect(await client.call("length", { text })).toBe(text.length);
        const peer = await stage.rawLoggedIn(server);
        const plain = call(1n, "length", { text }).subarray(32);
        peer.write(rawFrame(Type.RPC_REQUEST, subject.runtime.deflate(plain), { id: 1n, flags: COMPRESSED }));
        expect(await peer.next()).toMatchObject({ flags: 0, payload: { result: text.length } });
      }),
    );

    test(
      "with compression on both ends every value arrives as it was sent",
      staged(async (stage) => {
        const server = await stage.listen({ enableCompression: true });
        server.rpc("echo", (params) => params);
        server.on("echo", (_client, data) => data);
        const client = await stage.join(server, { enableCompression: true });
        const heard = new EventLog<unknown>();
        client.on("news", heard.add);
        const values = { text, bytes: new Uint8Array(100_000).fill(7), list: Array.from({ length: 500 }, (_, n) => n) };
        expect(await client.call("echo", values)).toEqual(values);
        expect(await client.request("echo", values)).toEqual(values);
        server.broadcast("news", values);
        expect(await heard.next()).toEqual(values);
      }),
    );
  });
}
