import { expect, test } from "vitest";
import { formatAddress, isPrivate } from "./address.ts";
import type { Address, TlsInfo } from "./byte-stream.ts";
import { memoryPair } from "./memory-pair.ts";

test.each([
  [{ kind: "tcp", host: "127.0.0.1", port: 80, family: "IPv4" }, "127.0.0.1:80"],
  [{ kind: "tcp", host: "::1", port: 80, family: "IPv6" }, "[::1]:80"],
  [{ kind: "unix", path: "/run/app.sock" }, "unix:/run/app.sock"],
  [{ kind: "unix", path: "" }, "unix:"],
  [{ kind: "memory", name: "a" }, "memory:a"],
] as const)("%o is written %s", (address, text) => {
  expect(formatAddress(address)).toBe(text);
});

const tls: TlsInfo = { protocol: "TLSv1.3", peerVerified: true, peerName: null };
const tcp = (host: string): Address => ({ kind: "tcp", host, port: 80, family: host.includes(":") ? "IPv6" : "IPv4" });

test.each([
  ["192.0.2.7", null, false],
  ["2001:db8::7", null, false],
  ["12.7.0.1", null, false],
  ["127.0.0.1", null, true],
  ["127.8.9.10", null, true],
  ["::1", null, true],
  ["192.0.2.7", tls, true],
] as const)("a connection to %s, TLS %o, is private: %s", (host, session, expected) => {
  const [stream] = memoryPair();
  expect(isPrivate(Object.defineProperties(stream, { remote: { value: tcp(host) }, tls: { value: session } }))).toBe(
    expected,
  );
});

test("a connection over a Unix socket is private", () => {
  const [stream] = memoryPair();
  expect(isPrivate(Object.defineProperty(stream, "remote", { value: { kind: "unix", path: "" } }))).toBe(true);
});
