import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./packages.ts";
import { run } from "./run.ts";

/** What a project depends on: name → range. */
export type Dependencies = Readonly<Record<string, string>>;

/** The ranges that this repository itself demands of packages from the registry. */
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
 * This process's environment without what pnpm, npx and vitest put there for the programs that they start: a package
 * manager is to see what it would see in a user's shell. Variables with the value undefined are not passed on.
 */
function userEnvironment(): Record<string, string | undefined> {
  const foreign = /^(npm_(?!config_)|npm_config_(user_agent|local_prefix|prefix|package|call)$|vitest|node_path$)/i;
  const names = Object.keys(process.env).filter((name) => foreign.test(name));
  return Object.fromEntries([...names, "NODE_ENV", "NODE_OPTIONS"].map((name) => [name, undefined]));
}

/** A folder outside the repository with a program in it, as somebody has it who only has the published packages. */
export class EmptyProject {
  readonly folder: string;
  private readonly env: Readonly<Record<string, string | undefined>>;

  constructor(folder: string, env: Readonly<Record<string, string>> = {}) {
    this.folder = folder;
    this.env = { ...userEnvironment(), ...env };
    mkdirSync(folder, { recursive: true });
  }

  /** Writes a file; what is no text is written as JSON. */
  write(file: string, content: string | object): void {
    writeFileSync(join(this.folder, file), typeof content === "string" ? content : JSON.stringify(content, null, 2));
  }

  /** Runs a command in the folder and returns what it printed. Throws, with the output, if it fails. */
  async must(command: string, ...args: readonly string[]): Promise<string> {
    const { code, output } = await run(command, args, { cwd: this.folder, env: this.env });
    if (code !== 0) throw new Error(`${command} ${args.join(" ")} failed with ${code}\n${output}`);
    return output;
  }
}
