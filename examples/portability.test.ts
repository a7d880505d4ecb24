import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const folder = (name: string): URL => new URL(`${name}/`, import.meta.url);

describe.each(["complete", "chat", "game", "monitoring"])("the programs of the %s example", (example) => {
  const files = readdirSync(folder(example)).filter((file) => file.endsWith(".ts"));

  test.each(files)("%s names its runtime in the import of @netconduit/node and nowhere else", (file) => {
    const source = readFileSync(new URL(file, folder(example)), "utf8");
    const imported = [...source.matchAll(/\bfrom "([^"]+)"/g)].map(([, name = ""]) => name);
    const allowed = ["@netconduit/node", "valibot", ...files.map((other) => `./${other}`)];
    expect(imported.filter((name) => !allowed.includes(name))).toEqual([]);
    expect(source).not.toMatch(/\b(require\(|import\(|Bun\.|Deno\.|Buffer\b)/);
  });
});
