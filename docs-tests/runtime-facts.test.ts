/** Checks what RUNTIMES.md states about the runtimes' sockets, names and timers, with one program for each statement. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testFile } from "../packages/node/test-data/tls/files.ts";
import { codeIn, ROOT, readText, tableRows } from "./lib/markdown.ts";
import { runProgram } from "./lib/run-program.ts";
import { executable, ported, RUNTIMES, type RuntimeName, sourceArguments } from "./lib/runtimes.ts";

/** Runs processes, possibly on a busy machine. */
const SLOW = { timeout: 120_000 };
const FILE = "RUNTIMES.md";
const COLUMNS: Readonly<Record<RuntimeName, string>> = { node: "Node.js", bun: "Bun", deno: "Deno" };

/** A cell of the table of differences. */
function difference(row: string, runtime: RuntimeName): string {
  const rows = tableRows(readText(FILE), "Differences", "Node.js");
  const cell = rows.find((one) => one[""]?.startsWith(row))?.[COLUMNS[runtime]];
  if (cell === undefined) throw new Error(`${FILE} has no difference "${row}"`);
  return cell;
}

async function printed(source: string, runtime: RuntimeName): Promise<string> {
  const run = await runProgram(ported(source, runtime), { runtime, permissions: ["--allow-all"] });
  if (run.code !== 0) throw new Error(`${source}\n${run.stderr}`);
  return run.stdout.trimEnd();
}

/** Arguments before the path of a program in this folder. */
function argumentsFor(runtime: RuntimeName): readonly string[] {
  if (runtime !== "bun") return sourceArguments(runtime);
  return [`--tsconfig-override=${join(ROOT, "packages/bun/conformance/tsconfig.json")}`];
}

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "netconduit-facts-"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A server in its own process. */
class ServerProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly port: Promise<number>;

  constructor(runtime: RuntimeName, options: string) {
    const path = join(ROOT, "docs-tests", `server-${process.pid}-${runtime}-${Math.random().toString(36).slice(2)}.ts`);
    const source = `
import { Server } from "@netconduit/node";
const server = new Server({ password: "secret123", host: "127.0.0.1", port: 0, ${options} });
await server.start();
console.log(server.address.port);
`;
    writeFileSync(path, ported(source, runtime));
    const child = spawn(executable(runtime), [...argumentsFor(runtime), path], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#child = child;
    this.port = (async () => {
      try {
        for await (const line of createInterface(child.stdout)) return Number(line);
        throw new Error("The server has ended");
      } finally {
        rmSync(path);
      }
    })();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exit = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exit;
  }
}

const PAIR = ["cert", "key"].map((name) => {
  const file = name === "cert" ? "server.crt" : "server.key";
  return `${name}: ${JSON.stringify(readFileSync(testFile(file), "utf8"))}`;
});

/** Requests TLS key updates one by one until the connection ends. Returns the number of updates, at most `limit`. */
async function requestKeyUpdates(port: number, limit: number): Promise<number> {
  const client = spawn("openssl", ["s_client", "-tls1_3", "-connect", `127.0.0.1:${port}`]);
  const exit = once(client, "exit");
  client.stdin.on("error", () => undefined);
  client.stdout.resume();
  let requested = 0;
  // openssl discards input until it is ready, and only recognizes a "K" at the start of a read: send one at a time.
  const first = setInterval(() => client.stdin.write("K\n"), 100);
  for await (const line of createInterface(client.stderr)) {
    if (!line.includes("KEYUPDATE")) continue;
    clearInterval(first);
    requested += 1;
    if (requested >= limit) break;
    client.stdin.write("K\n");
  }
  clearInterval(first);
  client.kill("SIGKILL");
  await exit;
  return requested;
}

describe.runIf(spawnSync("openssl", ["version"]).status === 0)("TLS key updates", () => {
  test.each(RUNTIMES)("are answered, or end the connection, as the table says, on %s", SLOW, async (runtime) => {
    await using server = new ServerProcess(runtime, `authTimeoutMs: 60_000, tls: { ${PAIR.join(", ")} }`);
    const limit = 5000;
    const requested = await requestKeyUpdates(await server.port, limit);
    const ends = difference("a flood of TLS key updates", runtime) === "the connection ends";
    expect(requested).toBeGreaterThanOrEqual(33);
    // The client may send a few more requests before it notices the end.
    expect(requested < limit).toBe(ends);
  });
});

