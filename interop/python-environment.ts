import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** A Python with the required packages, or the reason why there is none. */
export type PythonEnvironment =
  | { readonly python: string; readonly version: string }
  | { readonly python: null; readonly reason: string };

const PREPARE: string = fileURLToPath(new URL("python/prepare.py", import.meta.url));
/** Folder of the environments, ignored by git. Remove it to get the newest netconduit. */
const FOLDER: string = fileURLToPath(new URL(".venv", import.meta.url));

/** Returns the environment with netconduit: the newest version, or `NETCONDUIT_VERSION`. */
export function pythonEnvironment(): Promise<PythonEnvironment> {
  const { NETCONDUIT_VERSION: version } = process.env;
  const requirement = version === undefined ? "netconduit>=2.0" : `netconduit==${version}`;
  const check = "import conduit, importlib.metadata; print(importlib.metadata.version('netconduit'))";
  return pythonWith(version ?? "newest", check, [requirement]);
}

/**
 * Returns the environment `name` in `interop/.venv`; creates it with pip if necessary. `PYTHON` selects the Python
 * for this.
 * @param check Python code that imports the packages and prints a version
 */
export async function pythonWith(
  name: string,
  check: string,
  requirements: readonly string[],
): Promise<PythonEnvironment> {
  const { PYTHON } = process.env;
  const programs = PYTHON === undefined ? ["python3", "python"] : [PYTHON];
  for (const program of programs) {
    try {
      const args = ["-X", "utf8", PREPARE, `${FOLDER}/${name}`, check, ...requirements];
      const { stdout } = await promisify(execFile)(program, args);
      const answer = JSON.parse(stdout) as { python: string; version: string } | { reason: string };
      return "reason" in answer ? { python: null, reason: answer.reason } : answer;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") continue;
      const message = (error as { stderr?: string }).stderr?.trim() || String(error);
      return { python: null, reason: `${program} failed: ${message.slice(0, 300)}` };
    }
  }
  return { python: null, reason: `there is no ${programs.join(" or ")} here` };
}
