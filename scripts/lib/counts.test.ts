import { describe, expect, test } from "vitest";
import { addCounts, countReport, formatCounts, NO_TESTS } from "./counts.ts";

function file(status: string, ...tests: string[]) {
  return { name: "x.test.ts", status, assertionResults: tests.map((test) => ({ status: test })) };
}

describe("counting a test report", () => {
  test("every test counts once, by its outcome", () => {
    const report = {
      testResults: [file("failed", "passed", "failed"), file("passed", "passed", "skipped", "pending", "todo")],
    };
    expect(countReport(report)).toEqual({ passed: 2, failed: 1, skipped: 3 });
  });

  test("a file that couldn't run counts as one failed test", () => {
    expect(countReport({ testResults: [file("failed")] })).toEqual({ passed: 0, failed: 1, skipped: 0 });
  });

  test("a failed hook after passing tests counts as one more failed test", () => {
    expect(countReport({ testResults: [file("failed", "passed")] })).toEqual({ passed: 1, failed: 1, skipped: 0 });
  });

  test("reports add up, and the line names all three numbers", () => {
    const sum = addCounts(addCounts(NO_TESTS, { passed: 1, failed: 0, skipped: 2 }), {
      passed: 3,
      failed: 1,
      skipped: 0,
    });
    expect(formatCounts(sum)).toBe("4 passed, 1 failed, 2 skipped");
  });
});
