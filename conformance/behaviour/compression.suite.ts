import { ErrorCode } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { COMPRESSED, call, rawFrame, Type } from "../../packages/core/src/testing/raw-frames.ts";
import type { Subject } from "../support/subject.ts";
import { PATIENT, stagedOn } from "./stage.ts";

/** Compression, which requires both sides' agreement. */
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
      "nothing is compressed if one end has it off, broadcasts included",
      staged(async (stage) => {
        const server = await stage.listen({ enableCompression: true });
        server.rpc("echo", (params) => params);
        const [plain, compressing] = [await stage.join(server), await stage.join(server, { enableCompression: true })];
        const heard = new EventLog<unknown>();
        for (const client of [plain, compressing]) {
          client.on("news", heard.add);
          expect(await client.call("echo", { text })).toEqual({ text });
        }
        server.broadcast("news", text);
        expect([await heard.next(), await heard.next()]).toEqual([text, text]);
        const sent = server.connections.map(({ stats }) => stats.bytesSent > text.length);
        expect(sent).toEqual([true, false]);
      }),
    );

    test(
      "a compressed payload that was not agreed on is refused with its code, and the connection lives",
      staged(async (stage) => {
        const server = await stage.listen({ enableCompression: false });
        server.rpc("length", ({ text }) => (text as string).length);
        const peer = await stage.rawLoggedIn(server);
        const plain = call(1n, "length", { text }).subarray(32);
        peer.write(rawFrame(Type.RPC_REQUEST, subject.runtime.deflate(plain), { id: 1n, flags: COMPRESSED }));
        expect((await peer.next()).payload).toMatchObject({ code: ErrorCode.UNSUPPORTED_FLAG });
        peer.write(call(2n, "length", { text }));
        expect((await peer.next()).payload).toMatchObject({ result: text.length });
      }),
    );

    test(
      "towards a peer that negotiates nothing, the own option decides",
      staged(async (stage) => {
        const server = await stage.listen({ enableCompression: true });
        server.rpc("echo", (params) => params);
        const peer = await stage.rawLoggedIn(server, { extensions: null });
        const plain = call(1n, "echo", { text }).subarray(32);
        peer.write(rawFrame(Type.RPC_REQUEST, subject.runtime.deflate(plain), { id: 1n, flags: COMPRESSED }));
        expect(await peer.next()).toMatchObject({ id: 1n, flags: COMPRESSED });
      }),
    );

    test(
      "a payload that inflates to more than a hundred times its size is refused, and none such is sent",
      staged(async (stage) => {
        const server = await stage.listen({ enableCompression: true });
        server.rpc("zeros", () => "0".repeat(1_000_000));
        const peer = await stage.rawLoggedIn(server);
        const bomb = subject.runtime.deflate(call(1n, "zeros", { text: "0".repeat(1_000_000) }).subarray(32));
        peer.write(rawFrame(Type.RPC_REQUEST, bomb, { id: 1n, flags: COMPRESSED }));
        expect((await peer.next()).payload).toMatchObject({ code: ErrorCode.INFLATED_TOO_LARGE });
        peer.write(call(2n, "zeros"));
        expect(await peer.next()).toMatchObject({ id: 2n, flags: 0 });
      }),
    );

    test(
      "rate limits count payloads as inflated",
      staged(async (stage) => {
        const server = await stage.listen({ enableCompression: true, rateLimit: { bytesPerSecond: 50_000 } });
        server.rpc("length", ({ text }) => (text as string).length);
        const peer = await stage.rawLoggedIn(server);
        const plain = call(1n, "length", { text: text.repeat(5) }).subarray(32);
        const compressed = subject.runtime.deflate(plain);
        expect(compressed.length).toBeLessThan(2000);
        peer.write(
          rawFrame(Type.RPC_REQUEST, compressed, { id: 1n, flags: COMPRESSED }),
          call(2n, "length", { text: "" }),
        );
        expect((await peer.next()).payload).toMatchObject({ result: 5 * text.length });
        expect((await peer.next()).payload).toMatchObject({ code: ErrorCode.RATE_LIMITED });
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
