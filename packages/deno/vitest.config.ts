import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** For vitest inside Deno, which conformance/run.ts starts. Node's vitest does not look at `*.deno-test.ts`. */
export default defineConfig({
  resolve: {
    alias: [
      { find: "@netconduit/core/adapter", replacement: source("../core/src/adapter.ts") },
      { find: "@netconduit/core/testing", replacement: source("../core/src/testing.ts") },
      { find: "@netconduit/core", replacement: source("../core/src/index.ts") },
      { find: "@netconduit/nats", replacement: source("../nats/src/index.ts") },
      { find: "@netconduit/deno", replacement: source("src/index.ts") },
    ],
  },
  test: {
    root: source("."),
    include: ["conformance/*.deno-test.ts"],
    pool: "forks",
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
