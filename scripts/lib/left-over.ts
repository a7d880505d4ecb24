import { readdirSync, readFileSync } from "node:fs";

/** Environment variable inherited by the processes of a run. */
export const RUN_VARIABLE = "NETCONDUIT_TEST_RUN";

/** Time for processes to exit after their parent has. */
const PATIENCE_MS = 5000;
const ASK_EVERY_MS = 100;

/** A process that is still running. */
export interface LeftOver {
  readonly pid: number;
  readonly command: string;
}

/** Returns the processes of the run `id`, except this one. Reads /proc, so it finds none on systems other than Linux. */
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

/** Resolves with the processes of the run `id` that don't exit in time. */
export async function leftOverProcesses(id: string, patienceMs: number = PATIENCE_MS): Promise<LeftOver[]> {
  const deadline = performance.now() + patienceMs;
  let left = processesOf(id);
  while (left.length > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    left = processesOf(id);
  }
  return left;
}

/** Returns an empty text if the process has exited or belongs to another user. */
function contentOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH" || code === "EACCES" || code === "EPERM") return "";
    throw error;
  }
}
