import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { BufferBudget, type BufferHolder } from "./buffer-budget.ts";

const KIB = 1024;

/** Returns a budget of 100 KiB, and connections whose held bytes are set by tests. */
function bench() {
  const tasks: (() => void)[] = [];
  const aborted: string[] = [];
  const reported: number[] = [];
  const budget = new BufferBudget(100 * KIB, (task) => tasks.push(task));
  const holder = (name: string, host: string): BufferHolder & { heldBytes: number; hold(kib: number): void } => ({
    stream: { remote: { kind: "tcp", host, port: 1, family: "IPv4" } },
    heldBytes: 0,
    countedBytes: 0,
    hold(kib) {
      this.heldBytes = kib * KIB;
      budget.count(this);
    },
    report: ({ code }) => reported.push(code),
    destroy() {
      aborted.push(name);
      this.hold(0);
    },
  });
  const endTurn = (): void => {
    for (const task of tasks.splice(0)) task();
  };
  return { budget, holder, endTurn, aborted, reported };
}

describe("BufferBudget", () => {
  test("aborts the largest connection at the end of the turn, with BUFFER_LIMIT", () => {
    const { budget, holder, endTurn, aborted, reported } = bench();
    holder("small", "10.0.0.1").hold(40);
    holder("large", "10.0.0.1").hold(61);
    expect(aborted).toEqual([]);
    endTurn();
    expect([aborted, reported, budget.bytes]).toEqual([["large"], [ErrorCode.BUFFER_LIMIT], 40 * KIB]);
  });

  test("aborts nobody at the limit", () => {
    const { holder, endTurn, aborted } = bench();
    holder("one", "10.0.0.1").hold(40);
    holder("other", "10.0.0.1").hold(60);
    endTurn();
    expect(aborted).toEqual([]);
  });

  test("aborts nobody if the memory is released within the turn", () => {
    const { holder, endTurn, aborted } = bench();
    const one = holder("one", "10.0.0.1");
    one.hold(101);
    one.hold(50);
    endTurn();
    expect(aborted).toEqual([]);
  });

  test("spares a large connection while another address holds more by many", () => {
    const { holder, endTurn, aborted } = bench();
    holder("honest", "10.0.0.1").hold(40);
    for (let n = 1; n <= 4; n += 1) holder(`hostile ${n}`, "10.0.0.2").hold(16 + n);
    endTurn();
    expect(aborted).toEqual(["hostile 4"]);
  });

  test("aborts until the rest fits", () => {
    const { holder, endTurn, aborted } = bench();
    for (let n = 1; n <= 4; n += 1) holder(`${n}`, "10.0.0.2").hold(80 + n);
    endTurn();
    expect(aborted).toEqual(["4", "3", "2"]);
  });

  test("counts connections that hold less than 16 KiB as nothing", () => {
    const { budget, holder } = bench();
    for (let n = 0; n < 100; n += 1) holder(`${n}`, "10.0.0.1").hold(15);
    expect(budget.bytes).toBe(0);
  });
});
