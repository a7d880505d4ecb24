import { expect, test } from "vitest";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { testServer } from "../../test-support/peers.ts";
import { rawClient } from "../../test-support/raw-memory.ts";
import { frame, Type } from "../../testing/raw-frames.ts";
import { StreamFrame } from "./stream-frames.ts";

const MIB = 1024 * 1024;
const LEAST = 128 * 1024;

test("many items may be on their way while nothing else is sent, and few as soon as replies are", async () => {
  const runtime = fakeRuntime();
  const { port } = await testServer(runtime, {}, (server) => {
    server.stream("bytes", async function* () {
      for (;;) yield new Uint8Array(60_000);
    });
    server.rpc("add", () => 3);
  });
  const peer = await rawClient(runtime, port, {
    extensions: { call: true, credit: { frames: 1000, bytes: MIB }, stream: { streams: 3, overdraft: MIB } },
  });
  /** Returns the number of item bytes that arrive without an acknowledgement. */
  const arriving = async (): Promise<number> => {
    await runtime.settle();
    const items = (await peer.received()).filter(({ type }) => type === StreamFrame.OUTPUT);
    return items.reduce((sum, { payloadBytes }) => sum + 32 + payloadBytes.length, 0);
  };
  peer.write(frame(Type.RPC_REQUEST, { method: "bytes", params: {}, output: 1024 * MIB }, { id: 5 }));
  const acknowledged: number[] = [];
  for (let round = 0; round < 8; round += 1) {
    const bytes = await arriving();
    acknowledged.push(bytes);
    // Transfer time grows with the number of bytes, as to another machine.
    await runtime.advance(bytes / (8 * MIB));
    peer.send(StreamFrame.STREAM_ACK, { bytes });
  }
  expect(acknowledged[0]).toBeLessThan(2 * LEAST);
  expect(acknowledged.at(-1)).toBeGreaterThan(4 * LEAST);
  await runtime.advance((await arriving()) / (8 * MIB));
  peer.call("add", {}, 7);
  await runtime.settle();
  peer.send(StreamFrame.STREAM_ACK, { bytes: 100 * MIB });
  expect(await arriving()).toBeLessThan(2 * LEAST);
});
