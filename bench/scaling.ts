/**
 * `node bench/scaling.ts [--update]`: prints the tables of docs/scaling.md under "On paper", estimated from measured
 * costs; `--update` writes them to the document.
 */
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { replaceBetweenMarkers } from "./lib/readme.ts";
import { scalingTables } from "./lib/scaling.ts";

const DOCUMENT = new URL("../docs/scaling.md", import.meta.url);

if (process.argv.includes("--update")) {
  let text = readFileSync(DOCUMENT, "utf8");
  for (const [name, table] of scalingTables()) {
    text = replaceBetweenMarkers(text, name, table);
  }
  writeFileSync(DOCUMENT, text);
} else {
  for (const [name, table] of scalingTables()) console.log(`${name}\n\n${table}\n`);
}
