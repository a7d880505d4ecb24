/**
 * Starts a fleet: a server, three devices in one process, and a dashboard in this terminal. Restarts the server when
 * it dies.
 *
 *     node examples/fleet/start.ts --device bun --dashboard deno
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { EXAMPLES } from "../lib/port.ts";
import { commandLine, findRuntime, isRuntime, RUNTIMES, type RuntimeName, TITLES } from "../lib/runtimes.ts";

const ROLES = ["server", "device", "dashboard"] as const;
type Role = (typeof ROLES)[number];
const USAGE = `Usage: pnpm fleet ${ROLES.map((role) => `[--${role} ${RUNTIMES.join("|")}]`).join(" ")}

Starts a server, three devices and a dashboard in three processes, by default on Node.js.`;

const DEVICES = ["pump-1", "pump-2", "pump-3"];
const RESTART_MS = 1000;
/** Below the range of ephemeral ports, so that no client takes the port while the server is down. */
const PORTS = { from: 20_000, count: 10_000 };

const children = new Map<Role, ChildProcess>();
let isStopping = false;

/** Reads the options; ends the program if they are invalid. */
function runtimesOfOptions(): Record<Role, RuntimeName> {
  const runtimes: Record<Role, RuntimeName> = { server: "node", device: "node", dashboard: "node" };
  try {
    const option = { type: "string" } as const;
    const { values } = parseArgs({ options: { server: option, device: option, dashboard: option } });
    for (const role of ROLES) {
      const runtime = values[role] ?? "node";
      if (!isRuntime(runtime)) throw new Error(`Unknown runtime: ${runtime}`);
      if (findRuntime(runtime) === null) throw new Error(`${TITLES[runtime]} is not on the PATH`);
      runtimes[role] = runtime;
    }
    return runtimes;
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    process.exit(2);
  }
}

/** Prints a line, unless the output is a terminal whose screen the dashboard uses. */
function log(line: string): void {
  if (!process.stdout.isTTY || !children.has("dashboard")) console.log(line);
}

function start(role: Role, port: number, ...args: string[]): ChildProcess {
  const runtime = runtimes[role];
  const script = `fleet/${role}.ts`;
  const files = join(folder, role);
  mkdirSync(files, { recursive: true });
  const command = commandLine(runtime, script, join(EXAMPLES, script));
  const child = spawn(findRuntime(runtime)?.path ?? runtime, [...command, ...args], {
    env: { ...process.env, HOST: "127.0.0.1", PORT: String(port), FILES: files },
    stdio: role === "dashboard" ? "inherit" : ["ignore", "pipe", "pipe"],
  });
  children.set(role, child);
  log(`${role}: process ${child.pid} on ${TITLES[runtime]}`);
  for (const output of [child.stdout, child.stderr]) {
    if (output !== null) createInterface({ input: output }).on("line", (line) => log(`${role}: ${line}`));
  }
  return child;
}

/** Starts the server and resolves with its port. */
async function startServer(): Promise<number> {
  for (let attempt = 1; attempt <= 10; attempt += 1) {
    const port = PORTS.from + Math.floor(Math.random() * PORTS.count);
    const server = start("server", port);
    const isListening = await Promise.race([
      once(server.stdout as NonNullable<typeof server.stdout>, "data").then(() => true),
      once(server, "exit").then(() => false),
    ]);
    if (!isListening) continue;
    server.once("exit", () => void restart(port));
    return port;
  }
  throw new Error("The server can't listen on any port");
}

async function restart(port: number): Promise<void> {
  if (isStopping) return;
  log("the server has died and will be restarted");
  await sleep(RESTART_MS);
  if (!isStopping) start("server", port).once("exit", () => void restart(port));
}

/** Stops all processes, the server last, because it would wait for open log streams. */
async function stop(): Promise<void> {
  isStopping = true;
  for (const child of [...children.values()].reverse()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
}

const runtimes = runtimesOfOptions();
const folder = mkdtempSync(join(tmpdir(), "fleet-"));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void stop());
try {
  const port = await startServer();
  start("device", port, ...DEVICES);
  const [code] = await once(start("dashboard", port), "exit");
  process.exitCode = code ?? 1;
} finally {
  await stop();
}
