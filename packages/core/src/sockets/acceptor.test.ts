import { describe, expect, test } from "vitest";
import type { ByteStream } from "../bytes/byte-stream.ts";
import { ErrorCode } from "../errors.ts";
import type { ListenEvents, ListenTarget, TlsServerOptions } from "../runtime.ts";
import { FakeSocket, type FakeSocketStream, FakeSockets, listenTarget } from "../test-support/fake-sockets.ts";
import { coded } from "../test-support/socket-pairs.ts";
import { Acceptor, type Handshake } from "./acceptor.ts";
import type { ServerTls } from "./tls-settings.ts";

function accepting(given: Partial<ListenTarget> = {}, events: Partial<ListenEvents> = {}) {
  const sockets = new FakeSockets();
  const streams: FakeSocketStream[] = [];
  const failures: { code?: unknown; message: string }[] = [];
  const target = { ...listenTarget, ...given };
  const acceptor = new Acceptor(
    sockets,
    target,
    {
      accepted: (stream: ByteStream) => void streams.push(stream as FakeSocketStream),
      failed: (error) => void failures.push(error),
      ...events,
    },
    {
      tls: target.tls === null ? null : tlsOf(target.tls),
      handshakeTimeoutMs: 1000,
    },
  );
  return {
    sockets,
    acceptor,
    streams,
    failures,
    socket: new FakeSocket(),
    codes: () => failures.map(({ code }) => code),
  };
}

const tls = { cert: "", key: "" };

function tlsOf({ ca, requireClientCertificate = false }: TlsServerOptions): ServerTls {
  return { requestCert: ca !== undefined, rejectUnauthorized: requireClientCertificate };
}

