import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConduitError, type ConnectTarget, ErrorCode } from "@netconduit/core/adapter";
import { expect, onTestFinished, test } from "vitest";
import { connect } from "../src/connect.ts";
import { listening, target } from "./test-support.ts";

const attempt = (to: ConnectTarget, signal: AbortSignal = new AbortController().signal): Promise<unknown> =>
  connect(to, signal).then(
    (stream) => {
      stream.destroy(null);
      return "connected";
    },
    (error: unknown) => error,
  );

/** A port of the loopback interface at which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

test("a port nobody listens at is CONNECTION_REFUSED, and the message names it", async () => {
  const port = await closedPort();
  const error = (await attempt(target({ host: "127.0.0.1", port }))) as Error;
  expect(error).toMatchObject({ code: ErrorCode.CONNECTION_REFUSED, cause: { code: "ECONNREFUSED" } });
  expect(error.message).toContain(`127.0.0.1:${port}`);
});

test("a refusal by every address of a name is CONNECTION_REFUSED", async () => {
  const port = await closedPort();
  const error = await attempt(target({ host: "localhost", port }));
  expect(error).toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
});

test("a name that does not resolve is HOST_UNREACHABLE", async () => {
  const error = (await attempt(target({ host: "nowhere.invalid", port: 1 }))) as Error;
  expect(error).toMatchObject({ code: ErrorCode.HOST_UNREACHABLE });
  expect(error.message).toContain("nowhere.invalid:1");
});

test("an IPv6 host stands in brackets in messages", async () => {
  const port = await closedPort();
  const error = (await attempt(target({ host: "::1", port }))) as Error;
  expect(error.message).toContain(`[::1]:${port}`);
});

test("a Unix socket that does not exist is CONNECTION_REFUSED with its path", async () => {
  const directory = await mkdtemp(join(tmpdir(), "netconduit-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const path = join(directory, "absent.sock");
  const error = (await attempt(target({ path }))) as Error;
  expect(error).toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
  expect(error.message).toContain(path);
});

test.each([0, 4] as const)("family %i reaches a server at 127.0.0.1 by the name localhost", async (family) => {
  const { listener } = await listening({ host: "127.0.0.1" });
  const { port } = listener.address as { port: number };
  expect(await attempt({ ...target({ host: "localhost", port }), family })).toBe("connected");
  await listener.close();
});

test("family 6 does not use a name's IPv4 address", async () => {
  const { listener } = await listening({ host: "127.0.0.1" });
  const { port } = listener.address as { port: number };
  expect(await attempt({ ...target({ host: "localhost", port }), family: 6 })).toBeInstanceOf(ConduitError);
  await listener.close();
});

test("an aborted signal rejects with CANCELLED before anything is opened", async () => {
  const controller = new AbortController();
  controller.abort(new Error("changed my mind"));
  const error = await attempt(target({ host: "127.0.0.1", port: 1 }), controller.signal);
  expect(error).toMatchObject({ code: ErrorCode.CANCELLED, cause: { message: "changed my mind" } });
});

test("aborting while it connects rejects with the signal's ConduitError and closes the socket", async () => {
  // A TLS client to a server that never answers: connected, but not ready.
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const arrived = once(server, "connection");
  const controller = new AbortController();
  const reason = new ConduitError(ErrorCode.CONNECT_TIMEOUT, "took too long");
  const result = attempt(target({ host: "127.0.0.1", port, clientTls: {} }), controller.signal);
  const [socket] = await arrived;
  controller.abort(reason);
  expect(await result).toBe(reason);
  socket.on("error", () => undefined);
  socket.resume();
  await once(socket, "close");
  server.close();
});

test("aborting after it has connected leaves the stream alone", async () => {
  const { listener, accepted } = await listening({ host: "127.0.0.1" });
  const { port } = listener.address as { port: number };
  const controller = new AbortController();
  const stream = await connect(target({ host: "127.0.0.1", port }), controller.signal);
  controller.abort();
  const received = new Promise<Uint8Array>((resolve) => {
    stream.open({ data: resolve, drained: () => undefined, closed: () => undefined });
  });
  const peer = await accepted();
  peer.write(Uint8Array.of(1));
  expect([...(await received)]).toEqual([1]);
  stream.destroy(null);
  peer.destroy(null);
  await listener.close();
});
