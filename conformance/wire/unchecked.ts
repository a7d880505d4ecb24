/**
 * `node conformance/wire/unchecked.ts [section]`: prints the sentences of PROTOCOL.md about a peer's behaviour that
 * no check quotes and that `uncheckable.ts` doesn't list with a reason.
 */
import process from "node:process";
import { unchecked } from "./normative.ts";

const [only] = process.argv.slice(2);
const found = unchecked();
for (const { section, sentence } of found.checkable) {
  if (only === undefined || only === section) console.log(`${section}: ${sentence}`);
}
const checked = found.all.length - found.unchecked.length;
console.log(`${checked} checked, ${found.unchecked.length} unchecked, of which ${found.checkable.length} checkable`);
