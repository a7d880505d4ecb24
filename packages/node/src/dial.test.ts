/** Connections that are made without a socket: that they are, and how they fail. */
import { once } from "node:events";
import { connect, createServer, Socket } from "node:net";
import { type ConnectTarget, ErrorCode } from "@netconduit/core/adapter";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { closedPort, socketClosed, socketPath } from "../../../conformance/adapter/endpoints.ts";
import { handles } from "./handles.ts";
import { transport } from "./transport.ts";

const plain = { family: 0, tls: null, bufferSize: 1024 } as const;

function failureOf(target: ConnectTarget): Promise<Error> {
  return transport.connect(target, new AbortController().signal).then(
    () => new Error("it connected"),
    (error: Error) => error.cause as Error,
  );
}

async function socketsFailure(options: { host: string; port: number } | { path: string }): Promise<Error> {
  const [error] = await once(connect(options), "error");
  return error as Error;
}

test.runIf(handles?.dial)("an address and a path are dialled without a socket, a name with one", async () => {
  const connects = vi.spyOn(Socket.prototype, "connect");
  onTestFinished(() => connects.mockRestore());
  const port = await closedPort();
  const targets = [
    { host: "127.0.0.1" },
    { host: "::1" },
    { host: "", path: await socketPath() },
    { host: "localhost" },
  ];
  const counts: number[] = [];
  for (const target of targets) {
    await failureOf({ ...plain, port, ...target });
    counts.push(connects.mock.calls.length);
  }
  expect(counts).toEqual([0, 0, 0, 1]);
});

describe("a failure is that of a socket, field by field", () => {
  test.each(["127.0.0.1", "::1"])("at %s", async (host) => {
    const port = await closedPort();
    const expected = await socketsFailure({ host, port });
    const error = await failureOf({ ...plain, host, port });
    expect([error.message, { ...error }]).toEqual([expected.message, { ...expected }]);
  });

  test("at a Unix socket", async () => {
    const path = await socketPath();
    const expected = await socketsFailure({ path });
    const error = await failureOf({ ...plain, host: "", port: 0, path });
    expect([error.message, { ...error }]).toEqual([expected.message, { ...expected }]);
  });
});

test("an attempt that is given up before it is through leaves no connection behind", async () => {
  const path = await socketPath();
  const server = createServer().listen(path);
  onTestFinished(() => void server.close());
  await once(server, "listening");
  const accepted = once(server, "connection");
  const controller = new AbortController();
  const connecting = transport.connect({ ...plain, host: "", port: 0, path }, controller.signal);
  controller.abort(new Error("changed my mind"));
  await expect(connecting).rejects.toMatchObject({ code: ErrorCode.CANCELLED });
  // The system had connected it at once.
  const [socket] = await accepted;
  await socketClosed(socket.resume());
  expect(socket.bytesRead).toBe(0);
});
