import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { EXAMPLES, examplesFor } from "./lib/port.ts";

describe.each(["complete", "chat", "game", "monitoring", "files"])("the programs of the %s example", (example) => {
  const files = readdirSync(join(EXAMPLES, example)).filter((file) => file.endsWith(".ts"));
  const read = (examples: string, file: string): string => readFileSync(join(examples, example, file), "utf8");

  test.each(files)("%s names its runtime in the import of @netconduit/node and nowhere else", (file) => {
    const source = read(EXAMPLES, file);
    const imported = [...source.matchAll(/\bfrom "([^"]+)"/g)].map(([, name = ""]) => name);
    const allowed = ["@netconduit/node", "valibot", ...files.map((other) => `./${other}`)];
    expect(imported.filter((name) => !allowed.includes(name))).toEqual([]);
    expect(source).not.toMatch(/\b(require\(|import\(|Bun\.|Deno\.|Buffer\b)/);
  });

  describe.each(["bun", "deno"] as const)("ported to %s", (runtime) => {
    test.each(files)("%s differs only in that import line", (file) => {
      const original = read(EXAMPLES, file).split("\n");
      const ported = read(examplesFor(runtime), file).split("\n");
      expect(ported).toHaveLength(original.length);
      const changed = ported.flatMap((line, index) => (line === original[index] ? [] : [[original[index], line]]));
      const imports = original.filter((line) => line.endsWith('from "@netconduit/node";'));
      expect(changed).toEqual(
        imports.map((line) => [line, line.replace("@netconduit/node", `@netconduit/${runtime}`)]),
      );
      expect(imports.length).toBeLessThanOrEqual(1);
    });
  });
});
