import { expect, test } from "vitest";
import { codeLines } from "./code-lines.ts";

test("lines of code are counted, however many statements they hold", () => {
  expect(codeLines("let a = 1; let b = 2;\nlet c =\n  3;\n")).toBe(3);
});

test("comments and blank lines are none, wherever they stand", () => {
  const source = `
/** Does something. */
export function f(
  // Why.
  a: number, // a comment behind code

  /* two
     lines */
): number {
  return a;
}
`;
  expect(codeLines(source)).toBe(5);
});

test("imports and re-exports are none, exports of one's own are some", () => {
  const source = `
import {
  a,
} from "a";
import "b";
export * from "c";
export { d } from "d";
export type {
  E,
} from "e";
export { a };
export const g = 1;
`;
  expect(codeLines(source)).toBe(2);
});

test("a text over several lines counts with all of them", () => {
  expect(codeLines("const text = `a\n\n// b\n`;\nconst other = `\n\n`;")).toBe(7);
});
