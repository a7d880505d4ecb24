import { describe, expect, test } from "vitest";
import type { Address } from "../bytes/byte-stream.ts";
import { AuthThrottle, throttleKey } from "./throttle.ts";

const MINUTE = 60_000;

function failing(times: number, now = 0): AuthThrottle {
  const throttle = new AuthThrottle();
  for (let failure = 0; failure < times; failure++) throttle.failed("a", now);
  return throttle;
}

describe("AuthThrottle", () => {
  test("does not delay an address it does not know", () => {
    expect(new AuthThrottle().delayMs("a", 0)).toBe(0);
  });

  test.each([
    [1, 0],
    [3, 0],
    [4, 250],
    [5, 500],
    [6, 1000],
    [7, 2000],
    [9, 8000],
    [10, 10_000],
    [5000, 10_000],
  ])("after %i failures delays by %i ms", (failures, delayMs) => {
    expect(failing(failures).delayMs("a", 0)).toBe(delayMs);
  });

  test("counts the delay from the last failure", () => {
    const throttle = failing(6, 1000);
    expect(throttle.delayMs("a", 1400)).toBe(600);
    expect(throttle.delayMs("a", 5000)).toBe(0);
  });

  test("delays only the address that failed", () => {
    expect(failing(10).delayMs("b", 0)).toBe(0);
  });

  test("forgets an address that logs in", () => {
    const throttle = failing(10);
    throttle.succeeded("a");
    expect(throttle.delayMs("a", 0)).toBe(0);
    expect(throttle.size).toBe(0);
  });

  test("starts over after 15 minutes without a failure", () => {
    const throttle = failing(10);
    throttle.failed("a", 14 * MINUTE);
    expect(throttle.delayMs("a", 14 * MINUTE)).toBe(10_000);
    throttle.failed("a", 29 * MINUTE);
    expect(throttle.delayMs("a", 29 * MINUTE)).toBe(0);
  });

  test("drops expired addresses when another one fails", () => {
    const throttle = failing(1);
    throttle.failed("b", 10 * MINUTE);
    throttle.failed("c", 16 * MINUTE);
    expect(throttle.size).toBe(2);
  });

  test("remembers 10,000 addresses and drops the one whose last failure is the oldest", () => {
    const throttle = failing(4, 0);
    for (let address = 0; address < 9_999; address++) throttle.failed(`other ${address}`, 0);
    throttle.failed("a", 0);
    throttle.failed("one more", 0);
    expect(throttle.size).toBe(10_000);
    expect(throttle.delayMs("a", 0)).toBe(500);
  });
});

describe("throttleKey", () => {
  const tcp = (host: string): Address => ({
    kind: "tcp",
    host,
    port: 4711,
    family: host.includes(":") ? "IPv6" : "IPv4",
  });

  test.each([
    ["192.0.2.7", "192.0.2.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::", "2001:db8:1:2::/64"],
    ["2001:0DB8:0001:0002::1", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["::", "0:0:0:0::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["::ffff:192.0.2.7", "192.0.2.7"],
    ["::ffff:c000:207", "192.0.2.7"],
    ["::192.0.2.7", "0:0:0:0::/64"],
  ])("takes %s for %s", (host, key) => {
    expect(throttleKey(tcp(host))).toBe(key);
  });

  test.each(["1:2:3", "1::2::3", "1:2:3:4:5:6:7:8:9", "1:2:3:4::5:6:7:8", "12345::", "g::"])(
    "leaves %s, which is no address, as it is",
    (host) => {
      expect(throttleKey(tcp(host))).toBe(host);
    },
  );

  test("ignores the port", () => {
    expect(throttleKey({ ...tcp("192.0.2.7"), port: 1 } as Address)).toBe(throttleKey(tcp("192.0.2.7")));
  });

  test("tells the kinds of address apart", () => {
    expect(throttleKey({ kind: "unix", path: "/run/a" })).toBe("unix:/run/a");
    expect(throttleKey({ kind: "memory", name: "a" })).toBe("memory:a");
  });
});
