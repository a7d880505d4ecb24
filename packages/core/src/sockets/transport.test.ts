import { getEventListeners } from "node:events";
import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode } from "../errors.ts";
import { connectTarget, FakeSocket, FakeSockets, listenTarget, rejection } from "../test-support/fake-sockets.ts";
import { coded } from "../test-support/socket-pairs.ts";
import { StubStream } from "../test-support/stub-stream.ts";
import type { ConnectAttempt } from "./connect-attempt.ts";
import type { BindAddress } from "./sockets.ts";
import { makeTransport } from "./transport.ts";

const PEM = {
  cert: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
  key: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
};
const events = { accepted: () => {}, failed: () => {} };
const { signal } = new AbortController();

/** Returns sockets that can reach these hosts and that record the attempts. */
function reachable(...hosts: string[]) {
  const sockets = new FakeSockets();
  const tried: string[] = [];
  sockets.open = (attempt) => {
    tried.push(attempt.host);
    if (!hosts.includes(attempt.host)) throw coded("ECONNREFUSED");
    attempt.opened(new FakeSocket());
    attempt.ready();
  };
  return { sockets, tried, transport: makeTransport(sockets) };
}

describe("connect", () => {
  test("without a family leaves the name to the runtime", async () => {
    const { transport, tried } = reachable("db");
    await transport.connect(connectTarget, signal);
    expect(tried).toEqual(["db"]);
  });

  test("with a family tries the name's addresses in turn while another may fare better", async () => {
    const { sockets, transport, tried } = reachable("::2", "::3");
    sockets.resolve = async (host, family) => [`::${host.length - 1}`, `::2`, `::3`].slice(0, family);
    await transport.connect({ ...connectTarget, family: 6 }, signal);
    expect(tried).toEqual(["::1", "::2"]);
  });

  test("leaves no listener on the signal, of the look-up or of an attempt", async () => {
    const { sockets, transport } = reachable("::2");
    sockets.resolve = async () => ["::1", "::2"];
    const own = new AbortController();
    await transport.connect({ ...connectTarget, family: 6 }, own.signal);
    expect(getEventListeners(own.signal, "abort")).toEqual([]);
  });

  test("fails with the last address's error", async () => {
    const { sockets, transport, tried } = reachable();
    sockets.resolve = async () => ["192.0.2.1", "192.0.2.2"];
    const error = await rejection(transport.connect({ ...connectTarget, family: 4 }, signal));
    expect(error).toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
    expect(tried).toEqual(["192.0.2.1", "192.0.2.2"]);
  });

  test("does not try another address after a failure that is not the address's", async () => {
    const { sockets, transport } = reachable();
    let opened = 0;
    sockets.open = () => {
      opened += 1;
      throw coded("EPIPE");
    };
    sockets.resolve = async () => ["192.0.2.1", "192.0.2.2"];
    await rejection(transport.connect({ ...connectTarget, family: 4 }, signal));
    expect(opened).toBe(1);
  });

  test("an address of the family stands for itself", async () => {
    const { transport, tried } = reachable("192.0.2.1");
    await transport.connect({ ...connectTarget, host: "192.0.2.1", family: 4 }, signal);
    expect(tried).toEqual(["192.0.2.1"]);
  });

  test.for([
    ["a name without an address of the family", "db"],
    ["an address of the other family", "192.0.2.1"],
  ])("%s is HOST_UNREACHABLE", async ([, host]) => {
    const { transport } = reachable();
    const error = await rejection(transport.connect({ ...connectTarget, host: host as string, family: 6 }, signal));
    expect(error).toMatchObject({ code: ErrorCode.HOST_UNREACHABLE });
    expect(error.message).toContain("no IPv6 address");
  });

  test("a runtime that keeps to the family by itself is given the name", async () => {
    const { sockets, transport, tried } = reachable("db");
    sockets.opensFamily = true;
    await transport.connect({ ...connectTarget, family: 4 }, signal);
    expect(tried).toEqual(["db"]);
  });

  test("an abort while a name is looked up ends it at once", async () => {
    const { sockets, transport, tried } = reachable("db");
    const controller = new AbortController();
    sockets.resolve = () => new Promise(() => {});
    const failure = rejection(transport.connect({ ...connectTarget, family: 4 }, controller.signal));
    controller.abort();
    expect([await failure, tried]).toMatchObject([{ code: ErrorCode.CANCELLED }, []]);
  });

  test("an abort while TLS material is read ends it before anything is opened", async () => {
    const { sockets, transport, tried } = reachable("db");
    const controller = new AbortController();
    sockets.files.readText = async () => {
      controller.abort();
      return PEM.cert;
    };
    const target = { ...connectTarget, tls: { ca: "ca.pem" } };
    expect(await rejection(transport.connect(target, controller.signal))).toMatchObject({ code: ErrorCode.CANCELLED });
    expect(tried).toEqual([]);
  });

  test("an aborted signal ends it first of all", async () => {
    const { transport, tried } = reachable("db");
    const error = await rejection(transport.connect(connectTarget, AbortSignal.abort()));
    expect([error, tried]).toMatchObject([{ code: ErrorCode.CANCELLED }, []]);
  });

  test("TLS material that cannot be read is INVALID_CONFIG", async () => {
    const { transport } = reachable("db");
    const error = await rejection(transport.connect({ ...connectTarget, tls: { ca: "absent.pem" } }, signal));
    expect(error).toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  });
});

