import { expect, test } from "vitest";
import { type Bar, barChart } from "./chart.ts";

function bar(label: string, value: number, min = value, max = value): Bar {
  return { label, value, min, max, kind: "other" };
}

/** Widths of a chart's bars: its rectangles except the background. */
function widths(svg: string): number[] {
  return [...svg.matchAll(/<rect x="\d+" y="[\d.]+" width="([\d.]+)"/g)].map(([, width]) => Number(width));
}

test("bars are proportional to their values within a group", () => {
  const svg = barChart("Title", [
    { title: "first", bars: [bar("a", 100), bar("b", 25)] },
    { title: "second", bars: [bar("c", 3)] },
  ]);
  const [a = 0, b = 0, c = 0] = widths(svg);
  expect([b / a, c / a]).toEqual([0.25, 1]);
});

test("the widest range of a group fills the width", () => {
  const [narrow = 0] = widths(barChart("", [{ title: "", bars: [bar("a", 50, 40, 100)] }]));
  const [wide = 0] = widths(barChart("", [{ title: "", bars: [bar("a", 100)] }]));
  expect(narrow / wide).toBe(0.5);
});

test("texts are escaped, and equal results make equal files", () => {
  const groups = [{ title: `<"&">`, bars: [bar("a & b", 1)] }];
  const svg = barChart("x < y", groups);
  expect(svg).toContain("&lt;&quot;&amp;&quot;&gt;");
  expect(svg).toContain("a &amp; b");
  expect(svg).not.toMatch(/&(?!amp;|lt;|gt;|quot;)/);
  expect(barChart("x < y", groups)).toBe(svg);
});

test("values of zero and below have no width", () => {
  expect(widths(barChart("", [{ title: "", bars: [bar("a", 0), bar("b", -3)] }]))).toEqual([0, 0]);
});
