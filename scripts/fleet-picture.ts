/**
 * `pnpm fleet-picture`: runs the fleet on three runtimes in a terminal, cuts the dashboard's connection, kills the
 * server during an upload, and renders the screen to docs/fleet.svg. Needs `script` of util-linux, which provides the
 * terminal.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildIfStale } from "./lib/build-if-stale.ts";
import { COLUMNS, ROWS, TITLE } from "./lib/fleet-screen.ts";
import { ROOT } from "./lib/packages.ts";
import { Screen } from "./lib/terminal-svg.ts";

/** Texts to wait for, in order, and the key to press after each. */
const STORY: readonly (readonly [seen: RegExp, key: string])[] = [
  [/pump-3 .* 16 samples/, "c"],
  [/telemetry of pump-3: back and recovered[\s\S]*joined/, "r"],
  [/ 1\d\.\d of 24\.0 MiB/, "k"],
  [/ (19|2\d)\.\d of 24\.0 MiB .* continued at [1-9]/, "q"],
];

await buildIfStale();
const screen = new Screen(COLUMNS, ROWS);
const command = `stty cols ${COLUMNS} rows ${ROWS}; exec node examples/fleet/start.ts --device bun --dashboard deno`;
const terminal = spawn("script", ["--quiet", "--flush", "--command", command, "/dev/null"], { cwd: ROOT });
const ended = once(terminal, "exit");
const decoder = new TextDecoder();
let step = 0;
for await (const chunk of terminal.stdout) {
  await screen.write(decoder.decode(chunk, { stream: true }));
  const [seen, key = ""] = STORY[step] ?? [];
  if (seen === undefined || !seen.test(screen.lines.join("\n"))) continue;
  step += 1;
  if (key === "q") writeFileSync(join(ROOT, "docs", "fleet.svg"), screen.svg(TITLE));
  terminal.stdin.write(key);
}
await ended;
if (step < STORY.length) throw new Error(`The fleet ended before ${STORY[step]?.[0]} was seen`);
