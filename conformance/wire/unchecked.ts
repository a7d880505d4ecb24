/**
 * `node conformance/wire/unchecked.ts [section]`: the sentences of PROTOCOL.md that say what a peer does and that no check quotes,
 * by section, and their number. Tables, code, and sections without such sentences are left out.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { clientChecks } from "./client-checks.ts";
import { serverChecks } from "./server-checks.ts";

/** Words of a sentence about what a peer does, must or may do. */
const ACTS =
  /\b(sends?|answers?|ends?|refuses?|ignores?|must|may|closes?|counts?|rejects?|waits?|keeps?|forgets?|takes?)\b/;

const [only] = process.argv.slice(2);
const text = readFileSync(new URL("../../PROTOCOL.md", import.meta.url), "utf8");
const quoted = [...serverChecks, ...clientChecks];
let [checked, open] = [0, 0];
for (const part of text.split(/^#{2,6} /m).slice(1)) {
  const [heading = "", ...lines] = part.replace(/```[\s\S]*?```/g, "").split("\n");
  const prose = lines
    .filter((line) => !line.startsWith("|"))
    .join(" ")
    .replace(/\s+/g, " ")
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
  const own = quoted.filter(({ section }) => section === heading.trim());
  const acting = prose.split(/(?<=[.:])\s+(?=[A-Z`])/).filter((sentence) => ACTS.test(sentence));
  // A check may quote a part of a sentence, or several.
  const rest = acting.filter((one) => !own.some(({ sentence }) => sentence.includes(one) || one.includes(sentence)));
  checked += acting.length - rest.length;
  open += rest.length;
  if (rest.length === 0 || (only !== undefined && heading.trim() !== only)) continue;
  console.log(
    `${heading.trim()} (${rest.length} of ${acting.length})\n${rest.map((one) => `- ${one.trim()}`).join("\n")}\n`,
  );
}
console.log(`${checked} are checked, ${open} aren't`);
