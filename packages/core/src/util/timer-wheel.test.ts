import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { TimerEntry, TimerWheel, type TimerWheelOptions } from "./timer-wheel.ts";

interface Timer {
  readonly task: () => void;
  readonly atMs: number;
}

/** A clock controlled by the test, whose timers may fire early or late. */
class FakeClock {
  nowMs = 12_345.678;
  /** Time in ms by which timers fire early. */
  earlyMs = 0;
  /** Number of timers ever set, which is the wheel's cost for the runtime. */
  armed = 0;
  keptAlive = false;
  readonly timers: Set<Timer> = new Set();

  now(): number {
    return this.nowMs;
  }

  setTimer(task: () => void, delayMs: number, keepAlive: boolean): Timer {
    const timer = { task, atMs: this.nowMs + Math.max(0, delayMs - this.earlyMs) };
    this.armed++;
    this.keptAlive = keepAlive;
    this.timers.add(timer);
    return timer;
  }

  clearTimer(timer: unknown): void {
    this.timers.delete(timer as Timer);
  }

  advance(ms: number): void {
    const until = this.nowMs + ms;
    for (;;) {
      const [next] = [...this.timers].filter(({ atMs }) => atMs <= until).sort((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.timers.delete(next);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.task();
    }
    this.nowMs = until;
  }

  /** Advances the time without running timers, like a blocked event loop. */
  block(ms: number): void {
    this.nowMs += ms;
  }
}

class Entry extends TimerEntry {
  readonly firedAt: number[] = [];
  readonly #runtime: FakeClock;
  readonly #then: (entry: Entry) => void;

  constructor(runtime: FakeClock, then: (entry: Entry) => void = () => {}) {
    super();
    this.#runtime = runtime;
    this.#then = then;
  }

  override onTimer(): void {
    this.firedAt.push(this.#runtime.nowMs);
    this.#then(this);
  }
}

function setup(options?: TimerWheelOptions): { runtime: FakeClock; wheel: TimerWheel } {
  const runtime = new FakeClock();
  return { runtime, wheel: new TimerWheel(runtime, options) };
}

describe("TimerWheel", () => {
  test.each([0, 1, 16, 17, 1000, 8191, 8192, 8193, 30_000, 90_000, 3_600_000])(
    "fires an entry of %i ms once, never early and less than two ticks late",
    (delayMs) => {
      const { runtime, wheel } = setup();
      runtime.block(777.7);
      const entry = new Entry(runtime);
      const start = runtime.nowMs;
      wheel.schedule(entry, delayMs);
      runtime.advance(delayMs + 40);
      expect(entry.firedAt).toHaveLength(1);
      expect((entry.firedAt[0] ?? 0) - start).toBeGreaterThanOrEqual(delayMs);
      expect((entry.firedAt[0] ?? 0) - start).toBeLessThan(delayMs + 32);
    },
  );

  test("does not fire what was cancelled", () => {
    const { runtime, wheel } = setup();
    const entry = new Entry(runtime);
    wheel.schedule(entry, 100);
    expect(entry.isScheduled).toBe(true);
    wheel.cancel(entry);
    expect(entry.isScheduled).toBe(false);
    runtime.advance(1000);
    expect(entry.firedAt).toEqual([]);
  });

  test("takes the cancelling of what is not scheduled", () => {
    const { runtime, wheel } = setup();
    const entry = new Entry(runtime);
    wheel.cancel(entry);
    wheel.schedule(entry, 1);
    runtime.advance(100);
    wheel.cancel(entry);
    expect(entry.firedAt).toHaveLength(1);
  });

  test("moves an entry that is scheduled again", () => {
    const { runtime, wheel } = setup();
    const entry = new Entry(runtime);
    const start = runtime.nowMs;
    wheel.schedule(entry, 100);
    wheel.schedule(entry, 500);
    runtime.advance(1000);
    expect(entry.firedAt).toHaveLength(1);
    expect((entry.firedAt[0] ?? 0) - start).toBeGreaterThanOrEqual(500);
  });

  test("wakes earlier for an entry that is earlier than the one it sleeps for", () => {
    const { runtime, wheel } = setup();
    const late = new Entry(runtime);
    const early = new Entry(runtime);
    wheel.schedule(late, 5000);
    wheel.schedule(early, 50);
    runtime.advance(100);
    expect(early.firedAt).toHaveLength(1);
    expect(late.firedAt).toHaveLength(0);
    expect(runtime.timers.size).toBe(1);
  });

  test("sleeps until an entry is due instead of ticking", () => {
    const { runtime, wheel } = setup();
    wheel.schedule(new Entry(runtime), 90_000);
    runtime.advance(100_000);
    expect(runtime.armed).toBe(1);
    expect(runtime.timers.size).toBe(0);
  });

  test("does not touch the runtime's timer for calls that are answered long before their deadline", () => {
    const { runtime, wheel } = setup();
    for (let call = 0; call < 1000; call++) {
      const entry = new Entry(runtime);
      wheel.schedule(entry, 30_000);
      runtime.advance(1);
      wheel.cancel(entry);
    }
    expect(runtime.armed).toBe(1);
  });

  test("stops waking once everything is cancelled", () => {
    const { runtime, wheel } = setup();
    const entry = new Entry(runtime);
    wheel.schedule(entry, 1000);
    wheel.cancel(entry);
    runtime.advance(2000);
    expect(runtime.timers.size).toBe(0);
  });

  test("does not keep the process running unless told to", () => {
    const { runtime, wheel } = setup();
    wheel.schedule(new Entry(runtime), 10);
    expect(runtime.keptAlive).toBe(false);
    const keeping = setup({ keepAlive: true });
    keeping.wheel.schedule(new Entry(keeping.runtime), 10);
    expect(keeping.runtime.keptAlive).toBe(true);
  });

  test("lets an entry schedule itself again while it fires", () => {
    const { runtime, wheel } = setup();
    const entry = new Entry(runtime, (self) => wheel.schedule(self, 100));
    wheel.schedule(entry, 100);
    runtime.advance(1000);
    expect(entry.firedAt.length).toBeGreaterThanOrEqual(8);
    expect(entry.firedAt.length).toBeLessThanOrEqual(10);
  });

  test("fires an entry that schedules itself without delay once per tick", () => {
    const { runtime, wheel } = setup();
    const entry = new Entry(runtime, (self) => wheel.schedule(self, 0));
    wheel.schedule(entry, 0);
    runtime.advance(160);
    expect(new Set(entry.firedAt).size).toBe(entry.firedAt.length);
    expect(entry.firedAt.length).toBeLessThanOrEqual(11);
  });

  test("lets a firing entry cancel another one that is due with it", () => {
    const { runtime, wheel } = setup();
    const second = new Entry(runtime);
    const first = new Entry(runtime, () => wheel.cancel(second));
    wheel.schedule(first, 100);
    wheel.schedule(second, 100);
    runtime.advance(200);
    expect(first.firedAt).toHaveLength(1);
    expect(second.firedAt).toEqual([]);
  });

  test("fires everything that fell due while the event loop was blocked, each once", () => {
    const { runtime, wheel } = setup();
    const entries = [1, 100, 5000, 8192, 20_000, 59_000].map((delayMs) => {
      const entry = new Entry(runtime);
      wheel.schedule(entry, delayMs);
      return entry;
    });
    runtime.block(60_000);
    runtime.advance(1);
    expect(entries.map((entry) => entry.firedAt.length)).toEqual([1, 1, 1, 1, 1, 1]);
  });

  test("does not fire early when the runtime's timers do", () => {
    const { runtime, wheel } = setup();
    runtime.earlyMs = 0.9;
    const entry = new Entry(runtime);
    const start = runtime.nowMs;
    wheel.schedule(entry, 100);
    runtime.advance(200);
    expect(entry.firedAt).toHaveLength(1);
    expect((entry.firedAt[0] ?? 0) - start).toBeGreaterThanOrEqual(100);
  });

  test("asks for no longer timer than every runtime has", () => {
    const { runtime, wheel } = setup();
    wheel.schedule(new Entry(runtime), 1e12);
    const [timer] = runtime.timers;
    expect((timer?.atMs ?? 0) - runtime.nowMs).toBeLessThanOrEqual(2 ** 31 - 1);
  });

  test("fires the others when one throws, and reports the error", () => {
    const errors: unknown[] = [];
    const { runtime, wheel } = setup({ onError: (error) => errors.push(error) });
    const broken = new Error("broken entry");
    const other = new Entry(runtime);
    wheel.schedule(
      new Entry(runtime, () => {
        throw broken;
      }),
      100,
    );
    wheel.schedule(other, 100);
    runtime.advance(200);
    expect(errors).toEqual([broken]);
    expect(other.firedAt).toHaveLength(1);
  });

  test("without an error route throws out of the timer, and fires the others with the next one", () => {
    const { runtime, wheel } = setup();
    const broken = new Error("broken entry");
    const other = new Entry(runtime);
    wheel.schedule(
      new Entry(runtime, () => {
        throw broken;
      }),
      100,
    );
    wheel.schedule(other, 100);
    expect(() => runtime.advance(200)).toThrow(broken);
    runtime.advance(50);
    expect(other.firedAt).toHaveLength(1);
  });

  test("fires nothing after it was disposed", () => {
    const { runtime, wheel } = setup();
    const entry = new Entry(runtime);
    wheel.schedule(entry, 100);
    wheel.dispose();
    wheel.dispose();
    expect(entry.isScheduled).toBe(false);
    expect(runtime.timers.size).toBe(0);
    expect(() => wheel.schedule(entry, 1)).toThrow(expect.objectContaining({ code: ErrorCode.INVALID_STATE }));
  });

  test("can be disposed by an entry that fires", () => {
    const { runtime, wheel } = setup();
    const other = new Entry(runtime);
    wheel.schedule(new Entry(runtime, () => wheel.dispose()), 100);
    wheel.schedule(other, 100);
    runtime.advance(200);
    expect(other.firedAt).toEqual([]);
    expect(runtime.timers.size).toBe(0);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])("refuses a delay of %d", (delayMs) => {
    const { runtime, wheel } = setup();
    const refusal = expect.objectContaining({ code: ErrorCode.INVALID_CONFIG });
    expect(() => wheel.schedule(new Entry(runtime), delayMs)).toThrow(refusal);
  });

  test.each([{ slots: 0 }, { slots: 500 }, { slots: 1.5 }, { granularityMs: 0 }, { granularityMs: Number.NaN }])(
    "refuses the options %j",
    (options) => {
      expect(() => setup(options)).toThrow(expect.objectContaining({ code: ErrorCode.INVALID_CONFIG }));
    },
  );

  test("fires each entry once and on time, whatever is scheduled, moved, cancelled and slept through", () => {
    const command = fc.oneof(
      fc.record({ kind: fc.constant("schedule" as const), entry: fc.nat(9), ms: fc.nat(3000) }),
      fc.record({ kind: fc.constant("cancel" as const), entry: fc.nat(9), ms: fc.constant(0) }),
      fc.record({ kind: fc.constant("advance" as const), entry: fc.constant(0), ms: fc.nat(1500) }),
      fc.record({ kind: fc.constant("block" as const), entry: fc.constant(0), ms: fc.nat(1500) }),
    );
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        const { runtime, wheel } = setup({ slots: 16 });
        const due: (number | null)[] = new Array<null>(10).fill(null);
        const entries = due.map(
          (_, index) =>
            new Entry(runtime, () => {
              expect(due[index]).not.toBeNull();
              expect(runtime.nowMs).toBeGreaterThanOrEqual(due[index] ?? 0);
              due[index] = null;
            }),
        );
        for (const { kind, entry, ms } of commands) {
          if (kind === "advance") runtime.advance(ms);
          if (kind === "block") runtime.block(ms);
          if (kind === "schedule") {
            due[entry] = runtime.nowMs + ms;
            wheel.schedule(entries[entry] as Entry, ms);
          }
          if (kind === "cancel") {
            due[entry] = null;
            wheel.cancel(entries[entry] as Entry);
          }
          if (kind === "advance") {
            // A tick plus the rounding up of timers to a whole millisecond.
            for (const at of due) expect(at ?? runtime.nowMs).toBeGreaterThan(runtime.nowMs - 18);
          }
        }
        runtime.advance(5000);
        expect(due).toEqual(new Array<null>(10).fill(null));
        expect(runtime.timers.size).toBe(0);
      }),
    );
  });
});
