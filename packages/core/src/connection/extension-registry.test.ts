import { describe, expect, test } from "vitest";
import { Client } from "../client/client.ts";
import { ErrorCode } from "../errors.ts";
import { builtInExtensions } from "../extensions/index.ts";
import { READY_FRAME } from "../extensions/ready.ts";
import { Server } from "../server/server.ts";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { FEW_ITERATIONS } from "../test-support/peers.ts";
import { PASSWORD, rawClient } from "../test-support/raw-memory.ts";
import type { ConnectionSettings } from "./connection-settings.ts";
import type { Extension, ExtensionHost } from "./extension.ts";
import { ExtensionRegistry } from "./extension-registry.ts";

const ECHO = 0x0180;
const ECHOED = 0x0181;

interface EchoState {
  readonly connection: ExtensionHost;
  readonly maxBytes: number;
}

/** Creates a test extension that sends ECHO immediately, answers ECHO with ECHOED, and logs everything. */
function echo(log: string[], maxBytes = 100): Extension<{ maxBytes: number }, EchoState> {
  return {
    name: "echo",
    frames: [{ type: ECHO, maxPayloadBytes: 100 }, { type: ECHOED }],
    offer: () => ({ maxBytes }),
    accept: (theirs) => {
      const limit = (theirs as { maxBytes?: unknown } | null)?.maxBytes;
      return typeof limit === "number" ? { maxBytes: Math.min(limit, maxBytes) } : null;
    },
    attach: (connection, params) => ({ connection, maxBytes: params?.maxBytes ?? 0 }),
    receive: ({ connection }, frame) => {
      const payload = connection.readMap(frame);
      log.push(`${frame.type === ECHO ? "ECHO" : "ECHOED"} ${String(payload?.["text"])}`);
      if (frame.type === ECHO) connection.sendPayload(ECHOED, { text: payload?.["text"] });
    },
    closing: (_state, { message }) => void log.push(`closing: ${message}`),
    closed: (_state, { message }) => void log.push(`closed: ${message}`),
  };
}

async function bench(runtime: FakeRuntime, serverSpeaks: readonly Extension<never, unknown>[], log: string[] = []) {
  const options = { password: PASSWORD, host: "test", port: 8080 };
  const server = new Server({ ...options, scramIterations: FEW_ITERATIONS }, runtime, serverSpeaks as never);
  await server.start();
  const spoken = echo(log);
  let state: EchoState | undefined;
  const attach = (connection: ExtensionHost, params: { maxBytes: number } | null): EchoState | undefined => {
    state = spoken.attach?.(connection, params);
    return state;
  };
  const client = new Client(options, runtime, [...builtInExtensions, { ...spoken, attach }]);
  await client.connect();
  return { server, client, state: state as EchoState | undefined };
}

describe("an extension with two frame types, added in this file alone", () => {
  test("is negotiated with its parameters, and its frames go both ways", async () => {
    const runtime = fakeRuntime();
    const heardByServer: string[] = [];
    const heardByClient: string[] = [];
    const { client, state } = await bench(
      runtime,
      [...builtInExtensions, echo(heardByServer, 50)] as never,
      heardByClient,
    );
    expect(state?.maxBytes).toBe(50);
    state?.connection.sendPayload(ECHO, { text: "hello" });
    await runtime.settle();
    expect([heardByServer, heardByClient]).toEqual([["ECHO hello"], ["ECHOED hello"]]);
    await client.disconnect();
    expect(heardByClient.slice(1)).toEqual(["closing: Closed by the client", "closed: Closed by the client"]);
  });

  test("is not attached when the peer does not speak it", async () => {
    const { state } = await bench(fakeRuntime(), builtInExtensions as never);
    expect(state).toBeUndefined();
  });

  test("has the payload limit of each frame judged by the decoder", async () => {
    const runtime = fakeRuntime();
    const { client, state } = await bench(runtime, [...builtInExtensions, echo([])] as never);
    let code = 0;
    client.onDisconnect((_client, reason) => {
      code = reason.code;
    });
    state?.connection.sendPayload(ECHO, { text: "x".repeat(200) });
    await runtime.settle();
    expect(code).toBe(ErrorCode.MESSAGE_TOO_LARGE);
  });
});

