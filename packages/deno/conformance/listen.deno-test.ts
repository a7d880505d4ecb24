import { ErrorCode } from "@netconduit/core/adapter";
import { describe, expect, test } from "vitest";
import { describeListen } from "../../../conformance/adapter/listen.suite.ts";
import { Acceptor } from "../../core/src/sockets/acceptor.ts";
import { FakeSockets, listenTarget } from "../../core/src/test-support/fake-sockets.ts";
import { coded } from "../../core/src/test-support/socket-pairs.ts";
import { acceptAll } from "../src/listen.ts";
import { denoAdapter } from "./test-support.ts";

describeListen(denoAdapter);

describe("acceptAll", () => {
  /** A listener that yields these clients or errors, and an acceptor that records streams and failures. */
  function accepting(entries: unknown[], { tls = false, maxPendingHandshakes = 10 } = {}) {
    let close = (): void => undefined;
    const listener = {
      accept(): Promise<Deno.Conn> {
        const entry = entries.shift();
        if (entry instanceof Error) return Promise.reject(entry);
        if (entry !== undefined) return Promise.resolve(entry as Deno.Conn);
        return new Promise((_, reject) => {
          close = () => reject(coded("EBADF"));
        });
      },
    };
    const streams: unknown[] = [];
    const codes: unknown[] = [];
    const acceptor = new Acceptor(
      new FakeSockets() as never,
      { ...listenTarget, tls: tls ? { cert: "", key: "" } : null, maxPendingHandshakes },
      { accepted: (stream) => streams.push(stream), failed: (error) => codes.push((error as { code?: unknown }).code) },
      { tls: tls ? { requestCert: false, rejectUnauthorized: false } : null, handshakeTimeoutMs: 1000 },
    );
    const done = acceptAll(listener, acceptor as unknown as Acceptor<Deno.Conn>);
    return { acceptor, streams, codes, done, close: () => close() };
  }

  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const plain = { remote: "192.0.2.7" };
  const withHandshake = (handshake: () => Promise<unknown>): object => ({
    remote: "192.0.2.7",
    session: { protocol: null, verified: false, certificate: undefined },
    handshake,
  });

  test("accepts until the acceptor is closed", async () => {
    const { acceptor, streams, codes, done, close } = accepting([plain, plain]);
    await settle();
    acceptor.close();
    close();
    await done;
    expect([streams.length, codes]).toEqual([2, []]);
  });

  test("reports a failure, and goes on", async () => {
    const { acceptor, streams, codes, done, close } = accepting([coded("EMFILE"), plain]);
    await expect.poll(() => streams.length).toBe(1);
    acceptor.close();
    close();
    await done;
    expect(codes).toEqual([ErrorCode.CONNECTION_ERROR]);
  });

  test("goes on at once after clients that were gone before they were accepted", async () => {
    const gone = Array.from({ length: 100 }, () => coded("ENOTCONN"));
    const { acceptor, streams, codes, done, close } = accepting([...gone, plain]);
    for (let turn = 0; turn < 5; turn++) await settle();
    expect([streams.length, new Set(codes)]).toEqual([1, new Set([ErrorCode.CONNECTION_RESET])]);
    acceptor.close();
    close();
    await done;
  });

  test("goes on accepting during handshakes, and reports those that fail", async () => {
    const slow = withHandshake(() => new Promise(() => undefined));
    const bad = withHandshake(() => Promise.reject(coded("ERR_SSL_HTTP_REQUEST")));
    const good = withHandshake(() => Promise.resolve());
    const { streams, codes } = accepting([slow, bad, good], { tls: true });
    await settle();
    expect([streams.length, codes]).toEqual([1, [ErrorCode.TLS_NOT_TLS]]);
  });

  test("drops the oldest handshake for one beyond the limit", async () => {
    const begun: number[] = [];
    const client = (number: number): object =>
      withHandshake(() => {
        begun.push(number);
        return new Promise(() => undefined);
      });
    const { codes } = accepting([client(1), client(2)], { tls: true, maxPendingHandshakes: 1 });
    await settle();
    expect([begun, codes]).toEqual([[1, 2], [ErrorCode.SERVER_FULL]]);
  });
});
