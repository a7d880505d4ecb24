import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Dependencies, EmptyProject, workspaceRanges } from "./lib/empty-project.ts";
import { pack } from "./lib/pack.ts";
import { libraryPackages, ROOT } from "./lib/packages.ts";
import { pnpmCommand } from "./lib/run.ts";
import { serveTarballs, type TarballRegistry } from "./lib/tarball-registry.ts";

/** Time limit for packing four packages, or installing and compiling against them, on a busy machine. */
const SLOW_MS = 180_000;

const PRINTED = ["add: 3", "heard: hello", "mood: fine", "refused: INVALID_TYPE", "function", "done", ""].join("\n");

const version = libraryPackages()[0]!.manifest.version;

let work: string;
let registry: TarballRegistry;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "netconduit-installed-"));
  const tarballs = await Promise.all(libraryPackages().map((library) => pack(library, join(work, "tarballs"))));
  registry = await serveTarballs(tarballs);
}, SLOW_MS);

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  rmSync(work, { recursive: true, force: true });
});

/** The program, with the import line of a runtime. */
function program(specifier: string): string {
  const text = readFileSync(join(ROOT, "scripts", "installed", "program.ts"), "utf8");
  return text.replace('"@netconduit/node"', `"${specifier}"`);
}

/** A project configured to use the packed packages; everything else comes from the public registry. */
function emptyProject(name: string, env: Readonly<Record<string, string>> = {}): EmptyProject {
  const project = new EmptyProject(join(work, name), env);
  project.write(".npmrc", `@netconduit:registry=${registry.url}\n`);
  return project;
}

function packageJson(dependencies: Dependencies): object {
  return { name: "empty-project", private: true, type: "module", dependencies };
}

function tsconfig(moduleResolution: string, types: string, options: object): object {
  return {
    compilerOptions: {
      target: "es2022",
      module: moduleResolution === "bundler" ? "esnext" : moduleResolution,
      moduleResolution,
      types: [types],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
      ...options,
    },
    files: ["program.ts"],
  };
}

const TSC = join("node_modules", "typescript", "bin", "tsc");

/** The compiler that users get; the one that this repository uses is of the line before. */
const TYPESCRIPT_7 = { typescript: "~7.0.2" };

/** The dependencies of a project on Node. */
function onNode(typescript: Dependencies): Dependencies {
  return { "@netconduit/node": version, ...workspaceRanges("valibot", "@types/node"), ...typescript };
}

describe.concurrent("packages installed from their tarballs into an empty project", () => {
  describe.concurrent("by npm", () => {
    let project: EmptyProject;

    beforeAll(async () => {
      project = emptyProject("npm");
      project.write("package.json", packageJson(onNode(TYPESCRIPT_7)));
      project.write("program.ts", program("@netconduit/node"));
      await project.must("npm", "install", "--prefer-offline", "--no-audit", "--no-fund");
    }, SLOW_MS);

    test.each(["node16", "nodenext", "bundler"])(
      "a strict TypeScript program with moduleResolution %s compiles and runs on Node",
      { timeout: SLOW_MS },
      async (moduleResolution) => {
        const config = `tsconfig.${moduleResolution}.json`;
        project.write(config, tsconfig(moduleResolution, "node", { outDir: `out-${moduleResolution}` }));
        await project.must(process.execPath, TSC, "-p", config);
        expect(await project.must(process.execPath, join(`out-${moduleResolution}`, "program.js"))).toBe(PRINTED);
      },
    );
  });

  test("by pnpm, where a package only sees its declared dependencies: a strict TypeScript program compiles and runs on Node", {
    timeout: SLOW_MS,
  }, async () => {
    const project = emptyProject("pnpm");
    project.write("package.json", packageJson(onNode(workspaceRanges("typescript"))));
    project.write("program.ts", program("@netconduit/node"));
    project.write("tsconfig.json", tsconfig("nodenext", "node", { outDir: "out" }));
    await project.must(pnpmCommand(), "install", "--prefer-offline");
    await project.must(process.execPath, TSC, "-p", ".");
    expect(await project.must(process.execPath, join("out", "program.js"))).toBe(PRINTED);
  });

  test("by Bun: a strict TypeScript program compiles and runs on Bun", { timeout: SLOW_MS }, async () => {
    const project = emptyProject("bun", { BUN_INSTALL_CACHE_DIR: join(work, "bun-cache") });
    const others = { ...workspaceRanges("valibot", "@types/bun"), ...TYPESCRIPT_7 };
    project.write("package.json", packageJson({ "@netconduit/bun": version, ...others }));
    project.write("program.ts", program("@netconduit/bun"));
    project.write("tsconfig.json", tsconfig("bundler", "bun", { noEmit: true }));
    await project.must("bun", "install");
    await project.must(process.execPath, TSC, "-p", ".");
    expect(await project.must("bun", "run", "program.ts")).toBe(PRINTED);
  });

  test("by Deno from npm: specifiers: a TypeScript program is checked and runs on Deno with access to 127.0.0.1", {
    timeout: SLOW_MS,
  }, async () => {
    const project = emptyProject("deno", { DENO_DIR: join(work, "deno-cache") });
    const { valibot } = workspaceRanges("valibot");
    const imports = { "@netconduit/deno": `npm:@netconduit/deno@${version}`, valibot: `npm:valibot@${valibot}` };
    project.write("deno.json", { imports });
    project.write("program.ts", program("@netconduit/deno"));
    await project.must("deno", "check", "--quiet", "program.ts");
    expect(await project.must("deno", "run", "--quiet", "--no-prompt", "--allow-net=127.0.0.1", "program.ts")).toBe(
      PRINTED,
    );
  });
});
