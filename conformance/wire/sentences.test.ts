import { describe, expect, test } from "vitest";
import { readText } from "../../docs-tests/lib/markdown.ts";
import { clientChecks } from "./client-checks.ts";
import { unchecked } from "./normative.ts";
import { serverChecks } from "./server-checks.ts";
import { uncheckable } from "./uncheckable.ts";

/** The sections of PROTOCOL.md by heading, each in one line, with links replaced by their text. */
function sections(): ReadonlyMap<string, string> {
  const [, ...parts] = readText("PROTOCOL.md").split(/^#{2,6} /m);
  return new Map(
    parts.map((part) => {
      const [heading = "", ...lines] = part.split("\n");
      const text = lines
        .join(" ")
        .replace(/\s+/g, " ")
        .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
      return [heading.trim(), text];
    }),
  );
}

describe("each sentence that is checked is in PROTOCOL.md, in the section it names", () => {
  const found = sections();
  test.each([...serverChecks, ...clientChecks].map((check) => [check.section, check.sentence]))(
    "%s: %s",
    (section, sentence) => {
      expect(found.get(section as string)).toContain(sentence);
    },
  );
});

describe("sentences about what a peer does", () => {
  const found = unchecked();

  test("are checked, or listed in uncheckable.ts with a reason", () => {
    expect(found.checkable).toEqual([]);
  });

  test("are listed there only if they are in PROTOCOL.md and without a check, and once", () => {
    const listed = uncheckable.flatMap(([_reason, sentences]) => sentences);
    expect(listed.toSorted()).toEqual(
      found.unchecked.map(({ section, sentence }) => `${section}: ${sentence}`).toSorted(),
    );
  });
});

test.each([
  ["servers", serverChecks],
  ["clients", clientChecks],
])("no sentence has two checks on %s", (_whose, checks) => {
  const sentences = checks.map(({ section, sentence }) => `${section}: ${sentence}`);
  expect(sentences).toEqual([...new Set(sentences)]);
});
