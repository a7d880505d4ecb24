/** A progress bar for transfers in the terminal. */

import type { FileProgress } from "@netconduit/node";

const WIDTH = 30;
const UNITS = ["B", "KiB", "MiB", "GiB"];

/** Formats progress as one line: `[=====> ] 45 % of 12.0 MiB, 80.1 MiB/s, 2 s left`. */
export function bar({ phase, bytes, total, bytesPerSecond, etaMs }: FileProgress): string {
  const doing = phase === "moving" ? "" : `, ${phase}`;
  if (total === null) return `${size(bytes)}, ${size(bytesPerSecond)}/s${doing}`;
  const done = total === 0 ? 1 : bytes / total;
  const filled = "=".repeat(Math.floor(done * WIDTH));
  const line = `[${filled.padEnd(WIDTH)}] ${Math.floor(done * 100)} % of ${size(total)}, ${size(bytesPerSecond)}/s`;
  return etaMs === null || etaMs === 0 ? `${line}${doing}` : `${line}, ${Math.ceil(etaMs / 1000)} s left${doing}`;
}

/** Redraws the bar in place. If the output isn't a terminal, only writes the final bar. */
export function show(progress: FileProgress): void {
  const isLast = progress.bytes === progress.total && progress.etaMs === 0;
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${bar(progress)}`);
  else if (isLast) process.stdout.write(bar(progress));
}

function size(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}
