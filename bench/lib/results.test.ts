import { describe, expect, test } from "vitest";
import { baselineRatio, ResultTable, rowRatio, rowSummary } from "./results.ts";

const CALLS = { name: "calls", unit: "calls/s", better: "higher" } as const;
const where = (peer: string) => ({ scenario: "rpc", variant: "64", pair: "node", peer });

describe("ResultTable", () => {
  test("keeps samples by round, with gaps where a round failed", () => {
    const table = new ResultTable();
    table.add(where("ws"), CALLS, 0, 5);
    table.add(where("ws"), CALLS, 2, 7);
    expect(table.rows).toMatchObject([{ peer: "ws", samples: [5, null, 7] }]);
    expect(table.rows.map(rowSummary)).toEqual([{ median: 6, min: 5, max: 7, samples: 2 }]);
  });

  test("keeps different peers, pairs, variants and metrics apart", () => {
    const table = new ResultTable();
    table.add(where("ws"), CALLS, 0, 1);
    table.add(where("raw"), CALLS, 0, 1);
    table.add({ ...where("ws"), pair: "bun" }, CALLS, 0, 1);
    table.add({ ...where("ws"), variant: "1" }, CALLS, 0, 1);
    table.add(where("ws"), { ...CALLS, name: "p50" }, 0, 1);
    expect(table.rows).toHaveLength(5);
  });

  test("keeps the first reason for an absence", () => {
    const table = new ResultTable();
    const absence = { scenario: "rpc", pair: "node", peer: "ws", variant: null };
    table.addAbsence({ ...absence, reason: "first" });
    table.addAbsence({ ...absence, reason: "second" });
    table.addAbsence({ ...absence, variant: "64", reason: "third" });
    expect(table.absences.map(({ reason }) => reason)).toEqual(["first", "third"]);
  });
});

describe("ratios", () => {
  test("compare the same rounds", () => {
    const table = new ResultTable();
    for (const [round, slow] of [1, 10].entries()) {
      table.add(where("netconduit"), CALLS, round, 30 / slow);
      table.add(where("ws"), CALLS, round, 10 / slow);
    }
    expect(table.rows.map((row) => rowRatio(table.rows, row, "ws")?.median)).toEqual([3, 1]);
  });

  test("to the baseline are to raw, or to the bare loop if raw lacks the number", () => {
    const table = new ResultTable();
    table.add(where("ws"), CALLS, 0, 10);
    const ratio = (): unknown => table.rows.slice(0, 1).map((row) => baselineRatio(table.rows, row))[0];
    expect(ratio()).toBeNull();
    table.add(where("bare"), CALLS, 0, 20);
    expect(ratio()).toEqual({ to: "bare", ratio: 0.5 });
    table.add(where("raw"), CALLS, 0, 100);
    expect(ratio()).toEqual({ to: "raw", ratio: 0.1 });
  });
});
