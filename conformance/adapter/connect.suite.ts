/** An adapter's `connect` on TCP and Unix sockets. */

import type { Socket } from "node:net";
import { ConduitError, ErrorCode } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { Recorder } from "../byte-stream/recorder.ts";
import { attempt, bareServer, closedPort, listening, socketClosed, socketPath, target } from "./endpoints.ts";
import type { AdapterSubject } from "./subject.ts";

export function describeConnect(subject: AdapterSubject): void {
  describe(`${subject.name} connect`, () => {
    test("a port without a listener is CONNECTION_REFUSED, and the message names it", async () => {
      const port = await closedPort();
      const error = (await attempt(subject, target({ host: "127.0.0.1", port }))) as Error;
      expect(error).toMatchObject({ code: ErrorCode.CONNECTION_REFUSED, cause: { code: "ECONNREFUSED" } });
      expect(error.message).toContain(`127.0.0.1:${port}`);
    });

    test("a refusal by every address of a name is CONNECTION_REFUSED", async () => {
      const error = await attempt(subject, target({ host: "localhost", port: await closedPort() }));
      expect(error).toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
    });

    test("a name that does not resolve is HOST_UNREACHABLE", async () => {
      const error = (await attempt(subject, target({ host: "nowhere.invalid", port: 1 }))) as Error;
      expect(error).toMatchObject({ code: ErrorCode.HOST_UNREACHABLE });
      expect(error.message).toContain("nowhere.invalid:1");
    });

    test("an IPv6 host stands in brackets in messages", async () => {
      const port = await closedPort();
      const error = (await attempt(subject, target({ host: "::1", port }))) as Error;
      expect(error.message).toContain(`[::1]:${port}`);
    });

    test("a Unix socket that does not exist is CONNECTION_REFUSED with its path", async () => {
      const path = await socketPath();
      const error = (await attempt(subject, target({ path }))) as Error;
      expect(error).toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
      expect(error.message).toContain(path);
    });

    for (const family of [0, 4] as const) {
      test(`family ${family} reaches a server at 127.0.0.1 by the name localhost`, async () => {
        const { listener, port } = await listening(subject, { host: "127.0.0.1" });
        expect(await attempt(subject, { ...target({ host: "localhost", port }), family })).toBe("connected");
        await listener.close();
      });
    }

    test("family 6 does not use a name's IPv4 address", async () => {
      const { listener, port } = await listening(subject, { host: "127.0.0.1" });
      const error = await attempt(subject, { ...target({ host: "localhost", port }), family: 6 });
      expect(error).toBeInstanceOf(ConduitError);
      await listener.close();
    });

    test("an aborted signal rejects with CANCELLED before anything is opened", async () => {
      const controller = new AbortController();
      controller.abort(new Error("changed my mind"));
      const error = await attempt(subject, target({ host: "127.0.0.1", port: 1 }), controller.signal);
      expect(error).toMatchObject({ code: ErrorCode.CANCELLED, cause: { message: "changed my mind" } });
    });

    test("aborting during the TLS handshake rejects with the signal's ConduitError", async () => {
      const arrived = Promise.withResolvers<Socket>();
      // The server never answers, so the client connects but never becomes ready.
      const port = await bareServer(arrived.resolve);
      const controller = new AbortController();
      const reason = new ConduitError(ErrorCode.CONNECT_TIMEOUT, "took too long");
      const result = attempt(subject, target({ host: "127.0.0.1", port, clientTls: {} }), controller.signal);
      const socket = await arrived.promise;
      controller.abort(reason);
      expect(await result).toBe(reason);
      if (!subject.capabilities.dropsHandshakes) return;
      socket.resume().end();
      await socketClosed(socket);
    });

    test("aborting after it has connected leaves the stream alone", async () => {
      const { listener, port, accepted } = await listening(subject, { host: "127.0.0.1" });
      const controller = new AbortController();
      const stream = await subject.connect(target({ host: "127.0.0.1", port }), controller.signal);
      controller.abort();
      const recorder = new Recorder();
      recorder.open(stream);
      const peer = await accepted();
      peer.write(Uint8Array.of(1));
      await recorder.received(1);
      expect([...recorder.bytes()]).toEqual([1]);
      stream.destroy(null);
      peer.destroy(null);
      await listener.close();
    });
  });
}
