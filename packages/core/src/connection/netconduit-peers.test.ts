import { expect, test } from "vitest";
import { NETCONDUIT_LINGER_MS } from "../limits.ts";
import type { Server } from "../server/server.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { outcome, testServer } from "../test-support/peers.ts";
import { type MemoryPeer, rawClient } from "../test-support/raw-memory.ts";

const CLOSE_TIMEOUT_MS = 5000;
/** Slightly more than a tick of the timer wheel. */
const TICK_MS = 20;
/** More than a stream accepts while its reader is paused. */
const FILLER = "x".repeat(70_000);

async function bench(prepare: (server: Server) => void = () => {}) {
  const runtime = fakeRuntime();
  const options = { allowPasswordHash: true, closeTimeoutMs: CLOSE_TIMEOUT_MS };
  const { server, port } = await testServer(runtime, options, (fresh) => {
    prepare(fresh);
  });
  const peer: MemoryPeer = await rawClient(runtime, port, { extensions: null, passwordHash: true });
  const connection = server.connections[0] as (typeof server.connections)[0];
  return { runtime, server, peer, connection };
}

test("a netconduit client that speaks gets at once what was held back after its login", async () => {
  const { runtime, peer } = await bench((server) => {
    server.onClientConnect((connection) => connection.send("welcome"));
    server.rpc("ping", () => "pong");
  });
  expect(await peer.receivedTypes()).toEqual([]);
  peer.call("ping");
  expect(await peer.receivedTypes()).toEqual(["MESSAGE", "RPC_RESPONSE"]);
  expect(runtime.now()).toBe(0);
});

test("the close of a connection does not wait for a netconduit client that leaves its end open", async () => {
  const { runtime, peer, connection } = await bench();
  peer.pause();
  const closing = outcome(connection.close());
  await runtime.advance(NETCONDUIT_LINGER_MS - TICK_MS);
  expect(closing.state).toBe("pending");
  await runtime.advance(2 * TICK_MS);
  expect(closing.state).toBe("resolved");
});

test("the close of a connection gives a netconduit client the time it needs to read what was sent", async () => {
  const { runtime, peer, connection } = await bench();
  peer.pause();
  connection.send("filler", FILLER);
  connection.send("last");
  const closing = outcome(connection.close());
  await runtime.advance(CLOSE_TIMEOUT_MS - TICK_MS);
  expect(closing.state).toBe("pending");
  peer.resume();
  const messages = await peer.received();
  expect(messages.map((frame) => frame.payload?.["type"])).toEqual(["filler", "last"]);
  expect(closing.state).toBe("resolved");
});

test("the close of a connection is forced after closeTimeoutMs if a netconduit client does not read", async () => {
  const { runtime, peer, connection } = await bench();
  peer.pause();
  connection.send("filler", FILLER);
  const closing = outcome(connection.close());
  await runtime.advance(CLOSE_TIMEOUT_MS + TICK_MS);
  expect(closing.state).toBe("resolved");
});
