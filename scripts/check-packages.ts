/**
 * `pnpm check-packages`: checks what would be published. Run it after `pnpm build`.
 *
 * It packs the packages as for a release and checks the tarballs: publint and are-the-types-wrong, their contents,
 * whether a strict TypeScript program compiles against them, whether they load, and whether their versions agree. Needs
 * no network.
 */
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { exposedInsides, readDeclarations, renamedDeclarations } from "./lib/declarations.ts";
import { pack } from "./lib/pack.ts";
import { entryPoints, type LibraryPackage, libraryPackages, manifestProblems, ROOT } from "./lib/packages.ts";
import { pnpm, run } from "./lib/run.ts";
import { versionProblems } from "./lib/version-problems.ts";

/** Exports that must be identical objects in every entry and package. */
const SHARED = ["ConduitError", "ErrorCode", "RpcError"];

const problems: string[] = [];

function report(where: string, what: string): void {
  problems.push(`${where}: ${what.trim()}`);
}

/** Unpacks a package as an installation would, with the workspace's copies of its dependencies. */
async function install(
  { directory, manifest }: LibraryPackage,
  tarball: string,
  work: string,
  underTest: ReadonlySet<string>,
): Promise<void> {
  const target = join(work, "node_modules", manifest.name);
  mkdirSync(target, { recursive: true });
  const { code, output } = await run("tar", ["-xzf", tarball, "--strip-components=1", "-C", target]);
  if (code !== 0) return report(manifest.name, `the tarball can't be unpacked\n${output}`);

  for (const file of ["LICENSE", "package.json"]) {
    if (!existsSync(join(target, file))) report(manifest.name, `the tarball has no ${file}`);
  }
  const packed = JSON.parse(readFileSync(join(target, "package.json"), "utf8")) as LibraryPackage["manifest"];
  for (const [name, range] of Object.entries(packed.dependencies ?? {})) {
    if (range.startsWith("workspace:")) report(manifest.name, `the packed package.json still says ${name}: ${range}`);
    // Don't link our own packages: their tarballs are unpacked there, which would overwrite the sources.
    if (!underTest.has(name)) link(join(directory, "node_modules", name), join(work, "node_modules", name));
  }
}

/** Links `target` to `source`, unless it exists already (a package under test, or an earlier link). */
function link(source: string, target: string): void {
  if (existsSync(target)) return;
  mkdirSync(dirname(target), { recursive: true });
  symlinkSync(source, target, "junction");
}

async function judge(name: string, tarball: string): Promise<void> {
  const tools: [string, ...string[]][] = [
    ["publint", "run", tarball, "--strict"],
    [
      "attw",
      tarball,
      "--profile",
      "esm-only",
      "--no-definitely-typed",
      "--no-color",
      "--no-emoji",
      "--format",
      "ascii",
    ],
  ];
  await Promise.all(
    tools.map(async ([tool, ...args]) => {
      const { code, output } = await pnpm(["exec", tool, ...args], { cwd: ROOT });
      if (code !== 0) report(name, `${tool} found problems\n${output}`);
    }),
  );
}

/** Compiles a strict program that imports everything, without skipping checks of the published declarations. */
async function compile(work: string, name: string, specifiers: readonly string[], options: object): Promise<void> {
  const folder = join(work, name);
  mkdirSync(folder);
  const imports = specifiers.map((specifier, index) => `import * as entry${index} from "${specifier}";\n`);
  const list = specifiers.map((_, index) => `entry${index}`).join(", ");
  writeFileSync(join(folder, "consumer.ts"), `${imports.join("")}export const all: unknown[] = [${list}];\n`);
  const compilerOptions = {
    target: "es2023",
    module: "nodenext",
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: false,
    noEmit: true,
    ...options,
  };
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["consumer.ts"] }));
  const { code, output } = await pnpm(["exec", "tsc", "-p", folder], { cwd: ROOT });
  if (code !== 0) report(specifiers.join(", "), `a program that uses it does not compile (${name})\n${output}`);
}

