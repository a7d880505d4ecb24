import { expect, test } from "vitest";
import { ReportWindows } from "./report-windows.ts";

test("the first report of a kind passes, and the first after the window stands for those in between", () => {
  const windows = new ReportWindows<string>(1000);
  const counts = [0, 1, 999, 1000, 1500, 2000].map((nowMs) => windows.add("kind", `at ${nowMs}`, nowMs));
  expect(counts).toEqual([1, 0, 0, 3, 0, 2]);
});

test("kinds have windows of their own", () => {
  const windows = new ReportWindows<string>(1000);
  expect([windows.add("a", "", 0), windows.add("b", "", 0), windows.add("a", "", 1)]).toEqual([1, 1, 0]);
});

test("the end gives the last of the merged reports with their number, once", () => {
  const windows = new ReportWindows<string>(1000);
  for (const report of ["one", "two", "three"]) windows.add("a", report, 0);
  windows.add("b", "alone", 0);
  expect([windows.end(), windows.end()]).toEqual([[{ report: "three", count: 2 }], []]);
});
