/** Output of the demo: numbered steps, frames with sender and receiver, and times. Uses colour on terminals only. */

import { inspect, styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];

const NAME_WIDTH = 7;
const LABEL_WIDTH = 14;
/** Width of the first column of entries and tables. */
const ENTRY_WIDTH = 16;
/** Column at which times end. */
const LINE_WIDTH = 100;
/** Ids are shortened to their first 8 characters. */
const UUID = /\b([0-9a-f]{8})(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g;
let steps = 0;

function styled(style: Style, text: string): string {
  return process.stdout.isTTY && process.env.NO_COLOR === undefined ? styleText(style, text) : text;
}

function milliseconds(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(1)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** Appends the time at the right margin. `plain` is `text` without styles. */
function withTime(text: string, plain: string, ms: number | undefined): string {
  if (ms === undefined) return text;
  const time = milliseconds(ms);
  return `${text}${" ".repeat(Math.max(2, LINE_WIDTH - plain.length - time.length))}${styled("dim", time)}`;
}

export function opening(text: string): void {
  console.log(styled("bold", text));
}

/** Prints the heading of the next step. */
export function step(title: string): void {
  steps += 1;
  console.log(`\n${styled("bold", `${steps}. ${title}`)}`);
}

/** Prints a name and a text in two columns. */
export function entry(name: string, text: string): void {
  console.log(`  ${styled("bold", name.padEnd(ENTRY_WIDTH))}  ${text}`);
}

/** Prints a table of times in milliseconds. */
export function table(columns: readonly string[], rows: readonly (readonly [string, readonly number[]])[]): void {
  const cells = (texts: readonly string[]): string => texts.map((text) => text.padStart(LABEL_WIDTH)).join("");
  console.log(`  ${" ".repeat(ENTRY_WIDTH)}${styled("dim", cells(columns))}`);
  for (const [title, times] of rows) entry(title, cells(times.map(milliseconds)).slice(2));
}

/** Prints a message or call; `ms` is the round trip, for replies. */
export function arrow(from: string, to: string, label: string, value: unknown, ms?: number): void {
  const names = `${from.padStart(NAME_WIDTH)} → ${to.padEnd(NAME_WIDTH)}`;
  const full = typeof value === "string" ? value : inspect(value, { breakLength: Number.POSITIVE_INFINITY });
  const text = full.replace(UUID, "$1…");
  const plain = `${names}  ${label.padEnd(LABEL_WIDTH)}  ${text}`;
  const style: Style = label.startsWith("error") ? "red" : from === "server" ? "green" : "cyan";
  console.log(withTime(`${styled("dim", names)}  ${styled(style, label.padEnd(LABEL_WIDTH))}  ${text}`, plain, ms));
}

/** Prints a detail of the previous line. */
export function fact(text: string, ms?: number): void {
  const plain = `${" ".repeat(2 * NAME_WIDTH + LABEL_WIDTH + 7)}${text}`;
  console.log(withTime(plain, plain, ms));
}

export function closing(text: string, ms: number): void {
  console.log(`\n${styled("green", text)} ${styled("dim", `It took ${milliseconds(ms)}.`)}`);
}

export function printError(text: string): void {
  console.error(`\n${text}`);
}
