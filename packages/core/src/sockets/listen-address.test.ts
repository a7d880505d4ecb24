import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { addressFamily, addressName, peerAddress, tcpEnds } from "./addresses.ts";
import { bindUnixSocket, listenAddress, type UnixSocketFiles } from "./listen-address.ts";
import { SocketErrors } from "./socket-errors.ts";

const errors = new SocketErrors((cause) => (cause as { code?: string }).code ?? "");
const coded = (code: string): Error => Object.assign(new Error(code), { code });

describe("addresses", () => {
  test("a family is told from a name", () => {
    const hosts = ["127.0.0.1", "255.255.255.255", "::1", "fe80::1%eth0", "localhost", "1.2.3.256", "1.2.3", ""];
    expect(hosts.map(addressFamily)).toEqual([4, 4, 6, 6, 0, 0, 0, 0]);
  });

  test("an IPv4 address mapped into IPv6 becomes what it is", () => {
    const ends = tcpEnds({ localAddress: "::ffff:10.0.0.1", localPort: 1, remoteAddress: "fe80::1" });
    expect(ends).toEqual({
      local: { kind: "tcp", host: "10.0.0.1", port: 1, family: "IPv4" },
      remote: { kind: "tcp", host: "fe80::1", port: 0, family: "IPv6" },
    });
  });

  test("a peer that is gone has no ends", () => {
    expect([tcpEnds({ localAddress: "::1" }), tcpEnds({ remoteAddress: "::1" })]).toEqual([null, null]);
  });

  test("a far end that is known is not asked for", () => {
    const remote = { kind: "tcp", host: "10.0.0.1", port: 5, family: "IPv4" } as const;
    const ends = tcpEnds({ localAddress: "10.0.0.2", localPort: 7 }, null, remote);
    expect(ends).toEqual({ local: { kind: "tcp", host: "10.0.0.2", port: 7, family: "IPv4" }, remote });
  });

  test("the far end of a connection to an IPv4 address is known", () => {
    expect(peerAddress("10.0.0.1", { port: 5 })).toEqual({ kind: "tcp", host: "10.0.0.1", port: 5, family: "IPv4" });
  });

  test.each(["localhost", "::1", "0.0.0.0", "10.0.0.01", "10.0.1"])("that of a connection to %s is not", (host) => {
    expect(peerAddress(host, { port: 5 })).toBeNull();
  });

  test("nor is that of a connection over a Unix socket", () => {
    expect(peerAddress("10.0.0.1", { port: 5, path: "/run/x.sock" })).toBeNull();
  });

  test("every kind of address has a name", () => {
    const names = [
      { kind: "tcp", host: "::1", port: 7, family: "IPv6" } as const,
      { kind: "unix", path: "/run/x.sock" } as const,
      { kind: "unix", path: "" } as const,
      { kind: "memory", name: "a" } as const,
    ].map(addressName);
    expect(names).toEqual(["[::1]:7", "/run/x.sock", "a client of a Unix socket", "a"]);
  });
});

describe("listenAddress", () => {
  const target = { port: 1, tls: null, bufferSize: 1 };

  test("an address of the right family is bound as it is, and a name as what it resolves to", async () => {
    const resolve = async (host: string, family: 4 | 6): Promise<string> => `${host} in ${family}`;
    expect(await listenAddress({ ...target, host: "::1", ipv6: true }, resolve, errors)).toBe("::1");
    expect(await listenAddress({ ...target, host: "db", ipv6: false }, resolve, errors)).toBe("db in 4");
  });

  test("a name without an address is ADDRESS_UNAVAILABLE", async () => {
    const listening = listenAddress(
      { ...target, host: "db", ipv6: false },
      () => Promise.reject(coded("ENOTFOUND")),
      errors,
    );
    await expect(listening).rejects.toMatchObject({ code: ErrorCode.ADDRESS_UNAVAILABLE });
  });
});

describe("bindUnixSocket", () => {
  /** Files of which one is in the way; `removed` counts. */
  function inTheWay(facts: { isSocket?: boolean | null; answer?: string; removal?: string }) {
    const seen = { binds: 0, removed: 0 };
    const files: UnixSocketFiles = {
      isSocket: async () => facts.isSocket ?? null,
      probe: async () => {
        if (facts.answer !== undefined) throw coded(facts.answer);
      },
      remove: async () => {
        seen.removed += 1;
        if (facts.removal !== undefined) throw coded(facts.removal);
      },
    };
    const bind = (): string => {
      seen.binds += 1;
      if (seen.binds === 1) throw coded("EADDRINUSE");
      return "bound";
    };
    return { seen, bound: bindUnixSocket("/x.sock", bind, files, errors) };
  }

  test("a file that nobody answers at is removed", async () => {
    const { seen, bound } = inTheWay({ isSocket: true, answer: "ECONNREFUSED" });
    expect([await bound, seen]).toEqual(["bound", { binds: 2, removed: 1 }]);
  });

  test("where the system cannot tell a socket from a file, asking decides", async () => {
    expect(await inTheWay({ isSocket: null, answer: "ECONNREFUSED" }).bound).toBe("bound");
  });

  test("a file that is gone before it can be removed is as good as removed", async () => {
    expect(await inTheWay({ isSocket: true, answer: "ENOENT", removal: "ENOENT" }).bound).toBe("bound");
  });

  test.for([
    ["somebody answers at", { isSocket: true }, ErrorCode.ADDRESS_IN_USE],
    ["may not be asked at", { isSocket: true, answer: "EACCES" }, ErrorCode.ADDRESS_IN_USE],
    ["is no socket", { isSocket: false }, ErrorCode.ADDRESS_IN_USE],
  ] as const)("a file that %s stays", async ([, facts, code]) => {
    const { seen, bound } = inTheWay(facts);
    await expect(bound).rejects.toMatchObject({ code });
    expect(seen.removed).toBe(0);
  });

  test("a file that cannot be removed is ADDRESS_UNAVAILABLE", async () => {
    const { bound } = inTheWay({ isSocket: true, answer: "ECONNREFUSED", removal: "EPERM" });
    await expect(bound).rejects.toMatchObject({ code: ErrorCode.ADDRESS_UNAVAILABLE });
  });

  test("a failure other than a file in the way is reported at once", async () => {
    const files = {} as UnixSocketFiles;
    const bound = bindUnixSocket("/x.sock", () => Promise.reject(coded("EIO")), files, errors);
    await expect(bound).rejects.toMatchObject({ code: ErrorCode.ADDRESS_UNAVAILABLE });
  });

  test.for([
    ["EACCES", false, "/run/app/x.sock", "there is no folder /run/app"],
    ["EACCES", true, "/run/app/x.sock", ": EACCES"],
    ["EACCES", undefined, "/run/app/x.sock", ": EACCES"],
    ["ENOENT", false, "/x.sock", "there is no folder /"],
    ["ENOENT", true, "/x.sock", ": ENOENT"],
    ["ENOENT", undefined, "x.sock", "there is no folder ."],
  ] as const)("%s, and whether the folder exists is %s: of %s it says %s", async ([code, exists, path, words]) => {
    const files = { exists: exists === undefined ? undefined : async () => exists } as unknown as UnixSocketFiles;
    const bound = bindUnixSocket(path, () => Promise.reject(coded(code)), files, errors);
    await expect(bound).rejects.toMatchObject({
      code: ErrorCode.ADDRESS_UNAVAILABLE,
      message: expect.stringMatching(new RegExp(`^Cannot listen on ${path}: .*${words.replace(": ", "")}$`)),
    });
  });
});
