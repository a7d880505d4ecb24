import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ErrorCode } from "@netconduit/core/adapter";
import { describe, expect, onTestFinished, test } from "vitest";
import { Recorder } from "../../../conformance/byte-stream/recorder.ts";
import { connect } from "../src/connect.ts";
import { listening, type TestEndpoint, target } from "./test-support.ts";

const signal = new AbortController().signal;
const failure = (endpoint: TestEndpoint): Promise<Error> =>
  listening(endpoint).then(
    () => new Error("it listens"),
    (error: Error) => error,
  );

async function socketPath(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "netconduit-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  return join(directory, "server.sock");
}

describe("listen on TCP", () => {
  test("reports the port that was bound when 0 was asked", async () => {
    const { listener } = await listening({ host: "127.0.0.1" });
    expect(listener.address).toMatchObject({ host: "127.0.0.1", port: expect.any(Number) });
    expect((listener.address as { port: number }).port).toBeGreaterThan(0);
    await listener.close();
  });

  test("a port in use is ADDRESS_IN_USE, and the message names it", async () => {
    const { listener } = await listening({ host: "127.0.0.1" });
    const { port } = listener.address as { port: number };
    const error = await failure({ host: "127.0.0.1", port });
    expect(error).toMatchObject({ code: ErrorCode.ADDRESS_IN_USE });
    expect(error.message).toContain(`127.0.0.1:${port}`);
    await listener.close();
  });

  test("an address this machine does not have is ADDRESS_UNAVAILABLE", async () => {
    // TEST-NET-1 of RFC 5737: nobody's address.
    expect(await failure({ host: "192.0.2.1" })).toMatchObject({ code: ErrorCode.ADDRESS_UNAVAILABLE });
  });

  test("a name resolves to its IPv4 address unless ipv6 is set", async () => {
    const { listener } = await listening({ host: "localhost" });
    expect(listener.address).toMatchObject({ host: "127.0.0.1" });
    await listener.close();
  });

  test("an address of the other family is INVALID_CONFIG", async () => {
    expect(await failure({ host: "::1" })).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
    expect(await failure({ host: "127.0.0.1", ipv6: true })).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  });

  test("`::` takes IPv4 clients as well, under their IPv4 address", async () => {
    const { listener, accepted } = await listening({ host: "::", ipv6: true });
    const { port } = listener.address as { port: number };
    const client = await connect(target({ host: "127.0.0.1", port }), signal);
    const stream = await accepted();
    expect(stream.remote).toMatchObject({ host: "127.0.0.1", family: "IPv4" });
    client.destroy(null);
    stream.destroy(null);
    await listener.close();
  });

  test("close frees the port at once while an accepted stream lives on", async () => {
    const first = await listening({ host: "127.0.0.1" });
    const { port } = first.listener.address as { port: number };
    const client = await connect(target({ host: "127.0.0.1", port }), signal);
    const stream = await first.accepted();
    await first.listener.close();
    const second = await listening({ host: "127.0.0.1", port });
    const atClient = new Recorder();
    atClient.open(client);
    stream.write(Uint8Array.of(1, 2, 3));
    await atClient.received(3);
    client.destroy(null);
    stream.destroy(null);
    await second.listener.close();
  });

  test("close twice is one close, and afterwards connecting is refused", async () => {
    const { listener } = await listening({ host: "127.0.0.1" });
    const { port } = listener.address as { port: number };
    await Promise.all([listener.close(), listener.close()]);
    await expect(connect(target({ host: "127.0.0.1", port }), signal)).rejects.toMatchObject({
      code: ErrorCode.CONNECTION_REFUSED,
    });
  });

  test("300 clients that connect at once are all accepted", async () => {
    const { listener, accepted } = await listening({ host: "127.0.0.1" });
    const { port } = listener.address as { port: number };
    const clients = await Promise.all(
      Array.from({ length: 300 }, () => connect(target({ host: "127.0.0.1", port }), signal)),
    );
    const streams = await Promise.all(clients.map(() => accepted()));
    for (const stream of [...clients, ...streams]) stream.destroy(null);
    expect(streams).toHaveLength(300);
    await listener.close();
  });
});

describe("listen on a Unix socket", () => {
  test("the file is there while it listens and gone once it is closed", async () => {
    const path = await socketPath();
    const { listener } = await listening({ path });
    expect(listener.address).toEqual({ host: "", port: 0, path });
    expect(existsSync(path)).toBe(true);
    await listener.close();
    expect(existsSync(path)).toBe(false);
  });

  test("both ends know the path", async () => {
    const path = await socketPath();
    const { listener, accepted } = await listening({ path });
    const client = await connect(target({ path }), signal);
    const stream = await accepted();
    expect([client.remote, stream.local]).toEqual([
      { kind: "unix", path },
      { kind: "unix", path },
    ]);
    client.destroy(null);
    stream.destroy(null);
    await listener.close();
  });

  test("a path where a server answers is ADDRESS_IN_USE, and that server goes on", async () => {
    const path = await socketPath();
    const { listener } = await listening({ path });
    const error = await failure({ path });
    expect(error).toMatchObject({ code: ErrorCode.ADDRESS_IN_USE });
    expect(error.message).toContain(path);
    (await connect(target({ path }), signal)).destroy(null);
    await listener.close();
  });

  test("a socket file left by a process that died is replaced", async () => {
    const path = await socketPath();
    // Exits without closing: the file stays.
    const script = `Deno.listen({ transport: "unix", path: ${JSON.stringify(path)} }); Deno.kill(Deno.pid, "SIGKILL");`;
    spawnSync(Deno.execPath(), ["eval", script]);
    expect(existsSync(path)).toBe(true);
    const { listener } = await listening({ path });
    (await connect(target({ path }), signal)).destroy(null);
    await listener.close();
  });

  test("a file that is no socket is left alone", async () => {
    const path = await socketPath();
    await writeFile(path, "precious");
    expect(await failure({ path })).toMatchObject({ code: ErrorCode.ADDRESS_IN_USE });
    expect(existsSync(path)).toBe(true);
  });

  test("a directory that does not exist is ADDRESS_UNAVAILABLE", async () => {
    const path = join(await socketPath(), "deeper", "server.sock");
    expect(await failure({ path })).toMatchObject({ code: ErrorCode.ADDRESS_UNAVAILABLE });
  });
});
