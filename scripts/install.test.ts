import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Dependencies, EmptyProject, workspaceRanges } from "./lib/empty-project.ts";
import { pack } from "./lib/pack.ts";
import { libraryPackages, ROOT } from "./lib/packages.ts";
import { pnpmCommand } from "./lib/run.ts";
import { serveTarballs, type TarballRegistry } from "./lib/tarball-registry.ts";

/** Time limit for packing the packages, or installing and compiling against them, on a busy machine. */
const SLOW_MS = 180_000;

const PRINTED = [
  "add: 3",
  "multiply: 42",
  "heard: hello",
  "mood: fine",
  "refused: INVALID_TYPE",
  "function",
  "done",
  "",
].join("\n");

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
}, SLOW_MS);

/** Returns a program in scripts/installed with a runtime's import line. */
function program(file: string, specifier = "@netconduit/node"): string {
  const text = readFileSync(join(ROOT, "scripts", "installed", file), "utf8");
  return text.replace('"@netconduit/node"', `"${specifier}"`);
}

/** A program compiled to `require()` calls. */
const COMMONJS_PROGRAM = `
import { Client, Server } from "@netconduit/node";
async function main(): Promise<void> {
  const server = new Server({ password: "secret123", host: "127.0.0.1", port: 0 });
  server.rpc("answer", () => 42);
  await server.start();
  const client = new Client({ host: "127.0.0.1", port: server.address.port, password: "secret123" });
  await client.connect();
  console.log(await client.call<number>("answer"));
  await client.disconnect();
  await server.stop();
}
void main();
`;

const RUNTIMES_TEXT = readFileSync(join(ROOT, "RUNTIMES.md"), "utf8");

/** A Jest test with fake timers, enabled before or after the import, in which a client calls a method. */
function jestTest(isFakeFirst: boolean): string {
  return `
${isFakeFirst ? "jest.useFakeTimers();" : ""}
const { Client, Server } = require("@netconduit/node");
test("a call", async () => {
  jest.useFakeTimers();
  const server = new Server({ password: "secret123", host: "127.0.0.1", port: 0 });
  server.rpc("answer", () => 42);
  await server.start();
  const client = new Client({ host: "127.0.0.1", port: server.address.port, password: "secret123" });
  await client.connect();
  expect(await client.call("answer")).toBe(42);
  await client.disconnect();
  await server.stop();
}, 10_000);
`;
}

/** Creates a project that uses the packed packages; other packages come from the public registry. */
function emptyProject(name: string, env: Readonly<Record<string, string>> = {}): EmptyProject {
  const project = new EmptyProject(join(work, name), env);
  project.write(".npmrc", `@netconduit:registry=${registry.url}\n`);
  return project;
}

function packageJson(dependencies: Dependencies): object {
  return { name: "empty-project", private: true, type: "module", dependencies };
}

/** Module settings named in RUNTIMES.md → compiler options. */
const MODULES = {
  nodenext: { module: "nodenext" },
  node20: { module: "node20" },
  bundler: { module: "esnext", moduleResolution: "bundler" },
} as const;
type ModuleSettings = keyof typeof MODULES;

function tsconfig(module: ModuleSettings, types: string, files: readonly string[], options: object): object {
  return {
    compilerOptions: {
      target: "es2022",
      ...MODULES[module],
      types: [types],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
      declaration: true,
      rootDir: ".",
      ...options,
    },
    files,
  };
}

/** Compiles programs of a project with one of its compilers. Returns the output folder. */
async function compile(
  project: EmptyProject,
  compiler: string,
  module: ModuleSettings,
  types: string,
  files: readonly string[],
  options: object = {},
): Promise<string> {
  const name = [compiler, module, ...files].join("-").replaceAll("/", "-");
  const outDir = `out-${name}`;
  project.write(`tsconfig.${name}.json`, tsconfig(module, types, files, { outDir, ...options }));
  await project.must(process.execPath, join("node_modules", compiler, "bin", "tsc"), "-p", `tsconfig.${name}.json`);
  return outDir;
}

/** Programs whose types cover the API; the second has exports with inferred types, for which declarations are emitted. */
const PROGRAMS = ["program.ts", "exports.ts"];

/** The newest compiler, and the oldest supported according to RUNTIMES.md. This repository's own is in between. */
const NEWEST_TYPESCRIPT = { typescript: "~7.0.2" };
const OLDEST_TYPESCRIPT = { "typescript-oldest": "npm:typescript@~5.7.3" };

/** Returns the dependencies of a Node project. */
function onNode(...compilers: readonly Dependencies[]): Dependencies {
  const others = workspaceRanges("valibot", "@types/node");
  return Object.assign({ "@netconduit/node": version }, others, ...compilers) as Dependencies;
}

test("the documents promise the oldest TypeScript that is tested", () => {
  const [, oldest] = /@~(\d+\.\d+)/.exec(OLDEST_TYPESCRIPT["typescript-oldest"]) ?? [];
  expect(readFileSync(join(ROOT, "RUNTIMES.md"), "utf8")).toContain(`\`typescript\` (${oldest} or newer)`);
  expect(readFileSync(join(ROOT, "README.md"), "utf8")).toContain(`TypeScript ${oldest} or newer`);
});

