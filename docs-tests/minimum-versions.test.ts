import { describe, expect, test } from "vitest";
import { codeIn, readText, tableRows } from "./lib/markdown.ts";
import { RUNTIMES, type RuntimeName } from "./lib/runtimes.ts";

const NAMES: Readonly<Record<RuntimeName, string>> = { node: "Node.js", bun: "Bun", deno: "Deno" };

/** The minimum version that a package declares, as `1.2.3`. */
function minimum(runtime: RuntimeName): string {
  const manifest = JSON.parse(readText(`packages/${runtime}/package.json`)) as { engines: Record<string, string> };
  const version = /^>=(\d+\.\d+\.\d+)$/.exec(manifest.engines[runtime] ?? "")?.[1];
  if (version === undefined) throw new Error(`packages/${runtime}/package.json has no engines.${runtime} of that form`);
  return version;
}

/** Whether a version in prose equals `version`; prose may omit a final zero. */
function isSame(prose: string, version: string): boolean {
  return prose === version || `${prose}.0` === version;
}

/** The minimum versions stated in a file, as `Bun 1.2.3 or newer`. */
function statedIn(file: string): { runtime: RuntimeName; version: string }[] {
  const text = readText(file).replace(/\s+/g, " ");
  return RUNTIMES.flatMap((runtime) => {
    const phrase = new RegExp(`${NAMES[runtime].replace(".", "\\.")} (\\d+\\.[\\d.]*\\d) (?:or|and) newer`, "g");
    return [...text.matchAll(phrase)].map(([, version = ""]) => ({ runtime, version }));
  });
}

describe("minimum versions", () => {
  test("RUNTIMES.md states the versions that the packages declare", () => {
    const rows = tableRows(readText("RUNTIMES.md"), "Minimum versions", "Needs");
    expect(rows.map((row) => [codeIn(row["Package"] ?? ""), row["Needs"]])).toEqual(
      RUNTIMES.map((runtime) => [`@netconduit/${runtime}`, `${NAMES[runtime]} ${minimum(runtime)}`]),
    );
  });

  test.each([
    ["README.md", RUNTIMES],
    ["docs/guide.md", RUNTIMES],
    ["CHANGELOG.md", RUNTIMES],
    ["packages/node/README.md", ["node"]],
    ["packages/bun/README.md", ["bun"]],
    ["packages/deno/README.md", ["deno"]],
  ] as const)("%s states the versions that the packages declare", (file, runtimes) => {
    const stated = statedIn(file);
    expect([...new Set(stated.map(({ runtime }) => runtime))]).toEqual(runtimes);
    expect(stated.filter(({ runtime, version }) => !isSame(version, minimum(runtime)))).toEqual([]);
  });

  test("the core has the same minimum for Node as its package", () => {
    const { engines } = JSON.parse(readText("packages/core/package.json")) as { engines: Record<string, string> };
    expect(engines).toEqual({ node: `>=${minimum("node")}` });
  });
});
