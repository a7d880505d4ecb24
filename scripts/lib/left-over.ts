import { readdirSync, readFileSync } from "node:fs";

/** Environment variable that the processes of one run inherit. */
export const RUN_VARIABLE = "NETCONDUIT_TEST_RUN";

/** Processes need a moment to exit after their parent has. */
const PATIENCE_MS = 5000;
const ASK_EVERY_MS = 100;

/** A process that is still there. */
export interface LeftOver {
  readonly pid: number;
  readonly command: string;
}

/** Processes of the run `id`, this one left out. Reads /proc: elsewhere than on Linux it finds none. */
export function processesOf(id: string): LeftOver[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) return [];
    const environment = contentOf(`/proc/${entry}/environ`).split("\0");
    if (!environment.includes(`${RUN_VARIABLE}=${id}`)) return [];
    const command = contentOf(`/proc/${entry}/cmdline`).replaceAll("\0", " ").trim();
    return [{ pid: Number(entry), command }];
  });
}

/** Resolves with the processes of the run `id` that don't exit by themselves. */
export async function leftOverProcesses(id: string, patienceMs: number = PATIENCE_MS): Promise<LeftOver[]> {
  const deadline = performance.now() + patienceMs;
  let left = processesOf(id);
  while (left.length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    left = processesOf(id);
  }
  return left;
}

/** Empty if the process is gone or someone else's. */
function contentOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH" || code === "EACCES" || code === "EPERM") return "";
    throw error;
  }
}
