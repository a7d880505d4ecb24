import { isIP } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ipFamily, parseIpv4, parseIpv6, unmapIpv4 } from "./ip-address.ts";

describe("ipFamily", () => {
  test.each([
    "127.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "1::",
    "fe80::1%eth0",
    "::ffff:1.2.3.4",
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:1.2.3.4",
    "",
    "localhost",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3",
    "1.2.3.4.5",
    " 1.2.3.4",
    ":",
    ":::",
    "1:2",
    "1::2::3",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7::8:9",
    "12345::",
    "1.2.3.4::",
    "::1.2.3.4:5",
    "::g",
    "[::1]",
    "fe80::1%",
  ])("agrees with node:net on %j", (host) => {
    expect(ipFamily(host)).toBe(isIP(host));
  });

  test("agrees with node:net on every address, and on what is nearly one", () => {
    const nearly = fc.string({ unit: fc.constantFrom(..."0123456789abf:.") });
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), nearly), (host) => {
        expect(ipFamily(host)).toBe(isIP(host));
      }),
    );
  });
});

test("an address is read into its octets or groups", () => {
  expect(parseIpv4("10.0.2.255")).toEqual([10, 0, 2, 255]);
  expect(parseIpv6("2001:db8::1.2.3.4")).toEqual([0x2001, 0xdb8, 0, 0, 0, 0, 0x102, 0x304]);
});

test("an IPv4 address mapped into IPv6 is taken out, and others stay as they are", () => {
  const hosts = ["::ffff:10.0.0.1", "::FFFF:10.0.0.1", "10.0.0.1", "::1", "::ffff:a00:1"];
  expect(hosts.map(unmapIpv4)).toEqual(["10.0.0.1", "10.0.0.1", "10.0.0.1", "::1", "10.0.0.1"]);
});
