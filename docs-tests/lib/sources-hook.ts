/**
 * Loaded before a program (`node --import`): resolves the packages to their sources, which Node runs by type stripping,
 * and other packages from the repository, wherever the program's source is.
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
