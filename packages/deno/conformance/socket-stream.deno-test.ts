import { once } from "node:events";
import { createServer, connect as netConnect } from "node:net";
import { ErrorCode } from "@netconduit/core/adapter";
import { expect, test } from "vitest";
import { Recorder } from "../../../conformance/byte-stream/recorder.ts";
import { connect } from "../src/connect.ts";
import { connectedPair, listening, target } from "./test-support.ts";

test("a stream knows both addresses of a TCP connection", async () => {
  const { a, b, dispose } = await connectedPair({ host: "127.0.0.1" });
  expect(a.remote).toMatchObject({ kind: "tcp", host: "127.0.0.1", family: "IPv4" });
  expect([a.local, a.remote]).toEqual([b.remote, b.local]);
  a.destroy(null);
  b.destroy(null);
  await dispose();
});

test("a client that was reset before its server stream is opened closes it with CONNECTION_RESET", async () => {
  const { listener, accepted } = await listening({ host: "127.0.0.1" });
  const socket = netConnect(listener.address.port, "127.0.0.1");
  await once(socket, "connect");
  const stream = await accepted();
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
  const stream = await connect(target({ host: "127.0.0.1", port }), new AbortController().signal);
  const recorder = new Recorder();
  recorder.open(stream);
  stream.write(new Uint8Array(64 * 1024 * 1024));
  await recorder.whenClosed;
  expect(recorder.closedCalls).toHaveLength(1);
  const codes: unknown[] = [ErrorCode.CONNECTION_RESET, ErrorCode.CONNECTION_CLOSED];
  expect(codes).toContain((recorder.closedCalls[0] as { code?: unknown } | null)?.code);
  server.close();
});

test("destroying a stream whose write the peer does not read frees the connection at once", async () => {
  const { a, b, dispose } = await connectedPair({ host: "127.0.0.1" });
  const [atA, atB] = [new Recorder(), new Recorder()];
  atA.open(a);
  b.pause();
  atB.open(b);
  a.write(new Uint8Array(64 * 1024 * 1024));
  await new Promise((resolve) => setImmediate(resolve));
  a.destroy(null);
  await atA.whenClosed;
  // What the system had taken arrives, and then the end: no write of ours holds the socket open.
  b.resume();
  await atB.whenClosed;
  expect(atB.total).toBeLessThan(64 * 1024 * 1024);
  await dispose();
});
