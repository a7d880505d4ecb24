import { beforeEach, describe, expect, test } from "vitest";
import { fakeDialBinding, fakeProcess } from "../test-support/fake-dial.ts";
import { connectTarget } from "../test-support/fake-sockets.ts";
import { dialBinding, handleDialler } from "./dial-handles.ts";
import type { Handle } from "./handle.ts";

describe("dialBinding", () => {
  test("is what the process gives away of its connections", () => {
    const { tcp, pipe } = fakeDialBinding();
    expect(dialBinding(fakeProcess({ tcp_wrap: tcp, pipe_wrap: pipe }))).toEqual({
      tcp: { Handle: tcp.TCP, Request: tcp.TCPConnectWrap, type: 0 },
      pipe: { Handle: pipe.Pipe, Request: pipe.PipeConnectWrap, type: 0 },
    });
  });

  test.each(["tcp_wrap", "pipe_wrap"])("is null without %s", (name) => {
    const { tcp, pipe } = fakeDialBinding();
    expect(dialBinding(fakeProcess({ tcp_wrap: tcp, pipe_wrap: pipe, [name]: null }))).toBe(null);
  });

  test.each(["TCP", "TCPConnectWrap", "constants"])("is null without %s", (name) => {
    const { tcp, pipe } = fakeDialBinding();
    expect(dialBinding(fakeProcess({ tcp_wrap: { ...tcp, [name]: undefined }, pipe_wrap: pipe }))).toBe(null);
  });

  test.each(["connect", "connect6", "useUserBuffer"])("is null if handles lack %s", (method) => {
    const { tcp, pipe } = fakeDialBinding();
    class Lacking extends tcp.TCP {}
    Object.assign(Lacking.prototype, { [method]: undefined });
    expect(dialBinding(fakeProcess({ tcp_wrap: { ...tcp, TCP: Lacking }, pipe_wrap: pipe }))).toBe(null);
  });
});

describe("handleDialler", () => {
  let fakes: ReturnType<typeof fakeDialBinding>;
  let dial: ReturnType<typeof handleDialler>;
  /** What the attempt was told. */
  let told: unknown[];

  beforeEach(() => {
    fakes = fakeDialBinding();
    told = [];
    const binding = dialBinding(fakeProcess({ tcp_wrap: fakes.tcp, pipe_wrap: fakes.pipe }));
    if (binding === null) throw new Error("The fake is not good enough");
    dial = handleDialler({
      binding,
      nameOf: (status) => `E${-status}`,
      familyOf: (host) => (host.includes(":") ? 6 : host.startsWith("1") ? 4 : 0),
    });
  });

  const attempt = (host: string, path?: string, port = 7) => ({
    host,
    target: { ...connectTarget, path, port },
    opened(handle: Handle): boolean {
      told.push(handle);
      return true;
    },
    ready: () => void told.push("ready"),
    failed: (cause: unknown) => void told.push(cause),
  });

  test.each([
    ["an IPv4 address", "192.0.2.7", undefined, ["connect", "192.0.2.7", 7]],
    ["an IPv6 address", "2001:db8::1", undefined, ["connect6", "2001:db8::1", 7]],
    ["a Unix socket", "", "/run/db", ["connect", "/run/db", undefined]],
  ])("connects to %s", (_what, host, path, call) => {
    expect(dial(attempt(host, path))).toBe(true);
    expect(fakes.calls).toEqual([call]);
    expect(told).toEqual([fakes.handles[0]]);
    fakes.complete(0);
    expect(told.slice(1)).toEqual(["ready"]);
  });

  test("leaves names to others, and touches nothing", () => {
    expect([dial(attempt("db")), fakes.handles, told]).toEqual([false, [], []]);
  });

  test.each([Number.NaN, -1, 80.5, 65_536])("leaves port %d to others", (port) => {
    expect([dial(attempt("192.0.2.7", undefined, port)), fakes.handles]).toEqual([false, []]);
  });

  test.each([
    ["192.0.2.7", undefined, "connect E111 192.0.2.7:7", { address: "192.0.2.7", port: 7 }],
    ["2001:db8::1", undefined, "connect E111 2001:db8::1:7", { address: "2001:db8::1", port: 7 }],
    ["", "/run/db", "connect E111 /run/db", { address: "/run/db" }],
  ])("fails as node:net does: %s%s", (host, path, message, where) => {
    dial(attempt(host, path));
    fakes.complete(-111);
    const [, error] = told as [unknown, Error];
    expect(error).toBeInstanceOf(Error);
    expect({ ...error }).toEqual({ code: "E111", syscall: "connect", errno: -111, ...where });
    expect(error.message).toBe(message);
  });

  test("names no port that is 0", () => {
    dial(attempt("192.0.2.7", undefined, 0));
    fakes.complete(-111);
    expect({ ...(told[1] as Error) }).toEqual({ code: "E111", syscall: "connect", errno: -111, address: "192.0.2.7" });
  });

  test("fails at once if the system does", () => {
    fakes.status = -24;
    expect(dial(attempt("192.0.2.7"))).toBe(true);
    expect(told.slice(1)).toMatchObject([{ code: "E24" }]);
  });

  test("takes silence for success: Node 22 says nothing of paths", () => {
    fakes.status = undefined;
    dial(attempt("", "/run/db"));
    expect(told.slice(1)).toEqual([]);
  });
});
