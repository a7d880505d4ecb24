/** Correlation ids of requests received by a server. */

import { describe, expect, test } from "vitest";
import { ErrorCode } from "../../errors.ts";
import { CANCEL_FRAME } from "../../extensions/cancel.ts";
import type { IdentifiedRequest } from "../../rpc/incoming-request.ts";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { gate } from "../../test-support/gate.ts";
import { clientAtRawServer, testServer } from "../../test-support/peers.ts";
import { rawClient } from "../../test-support/raw-memory.ts";
import type { RawLogin } from "../../test-support/raw-peer.ts";
import { FrameType } from "../../wire/constants.ts";
import { RequestIds } from "./request-ids.ts";

/** Starts a server with a method and a message handler that wait for a gate, and a raw client. */
async function scene(options: Record<string, unknown> = {}, login: Partial<RawLogin> = {}) {
  const runtime = fakeRuntime();
  const held = gate<string>();
  const { server, port } = await testServer(runtime, options, (fresh) => {
    fresh.rpc("wait", () => held.promise);
    fresh.on("wait", () => held.promise);
  });
  const peer = await rawClient(runtime, port, login);
  const call = async (id: number | bigint): Promise<void> => {
    peer.send(FrameType.RPC_REQUEST, { method: "wait", params: {} }, { id });
    await runtime.settle();
  };
  const request = async (id: number | bigint): Promise<void> => {
    peer.send(FrameType.MESSAGE, { type: "wait", data: null }, { id });
    await runtime.settle();
  };
  return { runtime, server, peer, held, call, request };
}

const refusal = { reason: expect.stringContaining("Correlation id"), code: ErrorCode.DUPLICATE_ID };

describe("a request with the id of another one", () => {
  test.each(["call", "request"] as const)("that is running ends the connection of a %s", async (kind) => {
    const bench = await scene();
    await bench.call(7);
    await bench[kind](7);
    expect((await bench.peer.next(FrameType.CLOSE)).payload).toMatchObject(refusal);
  });

  test("that is queued ends the connection", async () => {
    const { peer, call } = await scene({ handlerConcurrency: 1 });
    for (const id of [1, 2, 2]) await call(id);
    expect((await peer.next(FrameType.CLOSE)).payload).toMatchObject(refusal);
  });

  test("of 64 bits ends the connection", async () => {
    const { peer, call } = await scene();
    for (const id of [2n ** 64n - 1n, 2n ** 64n - 2n, 2n ** 64n - 1n]) await call(id);
    expect((await peer.next(FrameType.CLOSE)).payload).toMatchObject(refusal);
  });

  test("of 64 bits, except for the last one, is answered as well as the other", async () => {
    const { peer, call, held } = await scene();
    const ids = [2n ** 64n - 1n, 2n ** 64n - 2n, 2n ** 53n, 2n ** 53n + 1n];
    for (const id of ids) await call(id);
    held.open("done");
    expect((await peer.received()).map(({ type, id }) => [type, id])).toEqual(
      ids.map((id) => [FrameType.RPC_RESPONSE, id]),
    );
  });

  test("that asks for the list of methods ends the connection", async () => {
    const { peer, call } = await scene();
    await call(7);
    peer.send(FrameType.RPC_LIST, undefined, { id: 7 });
    expect((await peer.next(FrameType.CLOSE)).payload).toMatchObject(refusal);
  });

  test("that has been answered is answered, too", async () => {
    const { peer, call, held } = await scene();
    await call(7);
    held.open("done");
    await peer.next(FrameType.RPC_RESPONSE);
    await call(7);
    expect((await peer.next(FrameType.RPC_RESPONSE)).payload).toMatchObject({ result: "done" });
  });

  test("of a plain peer is answered as well as the other", async () => {
    const { peer, call, held } = await scene({ allowPasswordHash: true }, { passwordHash: true, extensions: null });
    await call(7);
    await call(7);
    held.open("done");
    await peer.next(FrameType.RPC_RESPONSE);
    expect((await peer.next(FrameType.RPC_RESPONSE)).payload).toMatchObject({ result: { data: "done" } });
  });

  test("0 asks for no reply, and may come any number of times", async () => {
    const { server, call } = await scene();
    for (let count = 0; count < 3; count += 1) await call(0);
    expect(server.connectionCount).toBe(1);
  });
});

