import { describe, expect, test } from "vitest";
import { PEER_NAMES } from "../peers/index.ts";
import { SCENARIOS } from "../scenarios/index.ts";
import { GOALS, type Goal, judge } from "./goals.ts";
import type { Row } from "./results.ts";

const WHERE = { scenario: "rpc", variant: "64 in flight", metric: "calls", pair: "node" } as const;

function row(peer: string, samples: (number | null)[], where: Partial<Row> = {}): Row {
  return { ...WHERE, unit: "calls/s", better: "higher", peer, samples, ...where };
}

function goal(properties: Partial<Goal>): Goal {
  return { ...WHERE, text: "", kind: "ratio", to: "ws", bound: "at least", value: 2, ...properties } as Goal;
}

describe("judge", () => {
  test.each([
    ["at least", 2, "met"],
    ["at least", 2.01, "missed"],
    ["at most", 2, "met"],
    ["at most", 1.99, "missed"],
  ] as const)("a ratio of 2 that must be %s %d is %s", (bound, value, state) => {
    const rows = [row("netconduit", [20, 200]), row("ws", [10, 100])];
    expect(judge(rows, [goal({ bound, value })])).toMatchObject([{ actual: 2, state }]);
  });

  test("growth is compared to the other peer's growth", () => {
    const rows = [
      row("netconduit", [10], { variant: "small" }),
      row("netconduit", [30], { variant: "large" }),
      row("raw", [1], { variant: "small" }),
      row("raw", [2], { variant: "large" }),
    ];
    const grown = { kind: "growth", variant: "large", from: "small", to: "raw", bound: "at most" } as const;
    expect(judge(rows, [goal({ ...grown, value: 1.5 }), goal({ ...grown, value: 1.4 })])).toMatchObject([
      { actual: 1.5, state: "met" },
      { actual: 1.5, state: "missed" },
    ]);
  });

  test("a number may be compared to netconduit's own at another variant", () => {
    const rows = [row("netconduit", [10], { variant: "a call" }), row("netconduit", [12], { variant: "a stream" })];
    const own = { kind: "own", variant: "a stream", from: "a call", to: "netconduit", bound: "at most" } as const;
    expect(judge(rows, [goal({ ...own, value: 1.2 }), goal({ ...own, value: 1.1 })])).toMatchObject([
      { actual: 1.2, state: "met" },
      { actual: 1.2, state: "missed" },
    ]);
  });

  test.each([
    ["netconduit was not measured", [row("ws", [1])]],
    ["the other was not measured", [row("netconduit", [1])]],
    ["they have no round in common", [row("netconduit", [1, null]), row("ws", [null, 1])]],
  ])("is not measured when %s", (_why, rows) => {
    expect(judge(rows, [goal({})])).toMatchObject([{ actual: null, state: "not measured" }]);
  });
});

test("every goal names a scenario and a peer that exist", () => {
  const scenarios = SCENARIOS.map(({ name }) => name);
  const strays = GOALS.filter(
    ({ scenario, to }) => !scenarios.includes(scenario) || !(PEER_NAMES as readonly string[]).includes(to),
  );
  expect(strays).toEqual([]);
});