describe.runIf(spawnSync("ss", ["-V"]).status === 0)("the listen backlog", () => {
  const most = Number(readFileSync("/proc/sys/net/core/somaxconn", "utf8"));

  test.each(RUNTIMES)("is that of the table, or the system's if that is less, on %s", SLOW, async (runtime) => {
    await using server = new ServerProcess(runtime, "");
    const { stdout } = spawnSync("ss", ["-ltnH", `sport = :${await server.port}`], { encoding: "utf8" });
    const backlog = Number(stdout.trim().split(/\s+/)[2]);
    expect(backlog).toBe(Math.min(most, Number(difference("clients connecting at the same moment", runtime))));
  });
});

test("Deno's TLS connections can't turn Nagle's algorithm off, and its TCP connections can", SLOW, async () => {
  const ca = JSON.stringify(readFileSync(testFile("ca.crt"), "utf8"));
  const source = `
const listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, ${PAIR.join(", ")} });
const accepting = listener.accept();
const client = await Deno.connectTls({ hostname: "localhost", port: listener.addr.port, caCerts: [${ca}] });
const plain = Deno.listen({ hostname: "127.0.0.1", port: 0 });
const tcp = await Deno.connect({ hostname: "127.0.0.1", port: plain.addr.port });
console.log("setNoDelay" in (await accepting), "setNoDelay" in client, "setNoDelay" in tcp);
Deno.exit(0);
`;
  expect(await printed(source, "deno")).toBe("false false true");
  expect(difference("small messages over TLS", "deno")).toContain("Nagle");
});

/** Runs a command with a different hosts file. */
const WITH_HOSTS = `mount --bind "$1" /etc/hosts && shift && exec "$@"`;

describe.runIf(spawnSync("unshare", ["-m", "true"]).status === 0)("a name that only the hosts file has", () => {
  const PROGRAM = `
import { Client, ClientPool, Server } from "@netconduit/node";
const server = new Server({ password: "secret123", ipv6: true, port: 0 });
await server.start();
const target = { host: "only-in-hosts.test", port: server.address.port };
const options = { password: "secret123", connectTimeoutMs: 5000, reconnect: { enabled: false } };
const outcome = async (one) => {
  try {
    await one.connect();
    return "connected";
  } catch (error) {
    return error.codeName;
  } finally {
    await one.close();
  }
};
console.log("client:", await outcome(new Client({ ...options, ...target })));
console.log("ipv6 client:", await outcome(new Client({ ...options, ...target, ipv6: true })));
const pool = new ClientPool({ ...options, servers: [target] });
await pool.connect();
console.log("pool:", pool.stats.servers.length);
await pool.close();
await server.stop();
`;

  test.each(RUNTIMES)("is resolved by clients and pools on %s", SLOW, async (runtime) => {
    const path = join(ROOT, "docs-tests", `hosts-${process.pid}-${runtime}.ts`);
    const hosts = join(folder, `hosts-${runtime}`);
    writeFileSync(path, ported(PROGRAM, runtime));
    writeFileSync(
      hosts,
      "127.0.0.1 localhost only-in-hosts.test\n127.0.0.2 only-in-hosts.test\n::1 only-in-hosts.test\n",
    );
    try {
      const command = [executable(runtime), ...argumentsFor(runtime), path];
      const run = spawnSync("unshare", ["-m", "sh", "-c", WITH_HOSTS, "sh", hosts, ...command], {
        cwd: ROOT,
        encoding: "utf8",
      });
      const outcomes = run.stdout.trimEnd().split("\n");
      expect(outcomes).toEqual(["client: connected", "ipv6 client: connected", "pool: 2"]);
    } finally {
      rmSync(path);
    }
  });
});

describe("process.nextTick replaced by a function that never calls back", () => {
  const PROGRAM = `
import process from "node:process";
import { Client, Server } from "@netconduit/node";
const [real, later] = [process.nextTick, setTimeout];
process.nextTick = () => undefined;
const server = new Server({ password: "secret123", host: "127.0.0.1", port: 0 });
server.rpc("answer", () => 42);
const call = (async () => {
  await server.start();
  const client = new Client({ host: "127.0.0.1", port: server.address.port, password: "secret123" });
  await client.connect();
  return await client.call("answer");
})();
const answer = await Promise.race([call, new Promise((resolve) => later(() => resolve("none"), 3000))]);
process.nextTick = real;
console.log(answer);
process.exit(0);
`;

  test.each(RUNTIMES)("stops programs on Node.js alone: on %s", SLOW, async (runtime) => {
    expect(await printed(PROGRAM, runtime)).toBe(runtime === "node" ? "none" : "42");
  });

  test("is named in RUNTIMES.md", () => {
    expect(codeIn(readText(FILE).split("must stay real")[0]?.split("\n").at(-1) ?? "")).toBe("process.nextTick");
  });
});
