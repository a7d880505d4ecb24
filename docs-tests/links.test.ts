import { existsSync, statSync } from "node:fs";
import { join, posix } from "node:path";
import { describe, expect, test } from "vitest";
import { anchorsOf, linksOf, markdownFiles, ROOT, readText } from "./lib/markdown.ts";

/** The problem with a link of `file`, or null. */
function problemOf(file: string, target: string): string | null {
  if (/^(https?|mailto):/.test(target)) return null;
  const [path = "", anchor] = target.split("#");
  const wanted = path === "" ? file : posix.normalize(posix.join(posix.dirname(file), decodeURIComponent(path)));
  if (wanted.startsWith("..") || !existsSync(join(ROOT, wanted))) return `there is no ${wanted}`;
  if (anchor === undefined) return null;
  if (!statSync(join(ROOT, wanted)).isFile()) return `${wanted} is a folder and has no anchors`;
  return anchorsOf(readText(wanted)).has(anchor) ? null : `${wanted} has no heading #${anchor}`;
}

describe("links", () => {
  test.each(markdownFiles())("every relative link in %s has a target", (file) => {
    const problems = linksOf(readText(file)).flatMap(({ line, target }) => {
      const problem = problemOf(file, target);
      return problem === null ? [] : [`${file}:${line}: ${target}: ${problem}`];
    });
    expect(problems).toEqual([]);
  });
});
