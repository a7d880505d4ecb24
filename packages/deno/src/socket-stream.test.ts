import type { StreamFacts } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { describeByteStream } from "../../../conformance/byte-stream/suite.ts";
import { coded, FakeAwaitedSocket, PIPE_BYTES, pairOf } from "../../core/src/test-support/socket-pairs.ts";
import { SocketStream, type StreamSocket } from "./socket-stream.ts";

const address = { kind: "tcp", host: "127.0.0.1", port: 1, family: "IPv4" } as const;
const facts: StreamFacts = {
  local: address,
  remote: address,
  tls: null,
  role: "client",
  bufferSize: 65_536,
  silentEnd: null,
};

describeByteStream("a stream on sockets whose reads and writes are promises", {
  async makePair() {
    const [a, b] = pairOf(FakeAwaitedSocket);
    return { a: new SocketStream(a, facts), b: new SocketStream(b, facts), dispose: () => {} };
  },
  capabilities: {
    highWaterMark: 65_536,
    kernelBytes: PIPE_BYTES,
    destroyResets: false,
    transferBytes: 4 * 1024 * 1024,
  },
});

describe("SocketStream of Deno", () => {
  const idle: StreamSocket = {
    read: () => new Promise(() => {}),
    write: async (bytes) => bytes.length,
    closeWrite: async () => {},
    close: () => {},
  };

  function streamOn(socket: Partial<StreamSocket>) {
    const seen = { closes: 0 };
    const close = (): void => {
      seen.closes += 1;
    };
    const stream = new SocketStream({ ...idle, close, ...socket }, facts);
    const closed = new Promise<Error | null>((resolve) => {
      stream.open({ data: () => {}, drained: () => {}, closed: resolve });
    });
    return { stream, closed, seen };
  }

  test("a read that fails ends the stream with the cause, and closes the socket", async () => {
    const { closed, seen } = streamOn({ read: () => Promise.reject(coded("ECONNRESET")) });
    expect(await closed).toMatchObject({ cause: { code: "ECONNRESET" } });
    expect(seen.closes).toBe(1);
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
    const socket: StreamSocket = {
      ...idle,
      async read(into) {
        reads.push(into);
        into[0] = reads.length;
        return reads.length < 4 ? 1 : null;
      },
    };
    const stream = new SocketStream(socket, facts);
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

  test("two sockets that always have data leave time for everything else", async () => {
    let reads = 0;
    let readsBefore = Number.POSITIVE_INFINITY;
    setTimeout(() => {
      readsBefore = reads;
    });
    const busy = (): Partial<StreamSocket> => ({
      async read() {
        reads += 1;
        return reads < 400_000 ? 1 : null;
      },
    });
    const streams = [streamOn(busy()), streamOn(busy())];
    for (const { closed } of streams) await closed;
    expect(readsBefore).toBeLessThan(400_000);
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

  test("a socket that Deno has closed already may be closed again", async () => {
    const { stream, closed } = streamOn({
      close() {
        throw Object.assign(new Error("Bad resource ID"), { name: "BadResource" });
      },
    });
    stream.destroy(null);
    expect(await closed).toBeNull();
  });
});
