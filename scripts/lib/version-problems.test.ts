import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { libraryPackages, ROOT } from "./packages.ts";
import { versionProblems } from "./version-problems.ts";

/** Copies the compared files, so that a test can change one. */
function copyWith(file: string, change: (text: string) => string): string {
  const root = mkdtempSync(join(tmpdir(), "netconduit-versions-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const files = libraryPackages().flatMap(({ directory }) =>
    ["package.json", "deno.json"].map((name) => join(relative(ROOT, directory), name)),
  );
  for (const name of ["CHANGELOG.md", "deno.json", ...files]) {
    if (existsSync(join(ROOT, name))) cpSync(join(ROOT, name), join(root, name));
  }
  const before = readFileSync(join(root, file), "utf8");
  const after = change(before);
  expect(after, "the change must have found its place").not.toBe(before);
  writeFileSync(join(root, file), after);
  return root;
}

/** Changes one field of a JSON file. */
function set(key: string, value: unknown): (text: string) => string {
  return (text) => JSON.stringify({ ...(JSON.parse(text) as object), [key]: value });
}

test("this repository has no version problems", () => {
  expect(versionProblems()).toEqual([]);
});

describe("a version that differs in one place is reported:", () => {
  const { version } = libraryPackages()[0]!.manifest;

  test.each([
    {
      where: "a package.json",
      file: "packages/bun/package.json",
      change: set("version", "9.9.9"),
      problem: "versions differ, and all packages are released together",
    },
    {
      where: "a deno.json",
      file: "packages/deno/deno.json",
      change: set("version", "9.9.9"),
      problem: `@netconduit/deno: deno.json says version 9.9.9, package.json ${version}`,
    },
    {
      where: "the changelog's newest release",
      file: "CHANGELOG.md",
      change: (text: string) => `${text}\n## 9.9.9 – 2030-01-01\n`,
      problem: `CHANGELOG.md: the newest release is`,
    },
    {
      where: "a dependency that JSR reads from deno.json",
      file: "packages/core/deno.json",
      change: (text: string) => text.replace("npm:valibot@^1", "npm:valibot@^0"),
      problem: "@netconduit/core: deno.json imports valibot as npm:valibot@^0",
    },
  ])("$where", ({ file, change, problem }) => {
    expect(versionProblems(copyWith(file, change))).toContainEqual(expect.stringContaining(problem));
  });
});

describe("a package that JSR would miss is reported:", () => {
  test("an entry in package.json that is missing in deno.json", () => {
    const root = copyWith("packages/core/deno.json", set("exports", "./src/index.ts"));
    expect(versionProblems(root)).toEqual([
      "@netconduit/core: deno.json exports ., package.json ., ./adapter, ./testing",
    ]);
  });

  test("a package without a deno.json", () => {
    const root = copyWith("deno.json", set("workspace", ["./packages/core", "./packages/nats"]));
    rmSync(join(root, "packages/deno/deno.json"));
    expect(versionProblems(root)).toEqual(["@netconduit/deno: has no deno.json, and JSR is to have it"]);
  });

  test("a package missing from the workspace", () => {
    const root = copyWith("deno.json", set("workspace", ["./packages/core"]));
    expect(versionProblems(root)).toEqual([
      'deno.json: "workspace" is ./packages/core, packages with a deno.json: ./packages/core, ./packages/deno, ./packages/nats',
    ]);
  });
});
