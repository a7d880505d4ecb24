import type { Options } from "tsup";

/** How a package of this repository is built. */
export interface LibraryBuild {
  /** Output name → source file. Entries share chunks, so a class is one and the same object behind all of them. */
  readonly entry: Record<string, string>;
  /**
   * Output name → source file: code that is built into files of its own, without being an entry of the package. A
   * bundler leaves out whole files that a program doesn't use; from within a file it takes all that might have effects.
   */
  readonly split?: Record<string, string>;
  /** `neutral` for code that runs everywhere, `node` for code that imports `node:` modules. */
  readonly platform: "neutral" | "node";
}

/** tsup's options for every package here: ESM only, declarations, source maps, nothing bundled from elsewhere. */
export function libraryBuild({ entry, split = {}, platform }: LibraryBuild): Options {
  return {
    entry: { ...entry, ...split },
    platform,
    format: "esm",
    target: "es2023",
    splitting: true,
    sourcemap: true,
    clean: true,
    // Modules that are a part of Bun, as `bun:sqlite`, are left to it.
    external: [/^@netconduit\//, /^bun:/],
    removeNodeProtocol: false,
    dts: {
      entry,
      // Declarations refer to the other packages by name, as their users' programs do; the paths of a package's
      // tsconfig point into its neighbours' sources, and composite projects check only what their own lists name.
      compilerOptions: { paths: {}, composite: false, stripInternal: true },
    },
  };
}