describe.concurrent("packages installed from their tarballs into an empty project", () => {
  describe.concurrent("by npm", () => {
    let project: EmptyProject;

    beforeAll(async () => {
      project = emptyProject("npm");
      project.write("package.json", packageJson(onNode(NEWEST_TYPESCRIPT)));
      for (const file of PROGRAMS) project.write(file, program(file));
      project.write("commonjs/package.json", { type: "commonjs" });
      project.write("commonjs/program.ts", COMMONJS_PROGRAM);
      await project.must("npm", "install", "--prefer-offline", "--no-audit", "--no-fund");
    }, SLOW_MS);

    test.each(["nodenext", "bundler"] as const)(
      "strict TypeScript programs with module settings %s compile with the newest TypeScript, and run on Node",
      { timeout: SLOW_MS },
      async (module) => {
        const folder = await compile(project, "typescript", module, "node", PROGRAMS);
        expect(await project.must(process.execPath, join(folder, "program.js"))).toBe(PRINTED);
      },
    );

    test.each(["nodenext", "node20"] as const)(
      "a CommonJS program with module %s compiles and runs on Node",
      { timeout: SLOW_MS },
      async (module) => {
        const folder = await compile(project, "typescript", module, "node", ["commonjs/program.ts"]);
        const file = join(folder, "commonjs", "program.js");
        project.write(join(folder, "commonjs", "package.json"), { type: "commonjs" });
        expect(await project.must(process.execPath, file)).toBe("42\n");
      },
    );
  });

  describe.concurrent("by pnpm, where a package only sees its declared dependencies", () => {
    let project: EmptyProject;

    beforeAll(async () => {
      project = emptyProject("pnpm");
      project.write("package.json", packageJson(onNode(NEWEST_TYPESCRIPT, OLDEST_TYPESCRIPT)));
      project.write("commonjs/package.json", { type: "commonjs" });
      project.write("commonjs/program.ts", COMMONJS_PROGRAM);
      for (const file of PROGRAMS) project.write(file, program(file));
      await project.must(pnpmCommand(), "install", "--prefer-offline");
    }, SLOW_MS);

    test.each([
      // Old compilers spend most time on declarations of valibot and the DOM, so only one run checks declarations.
      {
        title: "the oldest TypeScript",
        compiler: "typescript-oldest",
        module: "nodenext",
        options: { lib: ["es2022"] },
      },
      {
        title: "the oldest TypeScript",
        compiler: "typescript-oldest",
        module: "bundler",
        options: { skipLibCheck: true },
      },
      { title: "the newest TypeScript", compiler: "typescript", module: "node20", options: {} },
    ] as const)(
      "strict TypeScript programs compile with $title and module settings $module, and run on Node",
      { timeout: SLOW_MS },
      async ({ compiler, module, options }) => {
        const folder = await compile(project, compiler, module, "node", PROGRAMS, options);
        expect(await project.must(process.execPath, join(folder, "program.js"))).toBe(PRINTED);
      },
    );

    test("before TypeScript 5.8, nodenext refuses to compile it to require(), as RUNTIMES.md says", {
      timeout: SLOW_MS,
    }, async () => {
      // Skip declarations that are checked elsewhere.
      const options = { lib: ["es2022"], skipLibCheck: true };
      const compiling = compile(project, "typescript-oldest", "nodenext", "node", ["commonjs/program.ts"], options);
      await expect(compiling).rejects.toThrow("TS1479");
    });
  });

  test("by npm beside Jest: tests need its flag, and fake timers come after the import, as RUNTIMES.md says", {
    timeout: SLOW_MS,
  }, async () => {
    const project = emptyProject("jest");
    project.write("package.json", {
      ...packageJson({ "@netconduit/node": version, jest: "^30.2.0" }),
      type: "commonjs",
    });
    for (const when of ["after", "before"]) project.write(`${when}.test.js`, jestTest(when === "before"));
    await project.must("npm", "install", "--prefer-offline", "--no-audit", "--no-fund");
    const jest = join("node_modules", "jest", "bin", "jest.js");
    expect(RUNTIMES_TEXT).toContain(`node --experimental-vm-modules ${jest.replaceAll("\\", "/")}`);
    const flag = "--experimental-vm-modules";
    await project.must(process.execPath, flag, jest, "--ci", "--forceExit", "after");
    await expect(project.must(process.execPath, jest, "--ci", "--forceExit", "after")).rejects.toThrow(
      "Must use import to load ES Module",
    );
    await expect(project.must(process.execPath, flag, jest, "--ci", "--forceExit", "before")).rejects.toThrow(
      "Exceeded timeout",
    );
  });

  test("by Bun: a strict TypeScript program compiles and runs on Bun", { timeout: SLOW_MS }, async () => {
    const project = emptyProject("bun", { BUN_INSTALL_CACHE_DIR: join(work, "bun-cache") });
    const others = { ...workspaceRanges("valibot", "@types/bun"), ...NEWEST_TYPESCRIPT };
    project.write("package.json", packageJson({ "@netconduit/bun": version, ...others }));
    for (const file of PROGRAMS) project.write(file, program(file, "@netconduit/bun"));
    await project.must("bun", "install");
    await compile(project, "typescript", "bundler", "bun", PROGRAMS);
    expect(await project.must("bun", "run", "program.ts")).toBe(PRINTED);
  });

  test("by Deno from npm: specifiers: a TypeScript program is checked and runs on Deno with access to 127.0.0.1", {
    timeout: SLOW_MS,
  }, async () => {
    const project = emptyProject("deno", { DENO_DIR: join(work, "deno-cache") });
    const { valibot } = workspaceRanges("valibot");
    const imports = { "@netconduit/deno": `npm:@netconduit/deno@${version}`, valibot: `npm:valibot@${valibot}` };
    project.write("deno.json", { imports });
    project.write("program.ts", program("program.ts", "@netconduit/deno"));
    await project.must("deno", "check", "--quiet", "program.ts");
    expect(await project.must("deno", "run", "--quiet", "--no-prompt", "--allow-net=127.0.0.1", "program.ts")).toBe(
      PRINTED,
    );
  });
});