describe("Acceptor", () => {
  test("makes a socket that is ready a stream", () => {
    const { acceptor, streams, socket } = accepting();
    acceptor.accept(socket);
    expect(streams[0]?.socket).toBe(socket);
    expect(streams[0]?.facts).toMatchObject({ role: "server", tls: null, remote: { host: "192.0.2.7" } });
  });

  test("drops and reports a client that is gone already", () => {
    const { acceptor, streams, socket, codes } = accepting();
    socket.remote = null;
    acceptor.accept(socket);
    expect([streams.length, socket.discarded, codes()]).toEqual([0, "at once", [ErrorCode.CONNECTION_RESET]]);
  });

  test("once closed drops whatever comes, in silence", () => {
    const { acceptor, streams, socket, failures } = accepting({ maxPendingHandshakes: 0, tls });
    acceptor.close();
    acceptor.accept(socket);
    acceptor.handshake(new FakeSocket());
    acceptor.failed(coded("EMFILE"));
    expect([acceptor.isClosed, streams, socket.discarded, failures]).toEqual([true, [], "at once", []]);
  });

  test("reports that accepting failed, and where", () => {
    const { acceptor, failures } = accepting();
    acceptor.failed(coded("EMFILE"));
    expect(failures).toMatchObject([{ message: expect.stringContaining("a client at 192.0.2.1:7") }]);
  });

  describe("that has handshakes", () => {
    test("accepts a client whose handshake is done, with the facts of its session", () => {
      const { acceptor, sockets, streams, socket } = accepting({ tls });
      acceptor.handshake(socket)?.ready();
      expect(streams[0]?.facts.tls).toEqual({ protocol: "TLSv1.3", peerVerified: true, peerName: "somebody" });
      expect(sockets.pendingTimers.size).toBe(0);
    });

    test("at the limit drops the oldest of the address that has most, and reports it once", () => {
      const { acceptor, streams, codes } = accepting({ tls, maxPendingHandshakes: 3 });
      const from = (remote: string): FakeSocket => Object.assign(new FakeSocket(), { remote });
      const flood = [from("2001:db8::1"), from("2001:db8::2"), from("2001:db8::3")];
      const honest = acceptor.handshake(from("192.0.2.8"));
      for (const socket of flood) acceptor.handshake(socket);
      expect(flood.map(({ discarded }) => discarded)).toEqual(["at once", null, null]);
      const other = acceptor.handshake(from("192.0.2.9"));
      expect(flood.map(({ discarded }) => discarded)).toEqual(["at once", "at once", null]);
      for (const handshake of [honest, other]) handshake?.ready();
      expect([streams.length, codes()]).toEqual([2, [ErrorCode.SERVER_FULL, ErrorCode.SERVER_FULL]]);
    });

    test.each(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"])(
      "drops half of them when the system has no room for more (%s), and has as many again once others succeed",
      (code) => {
        const exhaustions: unknown[] = [];
        const { acceptor } = accepting(
          { tls, maxPendingHandshakes: 8 },
          { exhausted: (error) => exhaustions.push(error) },
        );
        const begin = (): { socket: FakeSocket; handshake: Handshake<FakeSocket> | null } => {
          const socket = new FakeSocket();
          return { socket, handshake: acceptor.handshake(socket) };
        };
        const first = Array.from({ length: 8 }, begin);
        acceptor.failed(coded(code));
        const left = first.filter(({ socket }) => socket.discarded === null);
        expect([exhaustions.length, left.length]).toEqual([1, 4]);
        for (const { handshake } of left) handshake?.ready();
        const second = Array.from({ length: 8 }, begin);
        expect(second.filter(({ socket }) => socket.discarded !== null)).toEqual([]);
      },
    );

    test("drops one that is not finished in time as CONNECT_TIMEOUT", () => {
      const { acceptor, sockets, socket, codes } = accepting({ tls });
      acceptor.handshake(socket);
      for (const fire of [...sockets.pendingTimers.values()]) fire();
      expect([codes(), socket.discarded]).toEqual([[ErrorCode.CONNECT_TIMEOUT], "flushed"]);
    });

    test("reports one outcome, the first", () => {
      const { acceptor, streams, socket, codes } = accepting({ tls });
      const handshake = acceptor.handshake(socket);
      handshake?.failed(coded("ERR_SSL_HTTP_REQUEST"));
      handshake?.closed();
      handshake?.ready();
      expect([codes(), streams]).toEqual([[ErrorCode.TLS_NOT_TLS], []]);
    });

    test("takes a socket that is gone for a client that closed the connection", () => {
      const { acceptor, socket, failures } = accepting({ tls });
      acceptor.handshake(socket)?.closed();
      expect(failures).toMatchObject([
        { code: ErrorCode.CONNECTION_RESET, message: expect.stringContaining("192.0.2.7:7") },
      ]);
    });

    test("names a client of which nothing is known any more by the server's path, or not at all", () => {
      for (const [path, name] of [
        ["/x.sock", "unix:/x.sock"],
        [undefined, "(disconnected)"],
      ] as const) {
        const { acceptor, socket, failures } = accepting({ tls, path });
        socket.remote = null;
        acceptor.handshake(socket)?.closed(coded("ECONNRESET"));
        expect(failures[0]?.message).toContain(name);
      }
    });

    test("drops those under way when it closes, in silence", () => {
      const { acceptor, sockets, socket, failures } = accepting({ tls });
      const handshake = acceptor.handshake(socket);
      acceptor.close();
      handshake?.ready();
      expect([socket.discarded, sockets.pendingTimers.size, failures]).toEqual(["flushed", 0, []]);
    });

    test("drops those that begin when it has closed, and starts no timer for them", () => {
      const { acceptor, sockets, socket, failures } = accepting({ tls });
      acceptor.close();
      expect(acceptor.handshake(socket)).toBe(null);
      expect([socket.discarded, sockets.pendingTimers.size, failures]).toEqual(["at once", 0, []]);
    });

    test("refuses a certificate that does not verify, with the runtime's reason", () => {
      const { acceptor, streams, socket, failures } = accepting({ tls: { ...tls, ca: "" } });
      const refusal = new Error("self-signed");
      acceptor.handshake(socket)?.ready(refusal);
      expect([streams, socket.discarded]).toEqual([[], "flushed"]);
      expect(failures).toMatchObject([
        {
          code: ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED,
          cause: refusal,
          message: expect.stringContaining("self-signed"),
        },
      ]);
    });

    test("refuses a client without one where one is required, and says so", () => {
      const { acceptor, socket, failures } = accepting({ tls: { ...tls, ca: "", requireClientCertificate: true } });
      socket.session = { protocol: null, verified: false, certificate: undefined };
      acceptor.secured(socket);
      expect(failures).toMatchObject([{ message: expect.stringContaining("none was presented") }]);
    });

    test("takes a failure with a reason against the certificate for a refusal of it", () => {
      const { acceptor, socket, codes } = accepting({ tls });
      acceptor.handshakeFailed(socket, coded("ECONNRESET"), "CERT_HAS_EXPIRED");
      expect([codes(), socket.discarded]).toEqual([[ErrorCode.TLS_CLIENT_CERTIFICATE_REQUIRED], "flushed"]);
    });
  });
});
