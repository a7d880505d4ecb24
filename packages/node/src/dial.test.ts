/** What applications can tell of a connection that was made without a socket: nothing. */
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConnectTarget, ErrorCode } from "@netconduit/core/adapter";
import { afterEach, describe, expect, test } from "vitest";
import { transport } from "./transport.ts";

const plain = { family: 0, tls: null, bufferSize: 1024 } as const;
let server: Server | null = null;

afterEach(async () => {
  server?.close();
  server = null;
});

/** A port that nothing listens at: it was free a moment ago. */
async function freePort(host: string): Promise<number> {
  const listener = createServer().listen(0, host);
  await once(listener, "listening");
  const { port } = listener.address() as { port: number };
  listener.close();
  await once(listener, "close");
  return port;
}

function failureOf(target: ConnectTarget): Promise<Error> {
  return transport.connect(target, new AbortController().signal).then(
    () => new Error("it connected"),
    (error: Error) => error.cause as Error,
  );
}

async function socketsFailure(options: { host: string; port: number } | { path: string }): Promise<Error> {
  const [error] = (await once(
    connect(options).on("connect", () => undefined),
    "close",
  ).then(
    () => [new Error("it connected")],
    (cause: Error) => [cause],
  )) as [Error];
  return error;
}

describe("a failure is that of a socket, field by field", () => {
  test.each(["127.0.0.1", "::1"])("at %s", async (host) => {
    const port = await freePort(host);
    const expected = await socketsFailure({ host, port });
    const error = await failureOf({ ...plain, host, port });
    expect([error.message, { ...error }]).toEqual([expected.message, { ...expected }]);
  });

  test("at a Unix socket", async () => {
    const path = join(tmpdir(), `netconduit-nobody-${process.pid}.sock`);
    const expected = await socketsFailure({ path });
    const error = await failureOf({ ...plain, host: "", port: 0, path });
    expect([error.message, { ...error }]).toEqual([expected.message, { ...expected }]);
  });
});

test("an attempt that is given up before it is through leaves no connection behind", async () => {
  const path = join(tmpdir(), `netconduit-given-up-${process.pid}.sock`);
  await rm(path, { force: true });
  server = createServer().listen(path);
  await once(server, "listening");
  const ended = once(server, "connection").then(async ([socket]) => {
    socket.resume();
    await once(socket, "close");
    return socket.bytesRead;
  });
  const controller = new AbortController();
  const connecting = transport.connect({ ...plain, host: "", port: 0, path }, controller.signal);
  controller.abort(new Error("changed my mind"));
  await expect(connecting).rejects.toMatchObject({ code: ErrorCode.CANCELLED });
  expect(await ended).toBe(0);
});
