import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { exposedInsides, INTERNAL_ROOMS, readDeclarations, renamedDeclarations } from "./declarations.ts";

const FILES = {
  "src/wire/frame-decoder.ts": "export class FrameDecoder {}\nexport interface Frame {}\n",
  "src/wire/float64.ts": "export class Float64 {}\n",
  "dist/index.d.ts": [
    'import { R as Runtime } from "./shared.js";',
    'export { C as Code } from "./shared.js";',
    "declare class Server { constructor(runtime: Runtime); }",
    "declare class Float64 {}",
    "export { Server, Float64 };",
  ],
  "dist/adapter.d.ts": ['import { R as Runtime } from "./shared.js";', "export type { Runtime };"],
  "dist/shared.d.ts": ["interface Runtime {}", "declare const Code: object;", "export { Runtime as R, Code as C };"],
};

/** Returns the names found in the files above, with some of them replaced. */
function insides(changed: Partial<Record<keyof typeof FILES, string | readonly string[]>> = {}): string[] {
  const root = mkdtempSync(join(tmpdir(), "netconduit-declarations-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const room of INTERNAL_ROOMS) {
    mkdirSync(join(root, "src", room), { recursive: true });
  }
  for (const [path, text] of Object.entries({ ...FILES, ...changed })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), typeof text === "string" ? text : text.join("\n"));
  }
  const entries = ["index.d.ts", "adapter.d.ts"].map((name) => join(root, "dist", name));
  const [main, adapter] = entries.map((entry) => readDeclarations(entry, entries));
  return exposedInsides(join(root, "src"), main!, [main!, adapter!]);
}

describe("insides in the declarations of the core's main entry:", () => {
  test("none, where it declares what the entries export", () => {
    expect(insides()).toEqual([]);
  });

  test("a type of a room that an application doesn't see is found", () => {
    const index = [...FILES["dist/index.d.ts"], "interface Frame {}", "export declare const last: Frame;"];
    expect(insides({ "dist/index.d.ts": index })).toEqual(["Frame"]);
  });

  test("it is found in a file that entries share, and under a name that the bundler gave it", () => {
    const shared = [...FILES["dist/shared.d.ts"], "declare class FrameDecoder$1 {}"];
    expect(insides({ "dist/shared.d.ts": shared })).toEqual(["FrameDecoder"]);
  });

  test("a class of another room is found", () => {
    const index = [...FILES["dist/index.d.ts"], "declare class Registry {}"];
    expect(insides({ "dist/index.d.ts": index })).toEqual(["Registry"]);
  });
});

test("names that the bundler made up are found in declarations and in imports", () => {
  const root = mkdtempSync(join(tmpdir(), "netconduit-declarations-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const file = join(root, "index.d.ts");
  writeFileSync(
    file,
    'import { Client as Client$1 } from "core";\ntype Key$2 = string;\ndeclare const a: Key$2, $3: Key;\n',
  );
  expect(renamedDeclarations(file)).toEqual(["Client$1", "Key$2"]);
});

test("lines are counted with those of shared files, without those of other entries", () => {
  const root = mkdtempSync(join(tmpdir(), "netconduit-declarations-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  writeFileSync(join(root, "index.d.ts"), 'export * from "./shared.js";\nexport * from "./other.js";\n');
  writeFileSync(join(root, "shared.d.ts"), "\n\nexport {};\n");
  writeFileSync(join(root, "other.d.ts"), "export {};\n");
  const entries = ["index.d.ts", "other.d.ts"].map((name) => join(root, name));
  expect(readDeclarations(entries[0]!, entries).lines).toBe(5);
});
