import { describe, expect, test } from "vitest";
import type { Address } from "../bytes/byte-stream.ts";
import { AuthThrottle, GuessBudget, throttleKey } from "./throttle.ts";

/** Creates a throttle after `times` simultaneous guesses by address "a". */
function guessed(times: number, now = 0): GuessBudget {
  const throttle = new GuessBudget();
  for (let guess = 0; guess < times; guess++) throttle.take("a", now);
  return throttle;
}

describe("GuessBudget", () => {
  test("allows twenty guesses at once, and names the time until the next", () => {
    const throttle = new GuessBudget();
    const waits = Array.from({ length: 22 }, () => throttle.take("a", 0));
    expect(waits).toEqual([...Array(20).fill(0), 100, 100]);
  });

  test("allows ten guesses per second after that", () => {
    const throttle = guessed(20);
    let allowed = 0;
    for (let now = 1; now <= 10_000; now++) if (throttle.take("a", now) === 0) allowed++;
    expect(allowed).toBe(100);
  });

  test("allows twenty at once again after two quiet seconds", () => {
    const throttle = guessed(20);
    const waits = Array.from({ length: 21 }, () => throttle.take("a", 2000));
    expect(waits).toEqual([...Array(20).fill(0), 100]);
  });

  test("takes a guess back", () => {
    const throttle = guessed(20);
    throttle.giveBack("a", 0);
    expect([throttle.take("a", 0), throttle.take("a", 0)]).toEqual([0, 100]);
  });

  test("limits each address by itself", () => {
    expect(guessed(20).take("b", 0)).toBe(0);
  });

  test("does not store an address whose guess was given back", () => {
    const throttle = guessed(1);
    throttle.giveBack("a", 0);
    expect(throttle.size).toBe(0);
    throttle.take("busy", 0);
    throttle.take("a", 0);
    throttle.giveBack("a", 0);
    expect(throttle.size).toBe(1);
  });

  test("forgets an address whose budget is full again when another one guesses", () => {
    const throttle = guessed(1);
    throttle.take("b", 100);
    expect(throttle.size).toBe(1);
  });

  test("stores 10,000 addresses; the one that was used least recently goes first", () => {
    const throttle = guessed(20);
    for (let address = 0; address < 9_999; address++) throttle.take(`other ${address}`, 0);
    expect([throttle.size, throttle.take("a", 0)]).toEqual([10_000, 100]);
    throttle.take("one more", 0);
    expect([throttle.size, throttle.take("a", 0)]).toEqual([10_000, 0]);
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
    expect(throttleKey({ kind: "unix", path: "/run/a" })).toBe(null);
    expect(throttleKey({ kind: "memory", name: "a" })).toBe("memory:a");
  });
});

