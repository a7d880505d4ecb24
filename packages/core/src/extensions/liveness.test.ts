import { describe, expect, test } from "vitest";
import { Liveness } from "./liveness.ts";

const START = 5_000_000;

const SETTINGS = { heartbeatIntervalMs: 30_000, heartbeatTimeoutMs: 90_000 };

/** Interval 30 s, timeout 90 s; times in seconds from the start. */
class Bench {
  readonly liveness: Liveness = new Liveness(SETTINGS, START);

  at(seconds: number): number {
    return START + seconds * 1000;
  }

  check(seconds: number): string {
    const verdict = this.liveness.check(this.at(seconds));
    if (verdict === "ping") this.liveness.sent(this.at(seconds));
    return verdict;
  }
}

describe("Liveness", () => {
  test("rounds its times up to whole milliseconds, so that nothing comes early", () => {
    const liveness = new Liveness(SETTINGS, START + 0.25);
    expect(liveness.check(START + 30_000.5)).toBe("ok");
    expect(liveness.nextCheckMs(START + 30_000.5)).toBe(0.5);
    expect(liveness.check(START + 30_001)).toBe("ping");
  });

  test("asks for a PING every interval, the first one interval after the login", () => {
    const bench = new Bench();
    const pings: number[] = [];
    for (let second = 0; second <= 100; second += 10) {
      bench.liveness.activity(bench.at(second));
      if (bench.check(second) === "ping") pings.push(second);
    }
    expect(pings).toEqual([30, 60, 90]);
  });

  test("gives up a peer that is silent for the timeout", () => {
    const bench = new Bench();
    expect([30, 60, 89.9].map((second) => bench.check(second))).toEqual(["ping", "ping", "ok"]);
    expect(bench.check(90)).toBe("dead");
  });

  test("takes a PONG as a sign of life", () => {
    const bench = new Bench();
    bench.check(30);
    bench.liveness.pongReceived(bench.at(31));
    expect([60, 90, 120].map((second) => bench.check(second))).toEqual(["ping", "ping", "ping"]);
    expect(bench.check(121)).toBe("dead");
  });

  test("takes any bytes as a sign of life", () => {
    const bench = new Bench();
    for (let second = 30; second <= 600; second += 30) {
      bench.liveness.activity(bench.at(second - 1));
      expect(bench.check(second)).toBe("ping");
    }
  });

  test("says when to check next: at the next PING or the timeout, whichever is sooner", () => {
    const { liveness, at } = new Bench();
    expect(liveness.nextCheckMs(at(0))).toBe(30_000);
    liveness.sent(at(30));
    expect(liveness.nextCheckMs(at(30))).toBe(30_000);
    liveness.sent(at(70));
    expect(liveness.nextCheckMs(at(75))).toBe(15_000);
    expect(liveness.nextCheckMs(at(500))).toBe(0);
  });

  test("does not give up a peer that it does not read from, and continues with PINGs", () => {
    const bench = new Bench();
    bench.liveness.suspend();
    expect([30, 60, 90, 120].map((second) => bench.check(second))).toEqual(["ping", "ping", "ping", "ping"]);
    expect(bench.liveness.nextCheckMs(bench.at(120))).toBe(30_000);
  });

  test("counts silence from the moment it reads again", () => {
    const bench = new Bench();
    bench.liveness.suspend();
    for (const second of [30, 60, 90, 120]) bench.check(second);
    bench.liveness.resume(bench.at(130));
    expect([150, 180, 210].map((second) => bench.check(second))).toEqual(["ping", "ping", "ping"]);
    expect(bench.check(220)).toBe("dead");
  });

  test("a resume that ends no suspension is no sign of life", () => {
    const bench = new Bench();
    for (const second of [30, 60]) bench.check(second);
    bench.liveness.resume(bench.at(60));
    expect(bench.check(90)).toBe("dead");
  });

  test("grants one more interval after this process stood still", () => {
    const bench = new Bench();
    bench.check(30);
    expect(bench.check(1000)).toBe("ping");
    expect(bench.check(1029)).toBe("ok");
    expect(bench.check(1030)).toBe("dead");
  });

  test("gives its latency as a frozen object", () => {
    const bench = new Bench();
    const before = bench.liveness.latency;
    bench.liveness.sent(1000);
    bench.liveness.pongReceived(1100);
    expect([Object.isFrozen(before), Object.isFrozen(bench.liveness.latency)]).toEqual([true, true]);
  });

  test("has no latency before the first PONG", () => {
    expect(new Bench().liveness.latency).toEqual({ lastMs: 0, averageMs: 0, minMs: 0, maxMs: 0, samples: 0 });
  });

  test("measures from PING to PONG and averages with a weight of 0.3", () => {
    const { liveness, at } = new Bench();
    for (const [sent, ms] of [
      [30, 100],
      [60, 200],
      [90, 50],
    ] as const) {
      liveness.sent(at(sent));
      liveness.pongReceived(at(sent) + ms);
    }
    expect(liveness.latency).toEqual({ lastMs: 50, averageMs: 106, minMs: 50, maxMs: 200, samples: 3 });
  });

  test("pairs PONGs with overlapping PINGs in their order", () => {
    const { liveness, at } = new Bench();
    liveness.sent(at(30));
    liveness.sent(at(60));
    liveness.pongReceived(at(70));
    expect(liveness.latency).toMatchObject({ lastMs: 40_000, samples: 1 });
    liveness.sent(at(90));
    liveness.pongReceived(at(91));
    expect(liveness.latency.samples).toBe(1);
    liveness.pongReceived(at(92));
    expect(liveness.latency).toMatchObject({ lastMs: 2000, samples: 2 });
  });

  test("takes no sample from an unrequested PONG", () => {
    const { liveness, at } = new Bench();
    liveness.pongReceived(at(1));
    expect(liveness.latency.samples).toBe(0);
    liveness.sent(at(30));
    liveness.pongReceived(at(30.5));
    expect(liveness.latency).toMatchObject({ lastMs: 500, samples: 1 });
  });

  test("does not count time unread as latency", () => {
    const { liveness, at } = new Bench();
    liveness.sent(at(30));
    liveness.suspend();
    liveness.sent(at(60));
    liveness.resume(at(80));
    liveness.pongReceived(at(80));
    liveness.sent(at(90));
    liveness.pongReceived(at(90.1));
    expect(liveness.latency.samples).toBe(0);
    liveness.pongReceived(at(90.5));
    expect(liveness.latency).toMatchObject({ lastMs: 500, samples: 1 });
  });
});
