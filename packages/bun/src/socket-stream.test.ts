import type { StreamFacts } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { describeByteStream } from "../../../conformance/byte-stream/suite.ts";
import { coded, FakePartialSocket, PIPE_BYTES, pairOf } from "../../core/src/test-support/socket-pairs.ts";
import { SocketStream } from "./socket-stream.ts";

const address = { kind: "tcp", host: "127.0.0.1", port: 1, family: "IPv4" } as const;
const facts: StreamFacts = {
  local: address,
  remote: address,
  tls: null,
  role: "client",
  bufferSize: 65_536,
  silentEnd: null,
};

function streamOn(socket: FakePartialSocket): SocketStream {
  const stream = new SocketStream(socket, facts);
  socket.owner = stream;
  return stream;
}

describeByteStream("a stream on sockets that take what they can", {
  async makePair() {
    const [a, b] = pairOf(FakePartialSocket);
    return { a: streamOn(a), b: streamOn(b), dispose: () => {} };
  },
  capabilities: {
    highWaterMark: 65_536,
    kernelBytes: PIPE_BYTES,
    destroyResets: false,
    transferBytes: 4 * 1024 * 1024,
  },
});

describe("SocketStream of Bun", () => {
  function scene(takes: number) {
    const log: unknown[] = [];
    const socket = {
      write(bytes: Uint8Array) {
        const taken = Math.min(takes, bytes.length);
        log.push([...bytes.subarray(0, Math.max(taken, 0))]);
        return taken;
      },
      pause: () => log.push("pause"),
      resume: () => log.push("resume"),
      shutdown: () => log.push("fin"),
      close: () => log.push("close"),
      terminate: () => log.push("terminate"),
    };
    const stream = new SocketStream(socket, { ...facts, bufferSize: 2 });
    const heard: unknown[] = [];
    stream.open({
      data: (chunk) => void heard.push([...chunk]),
      drained: () => void heard.push("drained"),
      closed: (error) => void heard.push(error === null ? "closed" : ((error as { cause?: Error }).cause ?? error)),
    });
    log.length = 0;
    return { stream, log, heard, take: (count: number) => (takes = count) };
  }
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  test("bytes that the socket takes at once are not queued", () => {
    const { stream, log } = scene(10);
    expect([stream.write(Uint8Array.of(1, 2, 3)), stream.queuedBytes, log]).toEqual([true, 0, [[1, 2, 3]]]);
  });

  test("the rest waits, asks to stop at the mark, and follows when the socket takes bytes again", () => {
    const { stream, log, heard, take } = scene(1);
    expect([stream.write(Uint8Array.of(1, 2)), stream.queuedBytes]).toEqual([true, 1]);
    expect([stream.write(Uint8Array.of(3)), stream.queuedBytes]).toEqual([false, 2]);
    stream.drained();
    expect([stream.queuedBytes, heard]).toEqual([0, ["drained"]]);
    take(0);
    stream.write(Uint8Array.of(4));
    stream.drained();
    expect(stream.queuedBytes).toBe(1);
    expect(log).toEqual([[1], [2], [3], [], []]);
  });

  test("bytes that a closed socket does not take stay queued until its end comes", async () => {
    const { stream, heard } = scene(-1);
    stream.write(Uint8Array.of(1));
    expect(stream.queuedBytes).toBe(1);
    stream.closed(coded("EPIPE"));
    await settle();
    expect([stream.queuedBytes, heard]).toEqual([0, [coded("EPIPE")]]);
  });

  test("FIN follows what waits, once", () => {
    const { stream, log, take } = scene(0);
    stream.write(Uint8Array.of(1));
    void stream.close();
    expect(log).toEqual([[]]);
    take(1);
    stream.drained();
    stream.drained();
    expect(log).toEqual([[], [1], "fin"]);
  });

  test("a socket that is gone without a word of either side is lost, not closed cleanly", async () => {
    const { stream, heard } = scene(1);
    stream.closed();
    await settle();
    expect(heard).toMatchObject([{ message: expect.stringContaining("was lost") }]);
  });

  test("an orderly end waits until the data before it has been taken", async () => {
    const { stream, heard } = scene(1);
    stream.pause();
    stream.received(Uint8Array.of(7));
    stream.ended();
    stream.closed();
    await settle();
    expect(heard).toEqual([]);
    stream.resume();
    await settle();
    expect(heard).toEqual([[7], "closed"]);
  });

  test("destroyed in peace, the socket may flush; with bytes waiting, or for a reason, it may not", () => {
    const peaceful = scene(1);
    peaceful.stream.destroy(null);
    expect(peaceful.log).toEqual(["close"]);
    const waiting = scene(0);
    waiting.stream.write(Uint8Array.of(1));
    waiting.stream.destroy(null);
    expect([waiting.log.at(-1), waiting.stream.queuedBytes]).toEqual(["terminate", 0]);
    const reset = scene(1);
    reset.stream.destroy(new Error("for a reason"));
    reset.stream.closed();
    expect(reset.log).toEqual(["terminate"]);
  });
});
