import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, connect as netConnect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ErrorCode } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { Recorder } from "../../../conformance/byte-stream/recorder.ts";
import { describeByteStream, type StreamPair } from "../../../conformance/byte-stream/suite.ts";
import { testFile } from "../test-data/tls/files.ts";
import { connectedPair, listening, target } from "./test-support.ts";

const capabilities = { highWaterMark: 65_536, kernelBytes: 32 * 1024 * 1024 };

describeByteStream("Node TCP over IPv4", {
  makePair: () => connectedPair({ host: "127.0.0.1" }),
  capabilities: { ...capabilities, destroyResets: true },
});

describeByteStream("Node TCP over IPv6", {
  makePair: () => connectedPair({ host: "::1", ipv6: true }),
  capabilities: { ...capabilities, destroyResets: true, transferBytes: 1024 * 1024 },
});

describeByteStream("Node Unix socket", {
  async makePair(): Promise<StreamPair> {
    const directory = await mkdtemp(join(tmpdir(), "netconduit-"));
    const pair = await connectedPair({ path: join(directory, "stream.sock") });
    return {
      ...pair,
      async dispose() {
        await pair.dispose();
        await rm(directory, { recursive: true });
      },
    };
  },
  capabilities: { ...capabilities, destroyResets: false },
});

describeByteStream("Node TLS", {
  makePair: () =>
    connectedPair({
      host: "127.0.0.1",
      serverTls: { cert: testFile("server.crt"), key: testFile("server.key") },
      clientTls: { ca: testFile("ca.crt") },
    }),
  capabilities: { ...capabilities, destroyResets: false },
});

describe("SocketStream", () => {
  test("knows both addresses of a TCP connection", async () => {
    const { a, b, dispose } = await connectedPair({ host: "127.0.0.1" });
    expect(a.remote).toMatchObject({ kind: "tcp", host: "127.0.0.1", family: "IPv4" });
    expect([a.local, a.remote]).toEqual([b.remote, b.local]);
    a.destroy(null);
    b.destroy(null);
    await dispose();
  });

  test("a client that was reset before its server stream is opened closes it with CONNECTION_RESET", async () => {
    const { listener, accepted } = await listening({ host: "127.0.0.1" });
    const { port } = listener.address as { port: number };
    const socket = netConnect(port, "127.0.0.1");
    const stream = await accepted();
    // The listener for "error" must be there already: nobody has opened the stream.
    socket.resetAndDestroy();
    await once(socket, "close");
    const recorder = new Recorder();
    recorder.open(stream);
    await recorder.whenClosed;
    expect(recorder.closedCalls).toMatchObject([{ code: ErrorCode.CONNECTION_RESET }]);
    await listener.close();
  });

  test("a peer that closes while we write closes the stream with an error, not the process", async () => {
    const server = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const { connect } = await import("./connect.ts");
    const stream = await connect(target({ host: "127.0.0.1", port }), new AbortController().signal);
    const recorder = new Recorder();
    recorder.open(stream);
    stream.write(new Uint8Array(64 * 1024 * 1024));
    await recorder.whenClosed;
    expect(recorder.closedCalls).toHaveLength(1);
    expect([ErrorCode.CONNECTION_RESET, ErrorCode.CONNECTION_CLOSED]).toContain(
      (recorder.closedCalls[0] as { code?: number } | null)?.code,
    );
    server.close();
  });
});
