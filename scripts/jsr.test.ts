import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { type PublishedFiles, publishToStandIn } from "./lib/jsr-stand-in.ts";
import { libraryPackages, ROOT } from "./lib/packages.ts";

const { version } = libraryPackages()[0]!.manifest;

let published: ReadonlyMap<string, PublishedFiles>;

beforeAll(async () => {
  published = await publishToStandIn(ROOT);
}, 60_000);

/** Returns all external specifiers imported by a published package's sources. */
function foreignImports(files: PublishedFiles): string[] {
  const specifiers = new Set<string>();
  for (const [file, text] of files) {
    if (!file.endsWith(".ts")) continue;
    for (const [, specifier] of text.matchAll(/^(?:import|export|\}).*?\bfrom "([^."][^"]*)";$/gm)) {
      specifiers.add(specifier!);
    }
  }
  return [...specifiers].sort();
}

const ON_JSR = ["@netconduit/core", "@netconduit/deno", "@netconduit/nats"];

test("JSR gets the core, the Deno package and the one for NATS", () => {
  expect([...published.keys()].sort()).toEqual(ON_JSR);
});

describe.each(ON_JSR)("the JSR package %s", (name) => {
  test("contains the licence, the README, this version and sources only", () => {
    const files = published.get(name)!;
    expect(files.get("LICENSE")).toBe(readFileSync(join(ROOT, "LICENSE"), "utf8"));
    expect(files.get("README.md")).toContain(name);
    expect(JSON.parse(files.get("deno.json")!)).toMatchObject({ name, version });
    const others = [...files.keys()].filter((file) => !/^src\/[a-z0-9/-]+(\.d)?\.ts$/.test(file));
    expect(others.sort()).toEqual(["LICENSE", "README.md", "deno.json"]);
    expect([...files.keys()].filter((file) => /\.test(-d)?\.ts$|\/test-support\//.test(file))).toEqual([]);
  });
});

test("the core imports only its two dependencies, from npm; its entry for tests has digests as well", () => {
  const files = [...published.get("@netconduit/core")!];
  const namesIn = (chosen: typeof files): Set<string> =>
    new Set(foreignImports(new Map(chosen)).map((specifier) => specifier.replace(/(?<=.)@\^.*$/, "")));
  const isForTests = ([file]: (typeof files)[number]): boolean => file.startsWith("src/testing/");
  expect(namesIn(files.filter((file) => !isForTests(file)))).toEqual(new Set(["npm:@msgpack/msgpack", "npm:valibot"]));
  expect(namesIn(files.filter(isForTests))).toEqual(new Set(["npm:@msgpack/msgpack", "npm:@noble/hashes"]));
});

test("the Deno package imports only this version of the core, from JSR, and Deno's built-in modules", () => {
  const imports = foreignImports(published.get("@netconduit/deno")!);
  expect(imports.filter((specifier) => !specifier.startsWith("node:"))).toEqual([
    `jsr:@netconduit/core@^${version}`,
    `jsr:@netconduit/core@^${version}/adapter`,
  ]);
});

test("the package for NATS imports this version of the core, and nats.js from npm", () => {
  const imports = foreignImports(published.get("@netconduit/nats")!);
  const others = imports.filter((specifier) => !specifier.startsWith("node:"));
  expect(others.map((specifier) => specifier.replace(/@\^\d+\.\d+\.\d+(?=$|\/)/, ""))).toEqual([
    "jsr:@netconduit/core",
    "jsr:@netconduit/core/adapter",
    "npm:@nats-io/jetstream",
    "npm:@nats-io/kv",
    "npm:@nats-io/transport-node",
  ]);
});
