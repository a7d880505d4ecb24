import { getEventListeners } from "node:events";
import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { ConnectTarget } from "../runtime.ts";
import {
  connectTarget,
  FakeSocket,
  type FakeSocketStream,
  FakeSockets,
  rejection,
} from "../test-support/fake-sockets.ts";
import { coded } from "../test-support/socket-pairs.ts";
import { ConnectAttempt } from "./connect-attempt.ts";
import type { ClientTls } from "./tls-settings.ts";

const plain: null = null;
const secure: ClientTls = { material: {}, name: "db", serverName: "db" };

const nothing = (): void => undefined;

function attempting(tls: ClientTls | null, target: ConnectTarget = connectTarget) {
  const sockets = new FakeSockets();
  const controller = new AbortController();
  const attempt = new ConnectAttempt(
    sockets,
    { ...target, tls: tls === null ? null : {} },
    { host: "192.0.2.7", tls, signal: controller.signal },
  );
  return {
    sockets,
    attempt,
    signal: controller.signal,
    abort: (reason: unknown) => controller.abort(reason),
    socket: new FakeSocket(),
  };
}

describe("ConnectAttempt", () => {
  test("ends with the stream of the socket that is ready", async () => {
    const { attempt, socket } = attempting(secure);
    const result = attempt.start(nothing);
    expect([attempt.opened(socket), attempt.isOver]).toEqual([true, false]);
    attempt.ready();
    const { facts, ...stream } = (await result) as FakeSocketStream;
    expect(stream.socket).toBe(socket);
    expect(facts).toMatchObject({
      role: "client",
      tls: { protocol: "TLSv1.3", peerVerified: true, peerName: "somebody" },
    });
    expect([attempt.isOver, socket.discarded]).toEqual([true, null]);
  });

  test("is not ready before there is a socket", async () => {
    const { attempt, socket } = attempting(plain);
    const result = attempt.start(nothing);
    attempt.ready();
    expect(attempt.isOver).toBe(false);
    attempt.opened(socket);
    attempt.ready();
    await result;
  });

  test("fails when the socket is gone, with or without a reason, and discards it", async () => {
    for (const [tls, cause, code] of [
      [plain, undefined, ErrorCode.CONNECTION_ERROR],
      [plain, coded("ECONNRESET"), ErrorCode.CONNECTION_RESET],
      [secure, undefined, ErrorCode.TLS_NOT_TLS],
      [secure, coded("ECONNRESET"), ErrorCode.TLS_NOT_TLS],
    ] as const) {
      const { attempt, socket } = attempting(tls);
      const failure = rejection(attempt.start(nothing));
      attempt.opened(socket);
      attempt.closed(cause);
      expect(await failure).toMatchObject({ code });
      expect(socket.discarded).toBe("at once");
    }
  });

  test("an error of the socket is one of connecting, with TLS one of its handshake", async () => {
    const unsafe = attempting(plain);
    const refused = rejection(unsafe.attempt.start(nothing));
    unsafe.attempt.failed(coded("ECONNREFUSED"));
    expect(await refused).toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
    const { attempt } = attempting(secure);
    const failure = rejection(attempt.start(nothing));
    attempt.failed(coded("?"), { name: "CERT_HAS_EXPIRED" });
    expect(await failure).toMatchObject({ code: ErrorCode.TLS_EXPIRED });
  });

  test("an untrusted certificate is told by whether there was a CA to trust", async () => {
    for (const [material, words] of [
      [{}, "give the certificate, or its CA, as tls.ca"],
      [{ ca: "PEM" }, "none of the CAs given as tls.ca signed"],
    ] as const) {
      const { attempt } = attempting({ ...secure, material });
      const failure = rejection(attempt.start(nothing));
      attempt.failed(coded("CERT_UNTRUSTED"));
      expect((await failure).message).toContain(words);
    }
  });

  test("a peer that is gone when its socket is ready is CONNECTION_RESET, and the socket is discarded", async () => {
    const { attempt, socket } = attempting(plain);
    const failure = rejection(attempt.start(nothing));
    socket.remote = null;
    attempt.opened(socket);
    attempt.ready();
    expect(await failure).toMatchObject({ code: ErrorCode.CONNECTION_RESET });
    expect(socket.discarded).toBe("at once");
  });

  test("ends once, and what comes afterwards is nothing to it", async () => {
    const { attempt, socket } = attempting(plain);
    const result = attempt.start(nothing);
    attempt.opened(socket);
    attempt.ready();
    attempt.ready();
    attempt.failed(coded("ECONNRESET"));
    attempt.closed();
    await result;
    expect(socket.discarded).toBeNull();
  });

  test("an abort discards the socket and rejects with the signal's ConduitError", async () => {
    const { attempt, abort, socket } = attempting(plain);
    const failure = rejection(attempt.start(nothing));
    attempt.opened(socket);
    const reason = new ConduitError(ErrorCode.CONNECT_TIMEOUT, "too late");
    abort(reason);
    expect([await failure, socket.discarded]).toEqual([reason, "at once"]);
  });

  test("a socket that comes too late is discarded", async () => {
    const { attempt, abort, socket } = attempting(plain);
    const failure = rejection(attempt.start(nothing));
    abort(new Error("changed my mind"));
    expect(await failure).toMatchObject({ code: ErrorCode.CANCELLED });
    expect([attempt.opened(socket), socket.discarded]).toEqual([false, "at once"]);
  });

  test("an abort after the end leaves the socket alone", async () => {
    const { attempt, abort, socket } = attempting(plain);
    const result = attempt.start(nothing);
    attempt.opened(socket);
    attempt.ready();
    abort(new Error("changed my mind"));
    await result;
    expect(socket.discarded).toBeNull();
  });

  test.each<[string, (attempt: ConnectAttempt<FakeSocket>) => void]>([
    ["is ready", (attempt) => attempt.ready()],
    ["has failed", (attempt) => attempt.failed(coded("ECONNREFUSED"))],
    ["has lost its socket", (attempt) => attempt.closed()],
  ])("leaves no listener on the signal once it %s: that may outlive many attempts", async (_, end) => {
    const { attempt, signal, socket } = attempting(plain);
    const result = attempt.start(nothing);
    attempt.opened(socket);
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    end(attempt);
    await result.catch(nothing);
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  test.for([
    [
      "an error of the library stays",
      plain,
      new ConduitError(ErrorCode.INVALID_CONFIG, "no"),
      ErrorCode.INVALID_CONFIG,
    ],
    ["the system's is one of connecting", plain, coded("ECONNREFUSED"), ErrorCode.CONNECTION_REFUSED],
    ["OpenSSL's, with TLS, is about the material", secure, coded("ERR_OSSL_PEM"), ErrorCode.INVALID_CONFIG],
    ["the system's is one of connecting with TLS too", secure, coded("ENOTFOUND"), ErrorCode.HOST_UNREACHABLE],
    ["what has no code is one of connecting", secure, null, ErrorCode.CONNECTION_ERROR],
  ] as const)("of what opening throws, %s", async ([, tls, thrown, code]) => {
    const { attempt } = attempting(tls);
    const starting = attempt.start(() => {
      throw thrown;
    });
    expect(await rejection(starting)).toMatchObject({ code });
  });
});
