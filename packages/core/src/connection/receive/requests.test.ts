/** Requests that are rejected, expire or are cancelled, as seen by their senders. */

import { encode } from "@msgpack/msgpack";
import { describe, expect, test } from "vitest";
import { ErrorCode } from "../../errors.ts";
import type { Server, ServerInit } from "../../server/server.ts";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { gate } from "../../test-support/gate.ts";
import { testServer } from "../../test-support/peers.ts";
import { rawClient } from "../../test-support/raw-memory.ts";
import type { RawLogin } from "../../test-support/raw-peer.ts";
import { chunksOf, frame, rawFrame, Type } from "../../testing/raw-frames.ts";

const MIB = 1024 * 1024;
/** Flag of a message or call without a reply whose failure is reported to the sender. */
const REPORT_REFUSAL = 0x1000;

async function bench(login: Partial<RawLogin>, options: Partial<ServerInit>, prepare: (server: Server) => void) {
  const runtime = fakeRuntime();
  const { port, errors, server } = await testServer(runtime, options, prepare);
  const peer = await rawClient(runtime, port, login);
  return { runtime, peer, errors, server };
}

const PLAIN = { extensions: null, passwordHash: true } as const;

describe("a netconduit client", () => {
  test.each([
    ["a deadline", { timeout_ms: 1 }],
    ["a deadline that isn't a number of ours", { timeout_ms: 1.5e9 }],
    ["streams", { output: 1000, input: true, progress: true }],
  ])("that names %s in a call gets its answer as if it had not", async (_what, keys) => {
    const { peer } = await bench(PLAIN, { allowPasswordHash: true }, (server) => server.rpc("add", () => 3));
    peer.send(Type.RPC_REQUEST, { method: "add", params: {}, ...keys }, { id: 5 });
    expect(await peer.next(Type.RPC_RESPONSE)).toMatchObject({ id: 5n, payload: { success: true } });
  });
});

describe("a call without a correlation id", () => {
  test("has no streams: it is refused, and the server reports it", async () => {
    const extensions = {
      close: true,
      call: true,
      credit: { frames: 1000, bytes: 64 * MIB },
      stream: { streams: 3, overdraft: 32 * MIB },
    };
    let calls = 0;
    const { runtime, peer, errors } = await bench({ extensions }, {}, (server) =>
      server.rpc({ name: "read", input: true }, () => {
        calls += 1;
      }),
    );
    peer.send(Type.RPC_REQUEST, { method: "read", params: {}, input: true });
    await runtime.settle();
    expect([calls, errors]).toMatchObject([
      0,
      [{ code: ErrorCode.INVALID_PAYLOAD_SHAPE, message: "A call without a correlation id has no streams" }],
    ]);
  });

  test("whose deadline passes before it starts is dropped without an answer", async () => {
    const first = gate();
    const started: unknown[] = [];
    const { runtime, peer } = await bench({}, { handlerConcurrency: 1 }, (server) =>
      server.rpc("work", ({ n }) => {
        started.push(n);
        return first.promise;
      }),
    );
    peer.write(
      frame(Type.RPC_REQUEST, { method: "work", params: { n: 1 } }),
      frame(Type.RPC_REQUEST, { method: "work", params: { n: 2 }, timeout_ms: 100 }),
    );
    await runtime.advance(200);
    first.open();
    await runtime.settle();
    expect([started, await peer.received()]).toEqual([[1], []]);
  });
});

test("a message that can't be read is told to a sender who asked for that", async () => {
  const extensions = { close: true, call: true, refusal: true };
  const { peer, errors } = await bench({ extensions }, {}, () => undefined);
  peer.write(rawFrame(Type.MESSAGE, encode(["no map"]), { flags: REPORT_REFUSAL }));
  const { payload } = await peer.next(Type.REFUSED);
  expect(payload).toMatchObject({ name: "", count: 1, code: errors[0]?.code });
});

test("a reply in chunks that its sender gives up leaves the connection as it was", async () => {
  const extensions = {
    close: true,
    call: true,
    credit: { frames: 10, bytes: MIB },
    chunk: { messages: 4, bytes: MIB },
  };
  const { runtime, peer, server } = await bench({ extensions }, {}, (made) => made.rpc("add", () => 3));
  const asked = server.connections[0]?.call("text");
  const { id } = await peer.next(Type.RPC_REQUEST);
  const reply = (result: unknown): Uint8Array => frame(Type.RPC_RESPONSE, { success: true, result }, { id });
  peer.write(chunksOf(reply("x".repeat(100_000)), id)[0] as Uint8Array, frame(Type.CHUNK, undefined, { id }));
  await runtime.settle();
  peer.write(reply("short"));
  expect(await asked).toBe("short");
});
