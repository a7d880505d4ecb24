import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { testServer, withClients } from "../test-support/peers.ts";
import { type MemoryPeer, rawClient } from "../test-support/raw-memory.ts";
import { frame } from "../testing/raw-frames.ts";
import { FrameType } from "../wire/constants.ts";

/** Starts a server whose handlers answer synchronously or by a promise, and a raw client. */
async function scene() {
  const runtime = fakeRuntime();
  const { server, port } = await testServer(runtime, {}, (fresh) => {
    fresh.on("now", () => "an answer");
    fresh.on("later", async () => "an answer");
  });
  const peer = await rawClient(runtime, port, { extensions: [] });
  const connection = server.connections[0] as (typeof server.connections)[0];
  /** Sends one chunk with a message of each type. */
  const sendChunk = (...types: string[]): void =>
    peer.write(...types.map((type) => frame(FrameType.MESSAGE, { type, data: null })));
  return { runtime, server, connection, peer, sendChunk };
}

/** Returns the numbers of chunks and frames received since the last call. */
async function arrived(peer: MemoryPeer): Promise<{ readonly chunks: number; readonly frames: number }> {
  const frames = (await peer.received()).length;
  return { chunks: peer.chunks.splice(0).length, frames };
}

test("answers of synchronous handlers to one chunk leave in one piece", async () => {
  const { peer, sendChunk } = await scene();
  await arrived(peer);
  sendChunk("now", "now", "now");
  expect(await arrived(peer)).toEqual({ chunks: 1, frames: 3 });
});

test("answers of asynchronous handlers leave at the end of the turn, in one piece", async () => {
  const { peer, sendChunk } = await scene();
  await arrived(peer);
  sendChunk("later", "now", "later");
  expect(await arrived(peer)).toEqual({ chunks: 2, frames: 3 });
});

test("messages and broadcasts of one turn leave in one piece, in order", async () => {
  const { server, connection, peer } = await scene();
  await arrived(peer);
  connection.send("one");
  server.broadcast("two");
  connection.send("three");
  const frames = await peer.received();
  expect(frames.map(({ payload }) => payload?.["type"])).toEqual(["one", "two", "three"]);
  expect(peer.chunks).toHaveLength(1);
});

test("a handler's messages leave in one piece with its answer, and ahead of it", async () => {
  const { server, peer, sendChunk } = await scene();
  server.on("news", (client) => {
    client.send("first");
    return "an answer";
  });
  await arrived(peer);
  sendChunk("news");
  const frames = await peer.received();
  expect(frames.map(({ payload }) => payload?.["type"])).toEqual(["first", "news_response"]);
  expect(peer.chunks).toHaveLength(1);
});

test("a large turn begins to leave before its end, in few pieces, and so does the next one", async () => {
  const { connection, peer } = await scene();
  await arrived(peer);
  for (let turns = 0; turns < 2; turns += 1) {
    for (let count = 0; count < 60; count += 1) connection.send("n", "x".repeat(1000));
    expect(await peer.received()).toHaveLength(60);
    const pieces = peer.chunks.splice(0);
    expect(pieces[0]).toBeLessThan(5000);
    expect(pieces.length).toBeLessThan(10);
  }
});

test("frames that one peer has not read are not overwritten by answers to another", async () => {
  const { runtime, server, peers } = await withClients(2);
  const [reads, sleeps] = peers as [MemoryPeer, MemoryPeer];
  server.on("echo", (_client, data) => data);
  sleeps.pause();
  for (let n = 0; n < 50; n += 1) {
    sleeps.message("echo", n, 1);
    reads.message("echo", 1000 + n, 1);
    await runtime.settle();
  }
  sleeps.resume();
  const results = (frames: Awaited<ReturnType<MemoryPeer["received"]>>): unknown[] =>
    frames.map(({ payload }) => payload?.["result"]);
  expect(results(await sleeps.received())).toEqual(Array.from({ length: 50 }, (_, n) => n));
  expect(results(await reads.received())).toEqual(Array.from({ length: 50 }, (_, n) => 1000 + n));
});

describe("a connection with much to do", () => {
  /** Like `scene`, with a clock that advances by 0.1 ms on each read. */
  async function busyScene() {
    const { runtime, server, port, peers } = await withClients(1);
    const handled: string[] = [];
    server.on("work", (client) => void handled.push(client.id));
    const honest = await rawClient(runtime, port);
    const [floodId, honestId] = server.connections.map(({ id }) => id) as [string, string];
    let ms = runtime.now();
    runtime.now = () => {
      ms += 0.1;
      return ms;
    };
    return { runtime, server, flooder: peers[0] as MemoryPeer, honest, handled, floodId, honestId };
  }
  const work = frame(FrameType.MESSAGE, { type: "work", data: null });

  test("lets others go first after a time slice, and loses nothing", async () => {
    const { runtime, flooder, honest, handled, floodId, honestId } = await busyScene();
    flooder.write(...Array.from({ length: 500 }, () => work));
    honest.write(work);
    await runtime.settle();
    expect(handled.indexOf(honestId)).toBeLessThan(50);
    expect(handled.filter((id) => id === floodId)).toHaveLength(500);
  });

  test("starts the requests that waited for its reading of replies in several turns", async () => {
    const { runtime, server, flooder, honest, handled, floodId, honestId } = await busyScene();
    server.rpc("large", () => new Uint8Array(500_000));
    flooder.pause();
    for (let id = 1; id <= 40; id += 1) flooder.call("large", {}, id);
    flooder.write(...Array.from({ length: 500 }, () => work));
    await runtime.settle();
    expect(handled).toEqual([]);
    flooder.resume();
    while (handled.length === 0) await turn();
    honest.write(work);
    await runtime.settle();
    expect(handled.filter((id) => id === floodId)).toHaveLength(500);
    expect(handled.indexOf(honestId)).toBeLessThan(50);
  });

  test("has all its frames handled, in order, when it hangs up meanwhile", async () => {
    const { runtime, server, flooder } = await busyScene();
    const seen: unknown[] = [];
    server.on("numbered", (_client, data) => void seen.push(data));
    const numbers = Array.from({ length: 300 }, (_, n) => n);
    flooder.write(...numbers.map((n) => frame(FrameType.MESSAGE, { type: "numbered", data: n })));
    flooder.end();
    await runtime.settle();
    expect([seen, server.connectionCount]).toEqual([numbers, 1]);
  });
});
