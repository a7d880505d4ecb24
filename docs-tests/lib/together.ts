/** Imports the modules named in its arguments one by one, and prints each module's output as a line of JSON. */
import process from "node:process";
import { pathToFileURL } from "node:url";
import { format } from "node:util";

const folder = process.cwd();
let stdout = "";
console.log = (...values: unknown[]): void => {
  stdout += `${format(...values)}\n`;
};

for (const file of process.argv.slice(2)) {
  stdout = "";
  let error: string | null = null;
  try {
    await import(pathToFileURL(file).href);
  } catch (thrown) {
    error = format(thrown);
  }
  process.chdir(folder);
  process.stdout.write(`${JSON.stringify({ stdout, error })}\n`);
}
