import { expect, test } from "vitest";
import { formatAddress } from "./address.ts";

test.each([
  [{ kind: "tcp", host: "127.0.0.1", port: 80, family: "IPv4" }, "127.0.0.1:80"],
  [{ kind: "tcp", host: "::1", port: 80, family: "IPv6" }, "[::1]:80"],
  [{ kind: "unix", path: "/run/app.sock" }, "unix:/run/app.sock"],
  [{ kind: "unix", path: "" }, "unix:"],
  [{ kind: "memory", name: "a" }, "memory:a"],
] as const)("%o is written %s", (address, text) => {
  expect(formatAddress(address)).toBe(text);
});