/** Loads every entry in a new process. Checks that shared exports exist only once, and that classes keep their names. */
async function load(work: string, specifiers: readonly string[]): Promise<void> {
  const script = `
    const seen = new Map();
    for (const specifier of ${JSON.stringify(specifiers)}) {
      const entry = await import(specifier);
      for (const [name, value] of Object.entries(entry)) {
        const isClass = typeof value === "function" && String(value).startsWith("class");
        if (isClass && value.name !== name) throw new Error(specifier + " has " + name + " as the class " + value.name);
      }
      for (const name of ${JSON.stringify(SHARED)}) {
        if (!(name in entry)) continue;
        if (seen.has(name) && seen.get(name) !== entry[name]) throw new Error(specifier + " has a " + name + " of its own");
        seen.set(name, entry[name]);
      }
    }`;
  writeFileSync(join(work, "load.mjs"), script);
  const { code, output } = await run(process.execPath, [join(work, "load.mjs")]);
  if (code !== 0) report(specifiers.join(", "), `it does not load\n${output}`);
}

/** Checks the JSR packages (core, Deno, NATS), which are published from their sources and need explicit types. */
async function dryRunOnJsr(): Promise<void> {
  const { code, output } = await pnpm(["exec", "deno", "publish", "--dry-run", "--allow-dirty"], { cwd: ROOT });
  if (code !== 0) report("deno publish --dry-run", output);
}

/**
 * Checks that no declaration has a name that the bundler made up, and that the core's main entry, which the runtime
 * packages re-export, declares no internals.
 */
function checkDeclarations(packages: readonly LibraryPackage[]): void {
  for (const { directory, manifest } of packages) {
    for (const file of globSync(join(directory, "dist", "*.d.ts"))) {
      for (const name of renamedDeclarations(file)) {
        report(manifest.name, `its declarations show ${name}; give one of the types another name`);
      }
    }
  }
  const { directory } = packages.find(({ manifest }) => manifest.name === "@netconduit/core")!;
  const entries = ["index.d.ts", "adapter.d.ts", "testing.d.ts"].map((name) => join(directory, "dist", name));
  const [main, adapter] = entries.map((entry) => readDeclarations(entry, entries));
  for (const name of exposedInsides(join(directory, "src"), main!, [main!, adapter!])) {
    report("@netconduit/core", `its declarations show ${name}; mark what refers to it @internal, or export it`);
  }
}

async function main(): Promise<void> {
  const packages = libraryPackages();
  problems.push(...manifestProblems(packages), ...versionProblems());

  const work = mkdtempSync(join(tmpdir(), "netconduit-packages-"));
  try {
    const tarballs: [LibraryPackage, string][] = [];
    for (const library of packages) {
      try {
        tarballs.push([library, await pack(library, join(work, "tarballs"))]);
      } catch (error) {
        report(library.manifest.name, String(error));
      }
    }
    if (tarballs.length === packages.length) checkDeclarations(packages);
    const underTest = new Set(packages.map(({ manifest }) => manifest.name));
    for (const [library, tarball] of tarballs) await install(library, tarball, work, underTest);
    link(join(ROOT, "node_modules", "@types", "node"), join(work, "node_modules", "@types", "node"));

    await Promise.all(tarballs.map(([{ manifest }, tarball]) => judge(manifest.name, tarball)));

    // The core needs no runtime's types; any platform's `AbortSignal` works.
    const onNode = packages.filter(({ manifest }) => manifest.engines?.node !== undefined).flatMap(entryPoints);
    const core = packages.filter(({ manifest }) => manifest.name === "@netconduit/core").flatMap(entryPoints);
    await Promise.all([
      compile(work, "on-node", onNode, { types: ["node"], lib: ["es2023", "esnext.disposable"] }),
      compile(work, "core-alone", core, { types: [], lib: ["es2023", "esnext.disposable", "dom"] }),
      load(work, onNode),
      dryRunOnJsr(),
    ]);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }

  if (problems.length > 0) {
    console.error(problems.join("\n\n"));
    process.exitCode = 1;
  } else {
    console.log(packages.map(({ manifest }) => `${manifest.name} ${manifest.version}: ready to publish`).join("\n"));
  }
}

await main();
