/** An adapter's streams with a bare socket as the peer: half-close, reset, disconnect. */

import { once } from "node:events";
import { connect as netConnect, type Socket } from "node:net";
import { ErrorCode } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { Recorder } from "../byte-stream/recorder.ts";
import { bareServer, connectedPair, listening, socketClosed, target } from "./endpoints.ts";
import type { AdapterSubject } from "./subject.ts";

const MIB = 1024 * 1024;
const BROKEN: readonly unknown[] = [ErrorCode.CONNECTION_RESET, ErrorCode.CONNECTION_CLOSED];

const codeOf = (error: Error | null | undefined): unknown => (error as { code?: unknown } | null | undefined)?.code;

export function describeSocketStream(subject: AdapterSubject): void {
  /** Connects a bare socket to a listener and returns it with the server's stream. */
  async function bareClient() {
    const { listener, port, accepted } = await listening(subject, { host: "127.0.0.1" });
    const socket: Socket = netConnect({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.on("error", () => {});
    await once(socket, "connect");
    const stream = await accepted();
    const dispose = async (): Promise<void> => {
      socket.destroy();
      stream.destroy(null);
      await listener.close();
    };
    return { socket, stream, recorder: new Recorder(), dispose };
  }

  describe(`${subject.name} streams`, { timeout: 60_000 }, () => {
    test("know both addresses of a TCP connection", async () => {
      const { a, b, dispose } = await connectedPair(subject, { host: "127.0.0.1" });
      expect(a.remote).toMatchObject({ kind: "tcp", host: "127.0.0.1", family: "IPv4" });
      expect([a.local, a.remote]).toEqual([b.remote, b.local]);
      a.destroy(null);
      b.destroy(null);
      await dispose();
    });

    test("a peer that ends its half still gets all that was written, and then our end", async () => {
      const { socket, stream, recorder, dispose } = await bareClient();
      recorder.open(stream);
      const size = 8 * MIB;
      stream.write(new Uint8Array(size));
      socket.end();
      let received = 0;
      socket.on("data", (chunk: Uint8Array) => {
        received += chunk.length;
      });
      await Promise.all([once(socket, "end"), recorder.whenClosed]);
      expect([received, recorder.closedCalls]).toEqual([size, [null]]);
      await dispose();
    });

    test("a peer that half-closes without a word ends the stream cleanly", async () => {
      const { socket, stream, recorder, dispose } = await bareClient();
      recorder.open(stream);
      socket.resume().end();
      await recorder.whenClosed;
      expect(recorder.closedCalls).toEqual([null]);
      await dispose();
    });

    test("a peer that resets closes the stream with CONNECTION_RESET", async () => {
      const { socket, stream, recorder, dispose } = await bareClient();
      recorder.open(stream);
      socket.resetAndDestroy();
      await recorder.whenClosed;
      expect(recorder.closedCalls).toMatchObject([{ code: ErrorCode.CONNECTION_RESET }]);
      await dispose();
    });

    test("a peer that resets before the stream is opened closes it with CONNECTION_RESET", async () => {
      const { socket, stream, recorder, dispose } = await bareClient();
      // A stream that isn't open yet must keep the error.
      socket.resetAndDestroy();
      await socketClosed(socket);
      recorder.open(stream);
      await recorder.whenClosed;
      expect(recorder.closedCalls).toMatchObject([{ code: ErrorCode.CONNECTION_RESET }]);
      await dispose();
    });

    test("a peer that resets while the stream closes ends it once, and close() resolves", async () => {
      const { socket, stream, recorder, dispose } = await bareClient();
      recorder.open(stream);
      socket.pause();
      stream.write(new Uint8Array(64 * MIB));
      const closing = stream.close();
      socket.resetAndDestroy();
      await Promise.all([closing, recorder.whenClosed]);
      expect(recorder.closedCalls).toHaveLength(1);
      expect(BROKEN).toContain(codeOf(recorder.closedCalls[0]));
      await dispose();
    });

    test("a peer that hangs up while we write closes the stream with an error, not the process", async () => {
      const port = await bareServer((socket) => socket.destroy());
      const stream = await subject.connect(target({ host: "127.0.0.1", port }), new AbortController().signal);
      const recorder = new Recorder();
      recorder.open(stream);
      stream.write(new Uint8Array(64 * MIB));
      await recorder.whenClosed;
      expect(recorder.closedCalls).toHaveLength(1);
      expect(BROKEN).toContain(codeOf(recorder.closedCalls[0]));
    });

    test("destroying a stream whose peer does not read frees the connection at once", async () => {
      const { a, b, dispose } = await connectedPair(subject, { host: "127.0.0.1" });
      const [atA, atB] = [new Recorder(), new Recorder()];
      atA.open(a);
      b.pause();
      atB.open(b);
      a.write(new Uint8Array(64 * MIB));
      await new Promise((resolve) => setImmediate(resolve));
      a.destroy(null);
      await atA.whenClosed;
      // The peer receives what the system had accepted, then the end: a pending write doesn't keep the socket open.
      b.resume();
      await atB.whenClosed;
      expect(atB.total).toBeLessThan(64 * MIB);
      await dispose();
    });
  });
}
