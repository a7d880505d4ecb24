/**
 * Turns the documentation's TypeScript blocks into complete programs.
 *
 * - Every block marked `ts` is type-checked, strictly, against the sources.
 * - The imported package determines the runtime; the default is Node. On Deno, a block gets only the permissions in the
 *   comment `<!-- permissions: --allow-net=127.0.0.1 -->` directly above it.
 * - A block marked `ts run` also runs, those for Node one after the other in one process. If the next block under the
 *   same heading is marked `text`, it is the expected output; `…` in it matches any text within a line.
 * - A fragment names a setup with `<!-- setup: name -->` directly above it. The setup is the block under that heading
 *   of setups.md; the fragment replaces its line `// (the block)`.
 * - A block with `<!-- file: path -->` directly above it must equal that file.
 */
import { type CodeBlock, codeBlocks, markdownFiles } from "./markdown.ts";
import { type RuntimeName, runtimeOf } from "./runtimes.ts";

const SETUPS = "docs-tests/setups.md";
const PLACE = "// (the block)";

/** A block, completed by its setup. */
export interface Program {
  readonly block: CodeBlock;
  /** `docs/guide.md:120` */
  readonly name: string;
  /** Code before the block; ends with a line feed unless empty. */
  readonly before: string;
  readonly after: string;
  readonly runtime: RuntimeName;
  /** Permission flags for Deno. */
  readonly permissions: readonly string[];
  readonly runs: boolean;
  /** Expected output, or null if the documentation doesn't show it. */
  readonly output: string | null;
}

const setups: ReadonlyMap<string, string> = new Map(
  codeBlocks(SETUPS)
    .filter(({ language }) => language === "ts")
    .map(({ heading, code }) => [heading, code]),
);

/** All TypeScript blocks of the documentation. Throws if a setup doesn't exist. */
export function programs(): Program[] {
  return markdownFiles()
    .filter((file) => file !== SETUPS)
    .flatMap((file) => {
      const blocks = codeBlocks(file);
      return blocks.flatMap((block, index) => (block.language === "ts" ? [programOf(block, blocks[index + 1])] : []));
    });
}

function programOf(block: CodeBlock, next: CodeBlock | undefined): Program {
  const name = `${block.file}:${block.line}`;
  const setup = annotation(block, "setup");
  const around = setup === null ? PLACE : setups.get(setup);
  if (around === undefined) throw new Error(`${name}: ${SETUPS} has no setup "${setup}"`);
  const [before = "", after = ""] = around.split(PLACE);
  const runs = block.words.includes("run");
  const shown = runs && next?.language === "text" && next.heading === block.heading;
  return {
    block,
    name,
    before,
    after,
    runtime: runtimeOf(name, block.code),
    permissions: (annotation(block, "permissions") ?? "").split(" ").filter(Boolean),
    runs,
    output: shown ? next.code : null,
  };
}

/** The value of the comment `<!-- name: value -->` above a block, or null. */
export function annotation(block: CodeBlock, name: string): string | null {
  const comment = block.comments.find((text) => text.startsWith(`${name}:`));
  return comment === undefined ? null : comment.slice(name.length + 1).trim();
}

/** The complete source. `export {}` makes it a module even without imports. */
export function sourceOf({ before, block, after }: Program): string {
  return `${before}${block.code}\n${after}\nexport {};\n`;
}

/** Whether `printed` matches the documentation; `…` matches any text within a line. */
export function matchesOutput(printed: string, shown: string): boolean {
  const pattern = shown
    .trimEnd()
    .split("…")
    .map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"))
    .join(".*");
  return new RegExp(`^${pattern}$`).test(printed.trimEnd());
}
