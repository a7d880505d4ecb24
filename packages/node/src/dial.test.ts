/** What applications can tell of a connection that was made without a socket: nothing. */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { type ConnectTarget, ErrorCode } from "@netconduit/core/adapter";
import { describe, expect, onTestFinished, test } from "vitest";
import { closedPort, socketClosed, socketPath } from "../../../conformance/adapter/endpoints.ts";
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
