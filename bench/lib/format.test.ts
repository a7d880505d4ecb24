import { expect, test } from "vitest";
import { formatNumber, formatTable, wrap } from "./format.ts";

test.each([
  [0, "0"],
  [0.12345, "0.123"],
  [1.256, "1.26"],
  [56.78, "56.8"],
  [567.8, "568"],
  [99_994, "99,990"],
  [1_234_567, "1,235,000"],
  [-2.5, "-2.50"],
])("%d is written %s", (value, text) => {
  expect(formatNumber(value)).toBe(text);
});

test("columns are aligned, numbers to the right", () => {
  expect(
    formatTable(
      ["", "calls/s"],
      [
        ["ours", "10"],
        ["the others", "2,000"],
      ],
    ),
  ).toBe(
    [
      "|            | calls/s |",
      "| ---------- | ------: |",
      "| ours       |      10 |",
      "| the others |   2,000 |",
    ].join("\n"),
  );
});

test("text is wrapped only at spaces", () => {
  expect(wrap("- one two threefourfive six", 9, "  ")).toBe("- one two\n  threefourfive\n  six");
});
