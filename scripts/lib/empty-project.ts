import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ROOT } from "./packages.ts";
import { run } from "./run.ts";

/** Dependencies of a project: name → range. */
export type Dependencies = Readonly<Record<string, string>>;

/** Returns the version ranges of this repository's own dependencies. */
export function workspaceRanges(...names: readonly string[]): Dependencies {
  const { devDependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
    devDependencies: Dependencies;
  };
  const ranges: [string, string][] = [];
  for (const name of names) {
    const range = devDependencies[name];
    if (range === undefined) throw new Error(`package.json has no dev dependency ${name}`);
    ranges.push([name, range]);
  }
  return Object.fromEntries(ranges);
}

/**
 * Returns this process's environment without variables set by pnpm, npx and vitest, so that package managers run as
 * in a user's shell. Variables with the value undefined are removed.
 */
function userEnvironment(): Record<string, string | undefined> {
  const foreign = /^(npm_(?!config_)|npm_config_(user_agent|local_prefix|prefix|package|call)$|vitest|node_path$)/i;
  const names = Object.keys(process.env).filter((name) => foreign.test(name));
  return Object.fromEntries([...names, "NODE_ENV", "NODE_OPTIONS"].map((name) => [name, undefined]));
}

/** A user's project: a folder outside the repository that only uses the published packages. */
export class EmptyProject {
  readonly folder: string;
  private readonly env: Readonly<Record<string, string | undefined>>;

  constructor(folder: string, env: Readonly<Record<string, string>> = {}) {
    this.folder = folder;
    this.env = { ...userEnvironment(), ...env };
    mkdirSync(folder, { recursive: true });
  }

  /** Writes a file and the folders above it; an object is written as JSON. */
  write(file: string, content: string | object): void {
    mkdirSync(dirname(join(this.folder, file)), { recursive: true });
    writeFileSync(join(this.folder, file), typeof content === "string" ? content : JSON.stringify(content, null, 2));
  }

  /** Runs a command in the folder and returns its output. Throws with the output if it fails. */
  async must(command: string, ...args: readonly string[]): Promise<string> {
    const { code, output } = await run(command, args, { cwd: this.folder, env: this.env });
    if (code !== 0) throw new Error(`${command} ${args.join(" ")} failed with ${code}\n${output}`);
    return output;
  }
}