describe("AuthThrottle", () => {
  /** Returns the delays of `times` simultaneous guesses. */
  function waits(throttle: AuthThrottle, times: number, address: string, name: string | null): number[] {
    return Array.from({ length: times }, () => throttle.take(address, name, 0).waitMs);
  }

  test("judges the shared password by its address alone", () => {
    const throttle = new AuthThrottle();
    expect(waits(throttle, 21, "a", null)).toEqual([...Array(20).fill(0), 100]);
    expect(throttle.take("b", null, 0).waitMs).toBe(0);
  });

  test("keeps three guesses of a name at an address apart from those of other names there", () => {
    const throttle = new AuthThrottle();
    for (const name of ["eve", "mallory", null]) waits(throttle, 30, "nat", name);
    expect(waits(throttle, 4, "nat", "ada")).toEqual([0, 0, 0, 100]);
  });

  test("keeps three guesses of a name at an address apart from those of the name elsewhere", () => {
    const throttle = new AuthThrottle();
    for (const address of ["x", "y", "z"]) waits(throttle, 30, address, "ada");
    expect(waits(throttle, 4, "home", "ada")).toEqual([0, 0, 0, 100]);
  });

  test("judges ten guesses a second of a name from all addresses together, beside three of each", () => {
    const throttle = new AuthThrottle();
    const judged = (now: number): number =>
      Array.from({ length: 50 }, (_, n) => throttle.take(`address ${n % 10}`, "ada", now).waitMs).filter(
        (wait) => wait === 0,
      ).length;
    expect([judged(0), judged(1000), judged(2000)]).toEqual([50, 10, 10]);
  });

  test("judges ten guesses a second of all names from an address together, beside three of each", () => {
    const throttle = new AuthThrottle();
    const judged = (now: number): number =>
      Array.from({ length: 50 }, (_, n) => throttle.take("nat", `name ${n % 10}`, now).waitMs).filter(
        (wait) => wait === 0,
      ).length;
    expect([judged(0), judged(1000), judged(2000)]).toEqual([50, 10, 10]);
  });

  test("has all of them back after right passwords", () => {
    const throttle = new AuthThrottle();
    for (let login = 0; login < 100; login++) throttle.take("nat", "ada", 0).giveBack(0);
    expect(waits(throttle, 24, "nat", "ada")).toEqual([...Array(23).fill(0), 100]);
  });

  test("takes nothing from the address if the name has no guess left", () => {
    const throttle = new AuthThrottle();
    for (const address of ["x", "y"]) waits(throttle, 23, address, "ada");
    waits(throttle, 3, "nat", "ada");
    expect(waits(throttle, 30, "nat", "ada").every((wait) => wait > 0)).toBe(true);
    expect(waits(throttle, 20, "nat", null)).toEqual(Array(20).fill(0));
  });

  /** Makes three guesses for each of 100 names from one address. Returns how many are judged immediately. */
  function sprayed(throttle: AuthThrottle, now: number): number {
    const tries = Array.from({ length: 300 }, (_, n) => throttle.take("nat", `name ${n % 100}`, now).waitMs);
    return tries.filter((wait) => wait === 0).length;
  }

  test("doesn't judge more guesses from an address because they are of many names", () => {
    const throttle = new AuthThrottle();
    expect([sprayed(throttle, 0), sprayed(throttle, 1000), sprayed(throttle, 2000)]).toEqual([50, 10, 10]);
  });

  test("keeps three guesses of a name that has logged in from an address, whatever others guess there", () => {
    const throttle = new AuthThrottle();
    throttle.take("nat", "ada", 0).accepted(0);
    sprayed(throttle, 0);
    expect(waits(throttle, 4, "nat", "ada")).toEqual([0, 0, 0, 100]);
    expect(throttle.take("nat", "eve", 0).waitMs).toBe(100);
  });

  test("remembers the last 10,000 names that have logged in, and no more", () => {
    const throttle = new AuthThrottle();
    throttle.take("nat", "ada", 0).accepted(0);
    for (let user = 0; user < 10_000; user++) throttle.take("nat", `user ${user}`, 0).accepted(0);
    sprayed(throttle, 0);
    expect(waits(throttle, 1, "nat", "user 0")).toEqual([0]);
    expect(waits(throttle, 1, "nat", "ada")).toEqual([100]);
  });

  test("forgets first the name that logged in longest ago", () => {
    const throttle = new AuthThrottle();
    const login = (name: string): void => throttle.take("nat", name, 0).accepted(0);
    for (let user = 0; user < 10_000; user++) login(`user ${user}`);
    login("user 0");
    login("ada");
    sprayed(throttle, 0);
    expect(waits(throttle, 1, "nat", "user 0")).toEqual([0]);
    expect(waits(throttle, 1, "nat", "user 1")).toEqual([100]);
  });

  test("counts names that no user can have as one, so that long ones aren't stored", () => {
    const throttle = new AuthThrottle();
    const tries = Array.from({ length: 24 }, (_, n) => throttle.take("nat", `${n}`.padEnd(257, "x"), 0).waitMs);
    expect(tries).toEqual([...Array(23).fill(0), 100]);
  });
});