test("a cancelled request that waits is answered with CANCELLED, so that its id is free again", async () => {
  const { runtime, peer, call, held } = await scene({ handlerConcurrency: 1 });
  await call(1);
  await call(2);
  peer.send(CANCEL_FRAME, undefined, { id: 2 });
  const answer = await peer.next(FrameType.RPC_ERROR);
  expect([Number(answer.id), answer.payload?.["code"]]).toEqual([2, ErrorCode.CANCELLED]);
  await call(2);
  held.open("done");
  await runtime.settle();
  const answers = (await peer.received()).map(({ type, id }) => [type, Number(id)]);
  expect(answers).toEqual([
    [FrameType.RPC_RESPONSE, 1],
    [FrameType.RPC_RESPONSE, 2],
  ]);
});

test("a call that a client did not agree to answer ends the connection", async () => {
  const { peer } = await clientAtRawServer({ extensions: ["close"] });
  peer.send(FrameType.RPC_REQUEST, { method: "m", params: {} }, { id: 1 });
  expect((await peer.next(FrameType.CLOSE)).payload).toMatchObject({ code: ErrorCode.UNEXPECTED_FRAME });
});

describe("the table of ids", () => {
  const requestOf = (idHi: number, idLo: number, wantsReply = true): IdentifiedRequest => {
    return { idHi, idLo, wantsReply, nextOfChain: null };
  };

  test.each([
    ["slots and generations", (n: number) => requestOf(n >>> 4, n & 0xf)],
    ["numbers in a row", (n: number) => requestOf(0, n + 1)],
    ["high halves alone", (n: number) => requestOf(n + 1, 0)],
    ["large halves", (n: number) => requestOf(0xffff_ffff - n, 0xffff_ffff)],
  ])("finds each request while it is there: %s", (_name, make) => {
    const ids = new RequestIds<IdentifiedRequest>();
    const requests = Array.from({ length: 500 }, (_, n) => make(n));
    for (const request of requests) ids.add(request);
    const found = (): boolean[] => requests.map((request) => ids.get(request.idHi, request.idLo) === request);
    expect(ids.size).toBe(500);
    expect(found()).not.toContain(false);
    for (const [n, request] of requests.entries()) if (n % 3 > 0) ids.delete(request);
    expect(ids.size).toBe(167);
    expect(found()).toEqual(requests.map((_, n) => n % 3 === 0));
    for (const request of requests) ids.delete(request);
    expect(ids.size).toBe(0);
    expect(found()).not.toContain(true);
    // A request that has ended must not keep another one alive.
    expect(requests.every(({ nextOfChain }) => nextOfChain === null)).toBe(true);
  });

  test("deletes the request itself, of two with one id", () => {
    const ids = new RequestIds<IdentifiedRequest>();
    const [first, second] = [requestOf(1, 2), requestOf(1, 2)];
    ids.add(first);
    ids.add(second);
    expect(ids.get(1, 2)).toBe(second);
    ids.delete(first);
    expect(ids.get(1, 2)).toBe(second);
    ids.delete(second);
    expect(ids.get(1, 2)).toBeUndefined();
  });

  test("has no requests that expect no reply", () => {
    const ids = new RequestIds<IdentifiedRequest>();
    const request = requestOf(0, 0, false);
    ids.add(request);
    expect([ids.size, ids.get(0, 0)]).toEqual([0, undefined]);
    ids.delete(request);
    expect(ids.size).toBe(0);
  });
});
