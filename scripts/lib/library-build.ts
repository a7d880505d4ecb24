import type { Options } from "tsup";

/** Build options of a package in this repository. */
export interface LibraryBuild {
  /** Output name → source file. Entries share chunks, so that a class is the same object in all of them. */
  readonly entry: Record<string, string>;
  /**
   * Output name → source file: code built into separate files that aren't entries of the package. Bundlers omit
   * unused files entirely, but keep all code with possible side effects within a used file.
   */
  readonly split?: Record<string, string>;
  /** `neutral` for code that runs everywhere, `node` for code that imports `node:` modules. */
  readonly platform: "neutral" | "node";
}

/** Returns tsup's options for a package: ESM only, declarations, source maps, no bundled dependencies. */
export function libraryBuild({ entry, split = {}, platform }: LibraryBuild): Options {
  return {
    entry: { ...entry, ...split },
    platform,
    format: "esm",
    target: "es2023",
    splitting: true,
    sourcemap: true,
    clean: true,
    // Bun's built-in modules, such as `bun:sqlite`, are external.
    external: [/^@netconduit\//, /^bun:/],
    removeNodeProtocol: false,
    dts: {
      entry,
      // Declarations import the other packages by name, as in user programs: the paths in a package's tsconfig point to the sources of the others, and composite projects only check files in their own lists.
      compilerOptions: { paths: {}, composite: false, stripInternal: true },
    },
  };
}
