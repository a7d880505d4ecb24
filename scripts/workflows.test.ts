import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { ROOT } from "./lib/packages.ts";

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
  readonly "working-directory"?: string;
}

interface Job {
  readonly "runs-on"?: string;
  readonly "timeout-minutes"?: number;
  readonly needs?: string;
  readonly uses?: string;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly strategy?: { readonly matrix: Readonly<Record<string, readonly unknown[]>> };
  readonly steps?: readonly Step[];
}

interface Workflow {
  readonly permissions: Readonly<Record<string, string>>;
  readonly concurrency: unknown;
  readonly jobs: Readonly<Record<string, Job>>;
}

const FOLDER = join(ROOT, ".github", "workflows");
const EVERY_SYSTEM = ["ubuntu-latest", "macos-latest", "windows-latest"];

const workflows = Object.fromEntries(
  readdirSync(FOLDER).map((file) => [file, parse(readFileSync(join(FOLDER, file), "utf8")) as Workflow]),
);
const ci = workflows["ci.yml"]!.jobs;
const release = workflows["release.yml"]!.jobs;

const jobs = Object.entries(workflows).flatMap(([file, workflow]) =>
  Object.entries(workflow.jobs).map(([name, job]) => ({ where: `${file}, job ${name}`, job })),
);
const steps = jobs.flatMap(({ where, job }) => (job.steps ?? []).map((step) => ({ where, step })));

describe("continuous integration", () => {
  test("runs everything, interop tests included, on Linux", () => {
    expect(ci.everything!["runs-on"]).toBe("ubuntu-latest");
    expect(ci.everything!.steps!.map(({ run }) => run)).toContain(".ci/run");
  });

  test("tests Node 22, 24 and 26, the latest Bun and the latest Deno, each on Linux, macOS and Windows", () => {
    expect(ci.node!.strategy!.matrix).toEqual({ node: [22, 24, 26], os: EVERY_SYSTEM });
    for (const name of ["bun", "deno"]) expect(ci[name]!.strategy!.matrix).toEqual({ os: EVERY_SYSTEM });
    for (const name of ["node", "bun", "deno"]) expect(ci[name]!["runs-on"]).toBe(`\${{ matrix.os }}`);
    const setup = (job: string, action: string) => ci[job]!.steps!.find(({ uses }) => uses?.startsWith(action))?.with;
    expect(setup("node", "actions/setup-node@")).toMatchObject({ "node-version": `\${{ matrix.node }}` });
    expect(setup("bun", "oven-sh/setup-bun@")).toEqual({ "bun-version": "latest" });
    expect(setup("deno", "denoland/setup-deno@")).toEqual({ "deno-version": "v2.x" });
  });
});

describe("a release", () => {
  test("waits for CI, then publishes to npm and then to JSR", () => {
    expect(release.ci!.uses).toBe("./.github/workflows/ci.yml");
    expect([release.npm!.needs, release.jsr!.needs]).toEqual(["ci", "npm"]);
    expect(release.npm!.steps!.at(-1)!.run).toMatch(/ release$/);
    expect(release.jsr!.steps!.at(-1)!.run).toMatch(/ exec deno publish$/);
  });

  test("authenticates and signs with the workflow's identity, without stored secrets", () => {
    for (const job of [release.npm!, release.jsr!]) {
      expect(job.permissions).toEqual({ contents: "read", "id-token": "write" });
    }
    for (const file of readdirSync(FOLDER)) expect(readFileSync(join(FOLDER, file), "utf8")).not.toContain("secrets.");
  });
});

describe("every workflow", () => {
  test("only has read access to the repository, except for the jobs that publish", () => {
    for (const workflow of Object.values(workflows)) expect(workflow.permissions).toEqual({ contents: "read" });
    const more = jobs.filter(({ job }) => job.permissions !== undefined).map(({ where }) => where);
    expect(more).toEqual(["release.yml, job npm", "release.yml, job jsr"]);
  });

  test("has a concurrency group and a time limit for each job", () => {
    for (const workflow of Object.values(workflows)) expect(workflow.concurrency).toBeDefined();
    const unlimited = jobs.filter(({ job }) => job.uses === undefined && job["timeout-minutes"] === undefined);
    expect(unlimited).toEqual([]);
  });

  test("pins actions to major versions", () => {
    for (const { where, step } of steps) {
      if (step.uses !== undefined) expect(step.uses, where).toMatch(/^[a-z-]+\/[a-z-]+@v\d+$/);
    }
  });

  test("only runs scripts that exist in package.json", () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { scripts: object };
    const ran = steps.flatMap(({ step }) => [...(step.run ?? "").matchAll(/npx --yes pnpm@12 (\S+)/g)]);
    const named = [...new Set(ran.map(([, name]) => name!))].filter((name) => name !== "install" && name !== "exec");
    expect(named).toContain("release");
    for (const name of named) expect(scripts).toHaveProperty(name);
  });

  test("only uses files and settings that exist", () => {
    const missing: string[] = [];
    let seen = 0;
    for (const { where, step } of steps) {
      const folder = join(ROOT, step["working-directory"] ?? ".");
      for (const [path] of (step.run ?? "").matchAll(/(?<![\w@/])[\w./*-]+\.(?:ts|mjs|json)\b|\.ci\/run/g)) {
        seen++;
        if (path.includes("*") ? globSync(path, { cwd: folder }).length === 0 : !existsSync(join(folder, path))) {
          missing.push(`${where}: ${path}`);
        }
      }
    }
    expect(missing).toEqual([]);
    expect(seen).toBeGreaterThan(6);
  });
});
