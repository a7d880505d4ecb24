/** Finds the sentences of PROTOCOL.md about a peer's behaviour, and those that no check quotes. */
import { readFileSync } from "node:fs";
import { clientChecks } from "./client-checks.ts";
import { serverChecks } from "./server-checks.ts";
import { uncheckable } from "./uncheckable.ts";

/** Words that mark sentences about what a peer does, must or may do. */
const ACTS =
  /\b(sends?|answers?|ends?|refuses?|ignores?|must|may|closes?|counts?|rejects?|waits?|keeps?|forgets?|takes?|returns?|(?:is|are|isn't|aren't) (?:answered|sent|refused|rejected|ignored|dropped|counted|compared|encoded|cut|skipped|aborted|started|ended|remembered|handled))\b/;

export interface Sentence {
  readonly section: string;
  readonly sentence: string;
}

/** Returns the sentences, each in one line, with links replaced by their text. Tables and code are omitted. */
export function normativeSentences(markdown: string): Sentence[] {
  const sentences: Sentence[] = [];
  for (const part of markdown.split(/^#{2,6} /m).slice(1)) {
    const [heading = "", ...lines] = part.replace(/^ *```[\s\S]*?```/gm, "\n").split("\n");
    const prose = lines.filter((line) => !line.startsWith("|")).join("\n");
    // Paragraphs and list items.
    for (const block of prose.split(/\n\s*\n|\n(?=(?:-|\d+\.) )/)) {
      const text = block
        .replace(/^(?:-|\d+\.) /, "")
        .replace(/\s+/g, " ")
        .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
        .trim();
      const acting = text.split(/(?<=[.:])\s+(?=[A-Z`*])/).filter((sentence) => ACTS.test(sentence));
      sentences.push(...acting.map((sentence) => ({ section: heading.trim(), sentence })));
    }
  }
  return sentences;
}

/** Whether one contains the other: a check may quote a part of a sentence, or several sentences. */
function concern(one: Sentence, other: Sentence): boolean {
  if (one.section !== other.section) return false;
  return one.sentence.includes(other.sentence) || other.sentence.includes(one.sentence);
}

const quoted: readonly Sentence[] = [...serverChecks, ...clientChecks];

/** Returns all sentences, those without a check, and among these those that could have one. */
export function unchecked(): Record<"all" | "unchecked" | "checkable", readonly Sentence[]> {
  const all = normativeSentences(readFileSync(new URL("../../PROTOCOL.md", import.meta.url), "utf8"));
  const without = all.filter((sentence) => !quoted.some((check) => concern(sentence, check)));
  const excused = new Set(uncheckable.flatMap(([_reason, sentences]) => sentences));
  const checkable = without.filter(({ section, sentence }) => !excused.has(`${section}: ${sentence}`));
  return { all, unchecked: without, checkable };
}
