import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { LibraryPackage } from "./packages.ts";
import { formatSizes, limitsFor, measureSizes, sizeProblems } from "./sizes.ts";

/** Creates a built package with one dependency; each exports a constant text. */
function builtPackage(text: string): LibraryPackage {
  const directory = mkdtempSync(join(tmpdir(), "netconduit-sizes-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const dependency = join(directory, "node_modules", "numbers");
  mkdirSync(dependency, { recursive: true });
  mkdirSync(join(directory, "dist"));
  writeFileSync(join(dependency, "package.json"), JSON.stringify({ name: "numbers", main: "./index.js" }));
  writeFileSync(join(dependency, "index.js"), "export const numbers = '3.141592653589793238462643383279502884';");
  writeFileSync(
    join(directory, "dist", "index.js"),
    `// a comment, which is not shipped\nexport * from "numbers"; export const text = ${JSON.stringify(text)};`,
  );
  writeFileSync(join(directory, "dist", "index.d.ts"), "export declare const text: string;\n");
  const exports = { ".": { types: "./dist/index.d.ts", default: "./dist/index.js" } };
  return { directory, manifest: { name: "@x/core", version: "1.0.0", exports, dependencies: { numbers: "1" } } };
}

test("the package's own code and its dependencies' are counted separately", async () => {
  const { own, withDependencies } = (await measureSizes([builtPackage("short")]))["@x/core"]!;
  expect(own).toBeGreaterThan(20);
  expect(withDependencies).toBeGreaterThan(own);
});

test("a single export only counts the code it needs, if files have no side effects", async () => {
  const library = builtPackage("short");
  writeFileSync(join(library.directory, "package.json"), JSON.stringify({ type: "module", sideEffects: false }));
  writeFileSync(join(library.directory, "dist", "name.js"), "export const name = 1;");
  writeFileSync(join(library.directory, "dist", "index.js"), 'export * from "./name.js"; export * from "./large.js";');
  writeFileSync(join(library.directory, "dist", "large.js"), "export const large = new Uint8Array(123456789);");
  const sizes = await measureSizes([library], ["name"]);
  expect(sizes["@x/core { name }"]!.own).toBeLessThan(sizes["@x/core"]!.own - 10);
});

test("a package above its limit is a problem, in both sizes", async () => {
  const limits = limitsFor(await measureSizes([builtPackage("short")]));
  expect(sizeProblems(await measureSizes([builtPackage("short!")]), limits)).toEqual([]);

  const incompressible = Array.from({ length: 10 }, (_, index) =>
    createHash("sha256").update(`${index}`).digest("hex"),
  );
  const grown = await measureSizes([builtPackage(incompressible.join(""))]);
  expect(sizeProblems(grown, limits)).toEqual([
    expect.stringMatching(/^@x\/core: \d+ bytes \(own\) exceed the limit of \d+ in sizes\.json$/),
    expect.stringMatching(/^@x\/core: \d+ bytes \(withDependencies\) exceed the limit of \d+ in sizes\.json$/),
  ]);
});

test("a limit is at most a hundred bytes more than 3 % above the size", () => {
  const size = { own: 10_000, withDependencies: 20_010 };
  expect(limitsFor({ "@x/core": size })).toEqual({ "@x/core": { own: 10_300, withDependencies: 20_700 } });
});

test("an entry without a limit, and a limit without an entry, are problems", () => {
  const size = { own: 1, withDependencies: 2 };
  expect(sizeProblems({ "@x/new": size }, { "@x/old": size })).toEqual([
    "@x/new: sizes.json has no limit for it",
    "@x/old: sizes.json has a limit for it, and there is no such entry",
  ]);
});

test("a package that isn't built fails with the command to run", async () => {
  const library = builtPackage("short");
  rmSync(join(library.directory, "dist"), { recursive: true });
  await expect(measureSizes([library])).rejects.toThrow('@x/core is not built: run "pnpm build" first');
});

test("the table shows sizes with their limits", () => {
  const table = formatSizes({ "@x/core": { own: 1, withDependencies: 2 } }, {});
  expect(table.split("\n")[1]).toBe("@x/core                                 1 (no limit)      2 (no limit)");
});
