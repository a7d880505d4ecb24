/** An adapter's `listen` on TCP and Unix sockets. */

import { once } from "node:events";
import { existsSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { ErrorCode } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { Recorder } from "../byte-stream/recorder.ts";
import { attempt, listenFailure, listening, socketPath, target } from "./endpoints.ts";
import type { AdapterSubject } from "./subject.ts";

const signal = new AbortController().signal;

export function describeListen(subject: AdapterSubject): void {
  describe(`${subject.name} listen on TCP`, () => {
    test("reports the port that was bound when 0 was asked", async () => {
      const { listener } = await listening(subject, { host: "127.0.0.1" });
      expect(listener.address.host).toBe("127.0.0.1");
      expect(listener.address.port).toBeGreaterThan(0);
      await listener.close();
    });

    test("a port in use is ADDRESS_IN_USE, and the message names it", async () => {
      const { listener, port } = await listening(subject, { host: "127.0.0.1" });
      const error = await listenFailure(subject, { host: "127.0.0.1", port });
      expect(error).toMatchObject({ code: ErrorCode.ADDRESS_IN_USE });
      expect(error.message).toContain(`127.0.0.1:${port}`);
      await listener.close();
    });

    test("an address this machine does not have is ADDRESS_UNAVAILABLE", async () => {
      // An address without a host (TEST-NET-1, RFC 5737).
      const error = await listenFailure(subject, { host: "192.0.2.1" });
      expect(error).toMatchObject({ code: ErrorCode.ADDRESS_UNAVAILABLE });
    });

    test("a name that does not resolve is ADDRESS_UNAVAILABLE", async () => {
      const error = await listenFailure(subject, { host: "nowhere.invalid" });
      expect(error).toMatchObject({ code: ErrorCode.ADDRESS_UNAVAILABLE });
    });

    test("a name resolves to its IPv4 address unless ipv6 is set", async () => {
      const { listener } = await listening(subject, { host: "localhost" });
      expect(listener.address.host).toBe("127.0.0.1");
      await listener.close();
    });

    test("an address of the other family is INVALID_CONFIG", async () => {
      const four = await listenFailure(subject, { host: "::1" });
      const six = await listenFailure(subject, { host: "127.0.0.1", ipv6: true });
      expect([four, six]).toMatchObject([{ code: ErrorCode.INVALID_CONFIG }, { code: ErrorCode.INVALID_CONFIG }]);
    });

    test("`::` takes IPv4 clients as well, under their IPv4 address", async () => {
      const { listener, port, accepted } = await listening(subject, { host: "::", ipv6: true });
      const client = await subject.connect(target({ host: "127.0.0.1", port }), signal);
      const stream = await accepted();
      expect(stream.remote).toMatchObject({ host: "127.0.0.1", family: "IPv4" });
      client.destroy(null);
      stream.destroy(null);
      await listener.close();
    });

    test("close frees the port at once while an accepted stream lives on", async () => {
      const first = await listening(subject, { host: "127.0.0.1" });
      const { port } = first;
      const client = await subject.connect(target({ host: "127.0.0.1", port }), signal);
      const stream = await first.accepted();
      await first.listener.close();
      const second = await listening(subject, { host: "127.0.0.1", port });
      const atClient = new Recorder();
      atClient.open(client);
      stream.write(Uint8Array.of(1, 2, 3));
      await atClient.received(3);
      client.destroy(null);
      stream.destroy(null);
      await second.listener.close();
    });

    test("close twice is one close, and afterwards connecting is refused", async () => {
      const { listener, port } = await listening(subject, { host: "127.0.0.1" });
      await Promise.all([listener.close(), listener.close()]);
      const error = await attempt(subject, target({ host: "127.0.0.1", port }));
      expect(error).toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
    });

    test("300 clients that connect simultaneously are all accepted", async () => {
      const { listener, port, accepted } = await listening(subject, { host: "127.0.0.1" });
      const clients = await Promise.all(
        Array.from({ length: 300 }, () => subject.connect(target({ host: "127.0.0.1", port }), signal)),
      );
      const streams = await Promise.all(clients.map(() => accepted()));
      for (const stream of [...clients, ...streams]) stream.destroy(null);
      expect(streams).toHaveLength(300);
      await listener.close();
    });
  });

  describe(`${subject.name} listen on a Unix socket`, () => {
    test("the file is there while it listens and gone once it is closed", async () => {
      const path = await socketPath();
      const { listener } = await listening(subject, { path });
      expect(listener.address).toEqual({ host: "", port: 0, path });
      expect(existsSync(path)).toBe(true);
      await listener.close();
      expect(existsSync(path)).toBe(false);
    });

    test("both ends know the path", async () => {
      const path = await socketPath();
      const { listener, accepted } = await listening(subject, { path });
      const client = await subject.connect(target({ path }), signal);
      const stream = await accepted();
      const [server, nobody] = [
        { kind: "unix", path },
        { kind: "unix", path: "" },
      ];
      expect([client.local, client.remote, stream.local, stream.remote]).toEqual([nobody, server, server, nobody]);
      client.destroy(null);
      stream.destroy(null);
      await listener.close();
    });

    test("a path where a server answers is ADDRESS_IN_USE, and that server keeps running", async () => {
      const path = await socketPath();
      const { listener } = await listening(subject, { path });
      const error = await listenFailure(subject, { path });
      expect(error).toMatchObject({ code: ErrorCode.ADDRESS_IN_USE });
      expect(error.message).toContain(path);
      expect(await attempt(subject, target({ path }))).toBe("connected");
      await listener.close();
    });

    test("a stale socket file is replaced", async () => {
      const path = await socketPath();
      // A server removes the file it created. A second name for that file remains, as after a crash.
      const dead = createServer().listen(`${path}.1`);
      await once(dead, "listening");
      await rename(`${path}.1`, path);
      dead.close();
      await once(dead, "close");
      expect(existsSync(path)).toBe(true);
      const { listener } = await listening(subject, { path });
      expect(await attempt(subject, target({ path }))).toBe("connected");
      await listener.close();
    });

    test("a file that is no socket is left alone", async () => {
      const path = await socketPath();
      await writeFile(path, "precious");
      expect(await listenFailure(subject, { path })).toMatchObject({ code: ErrorCode.ADDRESS_IN_USE });
      expect(existsSync(path)).toBe(true);
    });

    test("a directory that does not exist is ADDRESS_UNAVAILABLE, and the message says that it does not", async () => {
      const folder = join(await socketPath(), "deeper");
      const error = await listenFailure(subject, { path: join(folder, "server.sock") });
      expect(error).toMatchObject({ code: ErrorCode.ADDRESS_UNAVAILABLE });
      expect(error.message).toContain(`there is no folder ${folder}`);
    });

    test("a path that is too long for a socket is INVALID_CONFIG, on both ends", async () => {
      const path = `${await socketPath()}${"x".repeat(100)}`;
      for (const error of [await listenFailure(subject, { path }), await attempt(subject, target({ path }))]) {
        expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
        expect((error as Error).message).toMatch(/the path has \d+ bytes, that of a Unix socket at most 107/);
      }
    });
  });
}
