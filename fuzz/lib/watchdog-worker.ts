/** The thread of a `Watchdog`. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { workerData } from "node:worker_threads";

interface Shared {
  readonly counts: Int32Array;
  readonly input: Uint8Array;
  readonly limitMs: number;
  readonly file: string;
}

const { counts, input, limitMs, file } = workerData as Shared;
let last = -1;

setInterval(() => {
  const now = Atomics.load(counts, 0);
  // Odd while an input runs.
  if (now !== last || now % 2 === 0) {
    last = now;
    return;
  }
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, input.slice(0, Atomics.load(counts, 1)));
  process.stderr.write(`An input doesn't end in ${limitMs / 1000} s: it is in ${file}\n`);
  process.kill(process.pid, "SIGKILL");
}, limitMs);
