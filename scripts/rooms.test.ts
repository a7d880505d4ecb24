import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ROOT } from "./lib/packages.ts";
import { run } from "./lib/run.ts";

/** A repository's files, path → text. */
type Files = Record<string, string>;

/** A finding of the check: the rule, the file, and the imported file. */
interface Violation {
  readonly rule: { readonly name: string };
  readonly from: string;
  readonly to: string;
}

/** The second half of `pnpm lint`. */
const [COMMAND = "", ...FOLDERS] = (
  JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { scripts: { lint: string } }
).scripts.lint
  .replace(/^.*&& /, "")
  .split(" ");

const END = "export const b = 1;\nexport type B = number;\n";
const VALUE = (specifier: string): string => `import { b } from "${specifier}";\nexport const a: unknown = b;\n`;
const TYPE = (specifier: string): string => `import type { B } from "${specifier}";\nexport type A = B;\n`;

/** Forbidden imports: file, specifier, target. */
const REFUSED = [
  ["packages/core/src/util/a.ts", "../wire/b.ts", "packages/core/src/wire/b.ts"],
  ["packages/core/src/client/a.ts", "../server/b.ts", "packages/core/src/server/b.ts"],
  ["packages/core/src/connection/send/a.ts", "../b.ts", "packages/core/src/connection/b.ts"],
  ["packages/core/src/connection/receive/a.ts", "../send/b.ts", "packages/core/src/connection/send/b.ts"],
  ["packages/core/src/errors.ts", "./rpc/b.ts", "packages/core/src/rpc/b.ts"],
  ["packages/core/src/rpc/a.ts", "../misc/b.ts", "packages/core/src/misc/b.ts"],
  ["packages/core/src/wire/a.ts", "../test-support/b.ts", "packages/core/src/test-support/b.ts"],
  ["packages/node/src/a.ts", "../../core/src/wire/b.ts", "packages/core/src/wire/b.ts"],
] as const;

/** Allowed imports. */
const ALLOWED = [
  ["packages/core/src/wire/c.ts", "../util/b.ts", "packages/core/src/util/b.ts"],
  ["packages/core/src/connection/c.ts", "./send/b.ts", "packages/core/src/connection/send/b.ts"],
  ["packages/core/src/server/c.ts", "./b.ts", "packages/core/src/server/b.ts"],
  ["packages/core/src/util/c.test.ts", "../wire/b.ts", "packages/core/src/wire/b.ts"],
] as const;

/** Folders with a circular import. */
const CIRCLES = [
  "packages/core/src/util",
  "packages/core/src/connection",
  "packages/core/src/test-support",
  "packages/bun/conformance",
  "packages/node/src",
  "attacks",
  "chaos",
  "fuzz",
  "conformance",
  "bench",
  "scripts",
  "interop",
  "examples",
  "docs-tests",
];

describe("the check of imports, as `pnpm lint` runs it", () => {
  let root: string;
  let violations: readonly Violation[];

  beforeAll(async () => {
    const files: Files = {};
    for (const [path, specifier, target] of [...REFUSED, ...ALLOWED]) {
      files[path] = VALUE(specifier);
      files[path.replace("/a.ts", "/a-type.ts")] = TYPE(specifier);
      files[target] = END;
    }
    for (const folder of CIRCLES) {
      files[`${folder}/circle/one.ts`] = `import { two } from "./two.ts";\nexport type One = typeof two;\n`;
      files[`${folder}/circle/two.ts`] = `export type { Three } from "./three.ts";\nexport const two = 2;\n`;
      files[`${folder}/circle/three.ts`] = `import type { One } from "./one.ts";\nexport type Three = One;\n`;
    }
    root = mkdtempSync(join(tmpdir(), "netconduit-rooms-"));
    for (const name of [".dependency-cruiser.mjs", "tsconfig.base.json", "tsconfig.tests.json"]) {
      cpSync(join(ROOT, name), join(root, name));
    }
    symlinkSync(join(ROOT, "node_modules"), join(root, "node_modules"), "junction");
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(join(root, dirname(path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    const { output } = await run(join(ROOT, "node_modules", ".bin", COMMAND), [...FOLDERS, "-T", "json"], {
      cwd: root,
    });
    violations = (JSON.parse(output) as { summary: { violations: Violation[] } }).summary.violations;
  });

  afterAll(() => rmSync(root, { recursive: true, force: true }));

  const isFound = (from: string, to: string): boolean =>
    violations.some((violation) => violation.from === from && violation.to === to);

  test.for(REFUSED)("%s must not import %s, nor a type of it", ([path, , target]) => {
    expect(isFound(path, target)).toBe(true);
    expect(isFound(path.replace("/a.ts", "/a-type.ts"), target)).toBe(true);
  });

  test.for(ALLOWED)("%s may import %s", ([path, , target]) => {
    expect(isFound(path, target)).toBe(false);
  });

  test.for(CIRCLES)("a circle in %s that types close is found", (folder) => {
    const circles = violations.filter(({ rule }) => rule.name === "no circle of imports");
    expect(circles.map(({ from }) => dirname(from))).toContain(`${folder}/circle`);
  });

  test("`pnpm lint` fails on what is found", async () => {
    const { code } = await run(join(ROOT, "node_modules", ".bin", COMMAND), FOLDERS, { cwd: root });
    expect(code).not.toBe(0);
  });
});
