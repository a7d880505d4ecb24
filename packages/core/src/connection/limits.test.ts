/** The maximum message size of a peer, which it announces at login. */

import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { error } from "../rpc/error-helpers.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";
import { rawClient } from "../test-support/raw-memory.ts";
import { FrameType } from "../wire/constants.ts";

const KIB = 1024;
const LARGE = "x".repeat(5 * KIB);

/** Connects a server and a client with these maximum message sizes. */
async function pair(server: number, client: number) {
  const runtime = fakeRuntime();
  const { server: ours, errors } = await testServer(runtime, { maxMessageBytes: server * KIB }, (fresh) => {
    fresh.rpc("large", () => LARGE);
    fresh.rpc("fail", () => {
      throw error("gone", { code: ErrorCode.NOT_FOUND, details: { LARGE } });
    });
    fresh.rpc("small", () => "small");
    fresh.on("note", () => undefined);
  });
  const { client: theirs, errors: seen } = testClient(runtime, { maxMessageBytes: client * KIB });
  await theirs.connect();
  return { runtime, server: ours, client: theirs, errors, seen };
}

describe("the limit of a peer", () => {
  test("is announced by both sides", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime, { maxMessageBytes: 4 * KIB });
    const peer = await rawClient(runtime, 8080, { extensions: { limits: { message_bytes: 2 * KIB, unknown: 1 } } });
    const success = peer.frames.all.find(({ type }) => type === FrameType.AUTH_SUCCESS);
    expect(success?.payload?.["extensions"]).toEqual({ limits: { message_bytes: 4 * KIB } });
  });

  test.each([true, {}, { message_bytes: 1023 }, { message_bytes: "4096" }, { message_bytes: 4096.5 }])(
    "is ignored if it is said as %j",
    async (limits) => {
      const runtime = fakeRuntime();
      await testServer(runtime);
      const peer = await rawClient(runtime, 8080, { extensions: { limits } });
      const success = peer.frames.all.find(({ type }) => type === FrameType.AUTH_SUCCESS);
      expect(success?.payload?.["extensions"]).toEqual({});
    },
  );

  test("refuses a larger message or call where it is sent, with name, limit and remedy", async () => {
    const { runtime, client, errors } = await pair(4, 100);
    const message =
      "Cannot send 'note': 5139 bytes exceed maxMessageBytes of the server, 4096; send it as a file or a stream, or raise the option";
    const refused = { code: ErrorCode.MESSAGE_TOO_LARGE, message, details: { bytes: 5139, limit: 4096 } };
    expect(() => client.send("note", LARGE)).toThrow(expect.objectContaining(refused));
    const outcomes = [outcome(client.call("small", { LARGE })), outcome(client.request("note", LARGE))];
    await runtime.settle();
    for (const { error: failure } of outcomes) expect(failure).toMatchObject({ code: ErrorCode.MESSAGE_TOO_LARGE });
    expect(await client.call("small")).toBe("small");
    expect(errors).toEqual([]);
    expect(client.health().pendingCalls).toBe(0);
  });

  test("turns a larger reply into MESSAGE_TOO_LARGE for its caller", async () => {
    const { client } = await pair(100, 4);
    await expect(client.call("large")).rejects.toMatchObject({ code: ErrorCode.MESSAGE_TOO_LARGE });
    expect(await client.call("small")).toBe("small");
  });

  test("leaves out the details of an error that is too large", async () => {
    const { client } = await pair(100, 4);
    await expect(client.call("fail")).rejects.toMatchObject({ code: ErrorCode.NOT_FOUND, message: "gone" });
  });

  test("makes a broadcast skip the clients that accept less, and the server's onError is notified", async () => {
    const { runtime, server, client, errors } = await pair(100, 4);
    const { client: other } = testClient(runtime, { maxMessageBytes: 100 * KIB });
    const heard: string[] = [];
    client.on("news", () => void heard.push("client"));
    other.on("news", () => void heard.push("other"));
    await other.connect();
    expect(server.broadcast("news", LARGE)).toBe(1);
    await runtime.settle();
    expect(heard).toEqual(["other"]);
    expect(errors).toMatchObject([{ code: ErrorCode.MESSAGE_TOO_LARGE, message: expect.stringContaining("client") }]);
    expect(client.isConnected).toBe(true);
  });

  test("applies to data before compression", async () => {
    const runtime = fakeRuntime();
    await testServer(runtime, { maxMessageBytes: 4 * KIB });
    const { client } = testClient(runtime, { enableCompression: true });
    await client.connect();
    expect(() => client.send("note", LARGE)).toThrow(expect.objectContaining({ code: ErrorCode.MESSAGE_TOO_LARGE }));
  });
});
