/**
 * Loaded ahead of a program (`node --import`): the packages' names mean their sources, which Node runs by stripping
 * their types, and other packages are found from the repository, wherever the program's text came from.
 */
import { registerHooks } from "node:module";

const ROOT = new URL("../../", import.meta.url).href;
const SOURCES: ReadonlyMap<string, string> = new Map([
  ["@netconduit/core", "packages/core/src/index.ts"],
  ["@netconduit/core/adapter", "packages/core/src/adapter.ts"],
  ["@netconduit/node", "packages/node/src/index.ts"],
]);

registerHooks({
  resolve(specifier, context, next) {
    const source = SOURCES.get(specifier);
    return source === undefined ? next(specifier, context) : next(new URL(source, ROOT).href, context);
  },
});
