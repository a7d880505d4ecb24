/**
 * `node docs-tests/update.ts`: updates the parts of the documentation that mirror the repository: the files under `<!--
 * file: path -->` and the state diagram. The tests fail when they are out of date.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { toMermaid } from "../packages/core/src/connection/connection-state.ts";
import { type CodeBlock, codeBlocks, markdownFiles, ROOT, readText } from "./lib/markdown.ts";
import { annotation } from "./lib/programs.ts";

/** The required content of `block`, or null if it is written by hand. */
function wanted(block: CodeBlock): string | null {
  const file = annotation(block, "file");
  if (file !== null) return readText(file).trimEnd();
  return block.file === "ARCHITECTURE.md" && block.language === "mermaid" ? toMermaid() : null;
}

for (const file of markdownFiles()) {
  const path = join(ROOT, file);
  const lines = readFileSync(path, "utf8").split("\n");
  let changed = false;
  // Last block first, so that earlier line numbers stay valid.
  for (const block of codeBlocks(file).reverse()) {
    const code = wanted(block);
    if (code === null || code === block.code) continue;
    lines.splice(block.line - 1, block.code.split("\n").length, ...code.split("\n"));
    changed = true;
    console.log(`${file}:${block.line} updated`);
  }
  if (changed) writeFileSync(path, lines.join("\n"));
}
