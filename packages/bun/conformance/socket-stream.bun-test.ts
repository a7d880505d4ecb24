import { ErrorCode } from "@netconduit/core/adapter";
import type { Socket } from "bun";
import { describe, expect, test } from "vitest";
import { fillPattern, Recorder } from "../../../conformance/byte-stream/recorder.ts";
import { connect } from "../src/connect.ts";
import { connectedPair, listening, target } from "./test-support.ts";

const signal = new AbortController().signal;

/** A bare client of a listener, and the stream its server has of it. */
async function bareClient() {
  const { listener, accepted } = await listening({ host: "127.0.0.1" });
  const socket: Socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: listener.address.port,
    socket: { data: () => undefined },
  });
  return { listener, socket, stream: await accepted() };
}

describe("SocketStream", () => {
  test("knows both addresses of a TCP connection", async () => {
    const { a, b, dispose } = await connectedPair({ host: "127.0.0.1" });
    expect(a.remote).toMatchObject({ kind: "tcp", host: "127.0.0.1", family: "IPv4" });
    expect([a.local, a.remote]).toEqual([b.remote, b.local]);
    a.destroy(null);
    b.destroy(null);
    await dispose();
  });

  test("a chunk is the sink's own: what arrives later does not touch it", async () => {
    const { a, b, dispose } = await connectedPair({ host: "127.0.0.1" });
    const [atA, atB] = [new Recorder(), new Recorder()];
    atA.open(a);
    atB.open(b);
    const rounds = 50;
    for (let round = 0; round < rounds; round++) {
      a.write(fillPattern(new Uint8Array(10_000), round * 10_000));
      await atB.received((round + 1) * 10_000);
    }
    expect(atB.bytes()).toEqual(fillPattern(new Uint8Array(rounds * 10_000), 0));
    a.destroy(null);
    b.destroy(null);
    await dispose();
  });

  test("a client that was reset before its server stream is opened closes it with CONNECTION_RESET", async () => {
    const { listener, socket, stream } = await bareClient();
    socket.terminate();
    await Bun.sleep(20);
    const recorder = new Recorder();
    recorder.open(stream);
    await recorder.whenClosed;
    expect(recorder.closedCalls).toMatchObject([{ code: ErrorCode.CONNECTION_RESET }]);
    await listener.close();
  });

  test("a stream nobody opens takes little in, and hands all of it over once it is opened", async () => {
    const { a, b, dispose } = await connectedPair({ host: "127.0.0.1" });
    const [atA, atB] = [new Recorder(), new Recorder()];
    atA.open(a);
    atB.verifyPattern();
    const size = 32 * 1024 * 1024;
    a.write(fillPattern(new Uint8Array(size), 0));
    void a.close();
    await Bun.sleep(20);
    expect(a.queuedBytes).toBeGreaterThan(0);
    atB.open(b);
    await atB.whenClosed;
    expect([atB.total, atB.firstMismatch, atB.closedCalls]).toEqual([size, -1, [null]]);
    await dispose();
  });

  test("data and the end that came while it was paused are delivered after resume, in order", async () => {
    const { a, b, dispose } = await connectedPair({ host: "127.0.0.1" });
    const [atA, atB] = [new Recorder(), new Recorder()];
    atA.open(a);
    atB.open(b);
    b.pause();
    a.write(Uint8Array.of(1, 2, 3));
    const closed = a.close();
    await Bun.sleep(20);
    expect([atB.total, atB.closedCalls]).toEqual([0, []]);
    b.resume();
    await Promise.all([closed, atB.whenClosed]);
    expect([[...atB.bytes()], atB.closedCalls]).toEqual([[1, 2, 3], [null]]);
    await dispose();
  });

  test("a sink that throws ends its stream with the error, not the process", async () => {
    const { a, b, dispose } = await connectedPair({ host: "127.0.0.1" });
    const closed = Promise.withResolvers<Error | null>();
    b.open({
      data() {
        throw new Error("thrown by the sink");
      },
      drained: () => undefined,
      closed: closed.resolve,
    });
    a.open(new Recorder());
    a.write(Uint8Array.of(1));
    expect(await closed.promise).toMatchObject({
      code: ErrorCode.CONNECTION_ERROR,
      cause: { message: "thrown by the sink" },
    });
    a.destroy(null);
    await dispose();
  });

  test("a peer that closes while we write closes the stream with an error, not the process", async () => {
    const server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.terminate() },
    });
    const stream = await connect(target({ host: "127.0.0.1", port: server.port }), signal);
    const recorder = new Recorder();
    recorder.open(stream);
    stream.write(new Uint8Array(64 * 1024 * 1024));
    await recorder.whenClosed;
    expect(recorder.closedCalls).toHaveLength(1);
    expect([ErrorCode.CONNECTION_RESET, ErrorCode.CONNECTION_CLOSED]).toContain(
      (recorder.closedCalls[0] as { code?: number } | null)?.code as number,
    );
    server.stop(true);
  });
});
