import { readFileSync } from "node:fs";
import { defineConfig } from "tsup";
import { libraryBuild } from "../../scripts/lib/library-build.ts";

/** Sources whose values index.ts exports. Built into files of their own, they leave no code in index.js. */
const exporting = [
  ...readFileSync("src/index.ts", "utf8").matchAll(/^export (?!type\b)[^;]* from "\.\/([^"]+)\.ts";$/gm),
].map(([, path = ""]) => path);

export default defineConfig(
  libraryBuild({
    entry: { index: "src/index.ts", adapter: "src/adapter.ts", testing: "src/testing.ts" },
    // `import { ErrorCode }` adds 1 KB (gzipped) to a bundle; it was 18 KB with all code in index.js.
    split: Object.fromEntries(exporting.map((path) => [path, `src/${path}.ts`])),
    platform: "neutral",
  }),
);
