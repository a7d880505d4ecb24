import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** A Python that can import netconduit, or the reason why there is none. */
export type PythonEnvironment =
  | { readonly python: string; readonly version: string }
  | { readonly python: null; readonly reason: string };

const PREPARE: string = fileURLToPath(new URL("python/prepare.py", import.meta.url));
/** Ignored by git. Remove it to get the newest netconduit. */
const FOLDER: string = fileURLToPath(new URL(".venv", import.meta.url));

/**
 * Returns the environment in `interop/.venv`, creating it with pip if necessary. `PYTHON` selects the Python to create
 * it with, `NETCONDUIT_VERSION` a version of netconduit instead of the newest.
 */
export async function pythonEnvironment(): Promise<PythonEnvironment> {
  const { PYTHON, NETCONDUIT_VERSION: version } = process.env;
  const requirement = version === undefined ? "netconduit>=2.0" : `netconduit==${version}`;
  const folder = `${FOLDER}/${version ?? "newest"}`;
  const programs = PYTHON === undefined ? ["python3", "python"] : [PYTHON];
  for (const program of programs) {
    try {
      const { stdout } = await promisify(execFile)(program, ["-X", "utf8", PREPARE, folder, requirement]);
      const answer = JSON.parse(stdout) as { python: string; version: string } | { reason: string };
      return "reason" in answer ? { python: null, reason: answer.reason } : answer;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") continue;
      const told = (error as { stderr?: string }).stderr?.trim() || String(error);
      return { python: null, reason: `${program} failed: ${told.slice(0, 300)}` };
    }
  }
  return { python: null, reason: `there is no ${programs.join(" or ")} here` };
}