describe("listen", () => {
  test("binds the address, and tells the real one", async () => {
    const sockets = new FakeSockets();
    const bound: BindAddress[] = [];
    sockets.bind = async (at) => {
      bound.push(at);
      return { host: "192.0.2.1", port: 4711, close: async () => {} };
    };
    const listener = await makeTransport(sockets).listen({ ...listenTarget, port: 0 }, events);
    expect([bound, listener.address]).toEqual([[{ host: "192.0.2.1", port: 0 }], { host: "192.0.2.1", port: 4711 }]);
  });

  test("tells the address asked for where the runtime tells none", async () => {
    const listener = await makeTransport(new FakeSockets()).listen(listenTarget, events);
    expect(listener.address).toEqual({ host: "192.0.2.1", port: 7 });
  });

  test("binds the first address of a name", async () => {
    const sockets = new FakeSockets();
    sockets.resolve = async () => ["192.0.2.8", "192.0.2.9"];
    const { address } = await makeTransport(sockets).listen({ ...listenTarget, host: "db" }, events);
    expect(address.host).toBe("192.0.2.8");
  });

  test("closes once, and accepts nothing from then on", async () => {
    const sockets = new FakeSockets();
    let closes = 0;
    let accept: () => void = () => {};
    const streams: unknown[] = [];
    sockets.bind = async (_, acceptor) => {
      accept = () => acceptor.accept(new FakeSocket());
      return {
        async close() {
          closes += 1;
        },
      };
    };
    const listener = await makeTransport(sockets).listen(listenTarget, {
      ...events,
      accepted: (stream) => void streams.push(stream),
    });
    accept();
    await Promise.all([listener.close(), listener.close()]);
    accept();
    expect([closes, streams.length]).toEqual([1, 1]);
  });

  test.for([
    ["a port in use", null, coded("EADDRINUSE"), ErrorCode.ADDRESS_IN_USE],
    ["with TLS, a port in use", PEM, coded("EADDRINUSE"), ErrorCode.ADDRESS_IN_USE],
    ["with TLS, a missing permission", PEM, coded("ERR_ACCESS_DENIED"), ErrorCode.INVALID_CONFIG],
    ["with TLS, what the system has no name for", PEM, new Error("no good key"), ErrorCode.INVALID_CONFIG],
    ["without TLS, what the system has no name for", null, new Error("?"), ErrorCode.ADDRESS_UNAVAILABLE],
    ["an error of the library", PEM, new ConduitError(ErrorCode.INTERNAL, "no"), ErrorCode.INTERNAL],
  ] as const)("when binding fails: %s", async ([, tls, cause, code]) => {
    const sockets = new FakeSockets();
    sockets.bind = () => Promise.reject(cause);
    expect(await rejection(makeTransport(sockets).listen({ ...listenTarget, tls }, events))).toMatchObject({ code });
  });

  describe("on a path where a socket is", () => {
    const path = "/x.sock";

    /** Returns sockets whose first bind fails. `open` answers the probe. */
    function occupied(open: (attempt: ConnectAttempt<FakeSocket>, sockets: FakeSockets) => void) {
      const sockets = new FakeSockets();
      const timers = { setTimeout: (task: () => void) => queueMicrotask(task), clearTimeout: () => {} };
      Object.assign(sockets, { timers });
      const seen = { binds: 0 };
      sockets.bind = async () => {
        seen.binds += 1;
        if (seen.binds === 1) throw coded("EADDRINUSE");
        return { close: async () => {} };
      };
      sockets.open = (attempt) => open(attempt, sockets);
      return { seen, listening: makeTransport(sockets).listen({ ...listenTarget, path }, events) };
    }

    test("replaces it when no server answers there", async () => {
      const { seen, listening } = occupied(() => {
        throw coded("ECONNREFUSED");
      });
      expect([(await listening).address, seen.binds]).toEqual([{ host: "", port: 0, path }, 2]);
    });

    test("is ADDRESS_IN_USE when somebody does, who is hung up on", async () => {
      const stream = new StubStream();
      const { seen, listening } = occupied((attempt, sockets) => {
        sockets.stream = () => stream;
        attempt.opened(new FakeSocket());
        attempt.ready();
      });
      expect([await rejection(listening), seen.binds]).toMatchObject([{ code: ErrorCode.ADDRESS_IN_USE }, 1]);
      expect(stream.destroyedWith).toBeNull();
    });
  });
});
