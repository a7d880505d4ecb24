/**
 * `pnpm conformance:wire --server HOST:PORT` or `--client "COMMAND with {port}"`: checks the sentences of PROTOCOL.md
 * on a server or a client of any library. README.md describes what it must provide. Prints one line per sentence.
 * Exit code 0: none failed; 1: some failed; 2: invalid arguments.
 */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { testFile } from "../../packages/node/test-data/tls/files.ts";
import type { Check } from "./check.ts";
import { clientChecks } from "./client-checks.ts";
import { ClientUnderTest, PASSWORD, type StartClient, TOKEN } from "./client-under-test.ts";
import { CHECK_TIMEOUT_MS, type Disposable, type Outcome, runCheck } from "./run-check.ts";
import { serverChecks } from "./server-checks.ts";
import { type ServerAddress, type ServerTls, ServerUnderTest } from "./server-under-test.ts";

const USAGE = `usage:
  conformance:wire --server HOST:PORT [--password PASSWORD] [--tls PORT:FOLDER] [--restart COMMAND]
                   [--only TEXT] [--except TEXT] [--timeout-ms MS]
  conformance:wire --client "COMMAND with {port}" [--only TEXT] [--except TEXT] [--timeout-ms MS]
The password is that of --password, else that of the environment variable NETCONDUIT_PASSWORD.`;

/** Runs the checks sequentially and prints each result. */
async function runAll<Target extends Disposable>(
  checks: readonly Check<Target>[],
  makeTarget: () => Target,
  isWanted: (check: string) => boolean,
  timeoutMs: number,
): Promise<void> {
  const counts: Record<Outcome["result"], number> = { pass: 0, fail: 0, skipped: 0 };
  for (const check of checks) {
    if (!isWanted(`${check.section}: ${check.sentence}`)) continue;
    const { section, sentence, result, reason } = await runCheck(check, makeTarget(), timeoutMs);
    counts[result] += 1;
    console.log(`${result.padEnd(7)}  ${section}: ${sentence}`);
    if (reason !== "") console.log(`         ${reason.split("\n").join("\n         ")}`);
  }
  console.log(`${counts.pass} passed, ${counts.fail} failed, ${counts.skipped} skipped`);
  process.exitCode = counts.fail > 0 ? 1 : 0;
}

function addressOf(server: string, password: string | undefined): ServerAddress | null {
  const [, host, port] = /^\[?(.+?)\]?:(\d+)$/.exec(server) ?? [];
  if (host === undefined || password === undefined || password === "") return null;
  return { host, port: Number(port), password };
}

/** Parses the option for TLS: the server's port and a folder of certificates. */
async function tlsOf(host: string, at: string): Promise<ServerTls> {
  const [, port, folder = ""] = /^(\d+):(.+)$/.exec(at) ?? [];
  if (port === undefined) throw new Error("--tls needs PORT:FOLDER");
  const pem = (name: string): Promise<string> => readFile(join(folder, name), "utf8");
  return {
    host,
    port: Number(port),
    ca: await pem("ca.crt"),
    known: { cert: await pem("client.crt"), key: await pem("client.key") },
    stranger: { cert: await pem("stranger.crt"), key: await pem("stranger.key") },
  };
}

/** Runs a shell command to completion. */
async function runCommand(command: string): Promise<void> {
  const child = spawn(command, { shell: true, stdio: ["ignore", "ignore", "inherit"] });
  const code = await new Promise<unknown>((resolve) => child.once("exit", resolve));
  if (code !== 0) throw new Error(`The command of --restart ended with ${String(code)}`);
}

/** Starts the client by a shell command in its own process group. */
function startOf(command: string): StartClient {
  return async (port, { resumes = false, token = false, certificate = false, host }) => {
    const acts = {
      ...(resumes ? { NETCONDUIT_RESUME: "1" } : {}),
      ...(token ? { NETCONDUIT_TOKEN: TOKEN } : {}),
      ...(certificate ? { NETCONDUIT_TLS: testFile(".") } : {}),
      ...(host === undefined ? {} : { NETCONDUIT_HOST: host }),
    };
    const client = spawn(command.replaceAll("{port}", String(port)), {
      shell: true,
      detached: true,
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, NETCONDUIT_PASSWORD: PASSWORD, ...acts },
    });
    const exited = new Promise<void>((resolve) => client.once("exit", () => resolve()));
    return async () => {
      if (client.exitCode === null && client.signalCode === null && client.pid !== undefined) {
        process.kill(-client.pid, "SIGKILL");
      }
      await exited;
    };
  };
}

function refuse(problem: string): void {
  console.error(`${problem}\n${USAGE}`);
  process.exitCode = 2;
}

async function main(): Promise<void> {
  const text = { type: "string" } as const;
  const help = { type: "boolean", short: "h" } as const;
  const options = {
    server: text,
    client: text,
    password: text,
    tls: text,
    restart: text,
    only: text,
    except: text,
    help,
  };
  const { values } = parseArgs({ options: { ...options, "timeout-ms": text } });
  if (values.help === true) return console.log(USAGE);
  const { server, client, only = "", except } = values;
  const isWanted = (check: string): boolean =>
    check.includes(only) && !(except !== undefined && check.includes(except));
  const timeoutMs = Number(values["timeout-ms"] ?? CHECK_TIMEOUT_MS);
  if (!(timeoutMs > 0)) return refuse("--timeout-ms must be a number above 0");
  if (server !== undefined && client === undefined) {
    const address = addressOf(server, values.password ?? process.env["NETCONDUIT_PASSWORD"]);
    if (address === null) return refuse("--server needs HOST:PORT and a password");
    const tls = values.tls === undefined ? {} : { tls: await tlsOf(address.host, values.tls) };
    const { restart: command } = values;
    const restart = command === undefined ? {} : { restart: () => runCommand(command) };
    return runAll(serverChecks, () => new ServerUnderTest({ ...address, ...tls, ...restart }), isWanted, timeoutMs);
  }
  if (client?.includes("{port}") === true && server === undefined) {
    return runAll(clientChecks, () => new ClientUnderTest(startOf(client)), isWanted, timeoutMs);
  }
  return refuse("Give either --server or --client, and {port} in the latter's command");
}

try {
  await main();
} catch (error) {
  refuse(error instanceof Error ? error.message : String(error));
}
