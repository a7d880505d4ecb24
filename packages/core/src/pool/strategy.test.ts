import { describe, expect, test } from "vitest";
import { chooserOf, type Load } from "./strategy.ts";

interface Named extends Load {
  readonly name: string;
}

function load(name: string, pendingCalls = 0, averageMs: number | null = null): Named {
  return { name, pendingCalls, averageMs };
}

function choices(choose: ReturnType<typeof chooserOf>, candidates: readonly Named[], count: number): string[] {
  return Array.from({ length: count }, () => choose(candidates).name);
}

const three = [load("a"), load("b"), load("c")];

describe("round-robin", () => {
  test("takes every candidate in turn", () => {
    const taken = choices(chooserOf("round-robin"), three, 6);
    expect(taken.slice(0, 3).sort()).toEqual(["a", "b", "c"]);
    expect(taken.slice(3)).toEqual(taken.slice(0, 3));
  });

  test("continues when candidates come and go", () => {
    const choose = chooserOf("round-robin");
    for (const count of [3, 1, 2, 3]) expect(choose(three.slice(0, count))).toBeDefined();
  });
});

test("random takes any candidate", () => {
  let value = 0;
  const choose = chooserOf("random", () => value);
  const taken = [0, 0.34, 0.67, 0.999].map((next) => {
    value = next;
    return choose(three).name;
  });
  expect(taken).toEqual(["a", "b", "c", "c"]);
});

describe("least-pending", () => {
  test("takes the candidate with the fewest calls under way", () => {
    const candidates = [load("a", 3), load("b", 1), load("c", 2)];
    expect(choices(chooserOf("least-pending"), candidates, 3)).toEqual(["b", "b", "b"]);
  });

  test("takes equal ones in turn", () => {
    expect(choices(chooserOf("least-pending"), three, 3).sort()).toEqual(["a", "b", "c"]);
  });
});

describe("least-latency", () => {
  test("takes the candidate that replies soonest", () => {
    const candidates = [load("a", 0, 20), load("b", 0, 5), load("c", 0, 50)];
    expect(choices(chooserOf("least-latency"), candidates, 3)).toEqual(["b", "b", "b"]);
  });

  test("takes a slower one when the fastest has many calls under way", () => {
    const candidates = [load("near", 4, 5), load("far", 0, 20)];
    expect(chooserOf("least-latency")(candidates).name).toBe("far");
  });

  test("takes one that hasn't been measured first", () => {
    expect(chooserOf("least-latency")([load("a", 0, 2), load("new")]).name).toBe("new");
  });

  test("takes those in turn that differ by less than 0.1 ms", () => {
    const candidates = [load("a", 0, 0.03), load("b", 0, 0.07), load("c", 0, 0)];
    expect(choices(chooserOf("least-latency"), candidates, 3).sort()).toEqual(["a", "b", "c"]);
  });
});