test.each([
  ["an extension that was not agreed on", [], 0x0102, ErrorCode.UNEXPECTED_FRAME, "'cancel'"],
  ["an extension that only servers send", ["ready"], READY_FRAME, ErrorCode.UNEXPECTED_FRAME, "not sent to a server"],
  ["no extension", [], ECHO, ErrorCode.UNKNOWN_FRAME_TYPE, "0x0180"],
])("a frame of %s ends the connection with a code", async (_kind, extensions, type, code, text) => {
  const runtime = fakeRuntime();
  const server = new Server(
    { password: PASSWORD, host: "test", port: 8080, scramIterations: FEW_ITERATIONS, allowPasswordHash: true },
    runtime,
  );
  await server.start();
  const reasons: { code: number; message: string }[] = [];
  server.onClientDisconnect((_connection, reason) => void reasons.push(reason));
  server.onClientConnect(() => undefined);
  const peer = await rawClient(runtime, 8080, { extensions });
  peer.send(type);
  await runtime.settle();
  expect(reasons).toMatchObject([{ code, message: expect.stringContaining(text) }]);
});

test("a frame that only clients send ends a client's connection", async () => {
  const runtime = fakeRuntime();
  const hosts: ExtensionHost[] = [];
  const fromClients: Extension<true, ExtensionHost> = {
    name: "clients only",
    frames: [{ type: ECHO, from: "client" }],
    offer: () => true,
    accept: () => true,
    attach: (connection) => void hosts.push(connection),
    receive: () => undefined,
  };
  const options = { password: PASSWORD, host: "test", port: 8080 };
  const server = new Server({ ...options, scramIterations: FEW_ITERATIONS }, runtime, [
    ...builtInExtensions,
    fromClients,
  ]);
  await server.start();
  const client = new Client({ ...options, reconnect: { enabled: false } }, runtime, [
    ...builtInExtensions,
    fromClients,
  ]);
  const reasons: number[] = [];
  client.onDisconnect((_client, { code }) => void reasons.push(code));
  await client.connect();
  hosts.find(({ role }) => role === "server")?.sendPayload(ECHO, {});
  await runtime.settle();
  expect(reasons).toEqual([ErrorCode.UNEXPECTED_FRAME]);
});

describe("the registry", () => {
  const settings = {} as ConnectionSettings;
  const plain = (name: string, type: number): Extension => ({
    name,
    frames: [{ type }],
    offer: () => true,
    accept: () => true,
  });

  test.each([
    ["a name", [plain("a", 1000), plain("a", 1001)]],
    ["a frame type", [plain("a", 1000), plain("b", 1000)]],
    ["a frame type with the RPC frames", [plain("a", 2)]],
  ])("refuses two extensions that share %s", (_what, extensions) => {
    expect(() => new ExtensionRegistry(extensions, settings)).toThrow();
  });

  test("agrees on nothing when the peer says nothing, or something that is not a map", () => {
    const registry = new ExtensionRegistry(builtInExtensions, settings);
    for (const theirs of [undefined, null, 7, [], new Uint8Array(1), {}, { unknown: true }, { reply: 1 }]) {
      expect(registry.accept(theirs).size).toBe(0);
    }
  });

  test("agrees on what both sides offer, and answers it", () => {
    const registry = new ExtensionRegistry(builtInExtensions, settings);
    const agreed = registry.accept({ reply: true, cancel: { unknown: 1 }, unknown: true });
    expect(registry.answer(agreed)).toEqual({ reply: true, cancel: true });
  });
});
