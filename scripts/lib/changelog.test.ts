import { describe, expect, test } from "vitest";
import { parseChange, releaseChangelog } from "./changelog.ts";

describe("reading a changeset", () => {
  test("returns its bump and summary", () => {
    const text = '---\n"@netconduit/core": minor\n"@netconduit/node": patch\n---\n\nCalls can be cancelled.\n';
    expect(parseChange(text)).toEqual({ bump: "minor", summary: "Calls can be cancelled." });
  });

  test("rejects one without a summary", () => {
    expect(() => parseChange('---\n"@netconduit/core": patch\n---\n')).toThrow("Not a changeset with a summary");
  });
});

describe("releasing the changelog", () => {
  const changelog = "# Changelog\n\nIntro.\n\n## Unreleased\n\nBy hand.\n\n## 0.1.0 – 2026-01-01\n\n- First.\n";

  test("moves the unreleased section and the changes, largest first, under the version", () => {
    const changes = [
      { bump: "patch", summary: "A fix\nwith a reason." },
      { bump: "minor", summary: "A feature." },
    ] as const;
    expect(releaseChangelog(changelog, "0.2.0", "2026-02-03", changes)).toBe(
      "# Changelog\n\nIntro.\n\n## Unreleased\n\n## 0.2.0 – 2026-02-03\n\nBy hand.\n\n- A feature.\n- A fix\n  with a reason.\n\n" +
        "## 0.1.0 – 2026-01-01\n\n- First.\n",
    );
  });

  test("creates the first version in a changelog that has none", () => {
    expect(releaseChangelog("# Changelog\n\n## Unreleased\n\nFirst.\n", "0.1.0", "2026-01-01", [])).toBe(
      "# Changelog\n\n## Unreleased\n\n## 0.1.0 – 2026-01-01\n\nFirst.\n",
    );
  });

  test("fails when there is nothing to release", () => {
    expect(() => releaseChangelog("## Unreleased\n\n## 0.1.0\n\n- First.\n", "0.1.1", "2026-01-01", [])).toThrow(
      "Nothing to release",
    );
  });
});
