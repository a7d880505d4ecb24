import { describe, expect, test } from "vitest";
import { formatAddress, ServerAddress } from "./address.ts";

describe("formatAddress", () => {
  test("an IPv4 address is host:port", () => {
    expect(formatAddress({ kind: "tcp", host: "127.0.0.1", port: 80, family: "IPv4" })).toBe("127.0.0.1:80");
  });

  test("an IPv6 address stands in brackets", () => {
    expect(formatAddress({ kind: "tcp", host: "::1", port: 80, family: "IPv6" })).toBe("[::1]:80");
  });

  test("a Unix socket is named by its path, an in-memory stream by its name", () => {
    expect(formatAddress({ kind: "unix", path: "/run/a.sock" })).toBe("unix:/run/a.sock");
    expect(formatAddress({ kind: "memory", name: "a" })).toBe("memory:a");
  });
});

describe("ServerAddress", () => {
  test("as text it is what a client dials", () => {
    expect(`${new ServerAddress("127.0.0.1", 8080, null)}`).toBe("127.0.0.1:8080");
    expect(`${new ServerAddress("::1", 8080, null)}`).toBe("[::1]:8080");
    expect(`${new ServerAddress("", 0, "/run/a.sock")}`).toBe("unix:/run/a.sock");
  });
});
