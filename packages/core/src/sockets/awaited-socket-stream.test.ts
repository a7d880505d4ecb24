import { describe, expect, test } from "vitest";
import { describeByteStream } from "../../../../conformance/byte-stream/suite.ts";
import { coded, FakeAwaitedSocket, PIPE_BYTES, pairOf } from "../test-support/socket-pairs.ts";
import { type AwaitedSocket, AwaitedSocketStream } from "./awaited-socket-stream.ts";
import { SocketErrors } from "./socket-errors.ts";
import type { StreamFacts } from "./stream-facts.ts";

const errors = new SocketErrors((cause) => String((cause as { code?: unknown }).code));
const address = { kind: "tcp", host: "127.0.0.1", port: 1, family: "IPv4" } as const;
const facts: StreamFacts = {
  local: address,
  remote: address,
  tls: null,
  role: "client",
  highWaterMark: 65_536,
  silentEnd: null,
};

describeByteStream("a stream on sockets whose reads and writes are promises", {
  async makePair() {
    const [a, b] = pairOf(FakeAwaitedSocket).map(
      (socket) => new AwaitedSocketStream(socket, facts, errors, (discarded) => discarded.close()),
    ) as [AwaitedSocketStream<FakeAwaitedSocket>, AwaitedSocketStream<FakeAwaitedSocket>];
    return { a, b, dispose: () => {} };
  },
  capabilities: {
    highWaterMark: 65_536,
    kernelBytes: PIPE_BYTES,
    destroyResets: false,
    transferBytes: 4 * 1024 * 1024,
  },
});

describe("AwaitedSocketStream", () => {
  const idle: AwaitedSocket = {
    read: () => new Promise(() => {}),
    write: async (bytes) => bytes.length,
    closeWrite: async () => {},
  };

  function streamOn(socket: Partial<AwaitedSocket>) {
    const discarded: unknown[] = [];
    const stream = new AwaitedSocketStream({ ...idle, ...socket }, facts, errors, (socket) => discarded.push(socket));
    const closed = new Promise<Error | null>((resolve) => {
      stream.open({ data: () => {}, drained: () => {}, closed: resolve });
    });
    return { stream, closed, discarded };
  }

  test("a read that fails ends the stream with what it failed for, and discards the socket", async () => {
    const { closed, discarded } = streamOn({ read: () => Promise.reject(coded("ECONNRESET")) });
    expect(await closed).toMatchObject({ cause: { code: "ECONNRESET" } });
    expect(discarded).toHaveLength(1);
  });

  test("a write that fails does too", async () => {
    const { stream, closed } = streamOn({ write: () => Promise.reject(coded("EPIPE")) });
    stream.write(Uint8Array.of(1));
    expect(await closed).toMatchObject({ cause: { code: "EPIPE" } });
  });

  test("reads where the sink wants it, and into its own memory otherwise", async () => {
    const reads: Uint8Array[] = [];
    const memory = new Uint8Array(8);
    const landings: (Uint8Array | null)[] = [null, memory, null];
    const heard: unknown[] = [];
    const socket: AwaitedSocket = {
      ...idle,
      async read(into) {
        reads.push(into);
        into[0] = reads.length;
        return reads.length < 4 ? 1 : null;
      },
    };
    const stream = new AwaitedSocketStream(socket, facts, errors, () => undefined);
    await new Promise<void>((resolve) => {
      stream.open({
        readTarget: () => landings.shift() ?? null,
        bytesRead: (count) => void heard.push(["bytesRead", count]),
        data: (chunk) => void heard.push([...chunk]),
        drained: () => {},
        closed: () => resolve(),
      });
    });
    expect(heard).toEqual([[1], ["bytesRead", 1], [3]]);
    expect([reads[1], memory[0], reads[2]]).toEqual([memory, 2, reads[0]]);
  });

  test("writes one after the other, and what a write does not take again", async () => {
    const written: number[][] = [];
    let underWay = 0;
    const { stream } = streamOn({
      async write(bytes) {
        underWay += 1;
        expect(underWay).toBe(1);
        await null;
        underWay -= 1;
        written.push([...bytes.subarray(0, 2)]);
        return Math.min(2, bytes.length);
      },
    });
    stream.write(Uint8Array.of(1, 2, 3));
    stream.write(Uint8Array.of(4));
    while (stream.queuedBytes > 0) await null;
    expect(written).toEqual([[1, 2], [3], [4]]);
  });

  test("a stream destroyed while it writes forgets the rest", async () => {
    let finish: (taken: number) => void = () => {};
    const { stream, closed } = streamOn({
      write: () =>
        new Promise((resolve) => {
          finish = resolve;
        }),
    });
    stream.write(Uint8Array.of(1, 2));
    stream.destroy(null);
    finish(1);
    expect(await closed).toBeNull();
    expect(stream.queuedBytes).toBe(0);
  });
});
