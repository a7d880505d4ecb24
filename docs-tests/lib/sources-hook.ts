/**
 * Loaded before a program (`node --import`). Resolves this repository's packages to their sources, which Node runs
 * with type stripping, and other packages from the repository, regardless of the program's location.
 */
import { registerHooks } from "node:module";

const ROOT = new URL("../../", import.meta.url).href;
const SOURCES: ReadonlyMap<string, string> = new Map([
  ["@netconduit/core", "packages/core/src/index.ts"],
  ["@netconduit/core/adapter", "packages/core/src/adapter.ts"],
  ["@netconduit/core/testing", "packages/core/src/testing.ts"],
  ["@netconduit/nats", "packages/nats/src/index.ts"],
  ["@netconduit/node", "packages/node/src/index.ts"],
]);

registerHooks({
  resolve(specifier, context, next) {
    const source = SOURCES.get(specifier);
    return source === undefined ? next(specifier, context) : next(new URL(source, ROOT).href, context);
  },
});
