/** Parses this repository's Markdown files: code blocks, tables, headings and links, as far as the tests need. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** Path of the repository, without a trailing separator. */
export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url)).replace(/[\\/]$/, "");

/** Folders with generated or installed files. */
const SKIPPED: ReadonlySet<string> = new Set(["node_modules", "dist", "coverage", "reports"]);

/** A fenced code block. */
export interface CodeBlock {
  /** Path from the repository's root, with forward slashes. */
  readonly file: string;
  /** Line of the file, from 1, where the code starts. */
  readonly line: number;
  /** First word of the info string, or `""`. */
  readonly language: string;
  /** The other words of the info string. */
  readonly words: readonly string[];
  readonly code: string;
  /** HTML comments directly above the block, without their delimiters; the nearest is last. */
  readonly comments: readonly string[];
  /** Text of the heading above the block, or `""`. */
  readonly heading: string;
}

/** Paths of all Markdown files, relative to the root, with forward slashes. */
export function markdownFiles(folder: string = ROOT): string[] {
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return SKIPPED.has(entry.name) || entry.name === ".git" ? [] : markdownFiles(path);
      return entry.name.endsWith(".md") ? [relative(ROOT, path).split(sep).join("/")] : [];
    })
    .sort();
}

/** The text of a file of the repository. */
export function readText(file: string): string {
  return readFileSync(join(ROOT, file), "utf8");
}

/** The code blocks of a Markdown file, in order. Throws if one isn't closed. */
export function codeBlocks(file: string, text: string = readText(file)): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  const lines = text.split("\n");
  let comments: string[] = [];
  let heading = "";
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] as string;
    const fence = /^```(\S*)\s*(.*)$/.exec(line);
    if (fence === null) {
      const comment = /^<!--\s*(.*?)\s*-->$/.exec(line);
      if (comment !== null) comments.push(comment[1] as string);
      else if (line.trim() !== "") comments = [];
      heading = /^#{1,6}\s+(.*?)\s*$/.exec(line)?.[1] ?? heading;
      continue;
    }
    const start = at + 1;
    at = lines.indexOf("```", start);
    if (at === -1) throw new Error(`${file}:${start}: a code block is not closed`);
    const [, language = "", words = ""] = fence;
    const code = lines.slice(start, at).join("\n");
    blocks.push({ file, line: start + 1, language, words: words.split(" ").filter(Boolean), code, comments, heading });
    comments = [];
  }
  return blocks;
}

/** Blanks out the code blocks of a file, keeping line numbers. */
export function withoutCode(text: string): string {
  return text.replace(/^```[\s\S]*?^```$/gm, (block) => block.replace(/[^\n]/g, ""));
}

/** A table row: cell texts by column heading. */
export type TableRow = Readonly<Record<string, string>>;

/** The rows of all tables below `heading` that have a column `column`. */
export function tableRows(text: string, heading: string, column: string): TableRow[] {
  const rows: TableRow[] = [];
  let within = false;
  let columns: string[] | null = null;
  for (const line of withoutCode(text).split("\n")) {
    const title = /^#{1,6}\s+(.*?)\s*$/.exec(line)?.[1];
    if (title !== undefined) within = title === heading;
    if (!within || !line.startsWith("|")) {
      columns = null;
      continue;
    }
    const cells = cellsOf(line);
    if (columns === null) columns = cells;
    else if (columns.includes(column) && !cells.every((cell) => /^:?-+:?$/.test(cell))) {
      const names = columns;
      rows.push(Object.fromEntries(names.map((name, index) => [name, cells[index] ?? ""])));
    }
  }
  return rows;
}

function cellsOf(line: string): string[] {
  return line
    .replace(/^\|/, "")
    .replace(/\|\s*$/, "")
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll("\\|", "|"));
}

/** The cell's first code span, or the whole cell if it has none. */
export function codeIn(cell: string): string {
  return /`([^`]*)`/.exec(cell)?.[1] ?? cell;
}

/** The anchors that GitHub gives a file's headings. */
export function anchorsOf(text: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, title = ""] of withoutCode(text).matchAll(/^#{1,6}\s+(.*?)\s*$/gm)) {
    const plain = title
      .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .replace(/[`*]/g, "")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/\s/g, "-");
    let anchor = plain;
    for (let count = 1; anchors.has(anchor); count++) anchor = `${plain}-${count}`;
    anchors.add(anchor);
  }
  return anchors;
}

/** A link of a Markdown file. */
export interface Link {
  readonly line: number;
  readonly target: string;
}

/** The links and images of a file, outside code. */
export function linksOf(text: string): Link[] {
  const links: Link[] = [];
  for (const [index, line] of withoutCode(text).split("\n").entries()) {
    const prose = line.replace(/`[^`]*`/g, "");
    for (const [, target = ""] of prose.matchAll(/\]\(\s*<?([^)\s>]+)>?[^)]*\)/g))
      links.push({ line: index + 1, target });
    const definition = /^\[[^\]]+\]:\s+(\S+)/.exec(prose);
    if (definition !== null) links.push({ line: index + 1, target: definition[1] as string });
  }
  return links;
}
