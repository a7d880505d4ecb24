/**
 * The TypeScript blocks of the documentation as whole programs.
 *
 * - Every block marked `ts` is type-checked, strictly, against the sources.
 * - The package that a block imports says on which runtime it runs; if it imports none, that is Node. On Deno a block
 *   is permitted what the comment `<!-- permissions: --allow-net=127.0.0.1 -->` directly above it says, and no more.
 * - A block marked `ts run` is run as well, as a program of its own. If the next block under the same heading is marked
 *   `text`, that is what the program prints; `…` in it stands for any text within a line.
 * - A block that is a fragment names what it stands in: `<!-- setup: name -->` directly above it. The setup is the block
 *   under that heading of setups.md; its line `// (the block)` is where the fragment goes.
 * - `<!-- file: path -->` directly above a block: it is that file of the repository, word for word.
 */
import { type CodeBlock, codeBlocks, markdownFiles } from "./markdown.ts";
import { type RuntimeName, runtimeOf } from "./runtimes.ts";

const SETUPS = "docs-tests/setups.md";
const PLACE = "// (the block)";

/** A block and what is needed around it. */
export interface Program {
  readonly block: CodeBlock;
  /** `docs/guide.md:120` */
  readonly name: string;
  /** What stands above the block's code; ends in a line feed if it is not empty. */
  readonly before: string;
  readonly after: string;
  readonly runtime: RuntimeName;
  /** What Deno permits it: flags. */
  readonly permissions: readonly string[];
  readonly runs: boolean;
  /** What it prints, or null if the documentation does not show it. */
  readonly output: string | null;
}

const setups: ReadonlyMap<string, string> = new Map(
  codeBlocks(SETUPS)
    .filter(({ language }) => language === "ts")
    .map(({ heading, code }) => [heading, code]),
);

/** Every TypeScript block of the documentation. Throws for a setup that does not exist. */
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

/** The program's whole text. It is a module even if it imports nothing. */
export function sourceOf({ before, block, after }: Program): string {
  return `${before}${block.code}\n${after}\nexport {};\n`;
}

/** Whether `printed` is what the documentation shows; `…` stands for any text within a line. */
export function matchesOutput(printed: string, shown: string): boolean {
  const pattern = shown
    .trimEnd()
    .split("…")
    .map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"))
    .join(".*");
  return new RegExp(`^${pattern}$`).test(printed.trimEnd());
}
