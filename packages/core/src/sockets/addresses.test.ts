import { expect, test } from "vitest";
import { tcpEnds } from "./addresses.ts";

test("an IPv4 address mapped into IPv6 becomes the IPv4 address", () => {
  const ends = tcpEnds({ localAddress: "::ffff:10.0.0.1", localPort: 1, remoteAddress: "fe80::1" });
  expect(ends).toEqual({
    local: { kind: "tcp", host: "10.0.0.1", port: 1, family: "IPv4" },
    remote: { kind: "tcp", host: "fe80::1", port: 0, family: "IPv6" },
  });
});

test("a peer that is gone has no ends", () => {
  expect([tcpEnds({ localAddress: "::1" }), tcpEnds({ remoteAddress: "::1" })]).toEqual([null, null]);
});
