import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Server } from "../packages/node/src/index.ts";
import { testFile } from "../packages/node/test-data/tls/files.ts";
import { ROOT, readText, tableRows } from "./lib/markdown.ts";
import { runProgram } from "./lib/run-program.ts";
import { executable } from "./lib/runtimes.ts";

const FILE = "RUNTIMES.md";
const HEADING = "Permissions on Deno";
const COLUMN = "The program";

/** Runs several processes one after the other, possibly on a busy machine. */
const SLOW = { timeout: 120_000 };

const IMPORT = 'import { Client, ConduitError, Server } from "@netconduit/deno";';

/** A program that runs `steps` and prints `done`, or the code and message of the error. */
function program(steps: string): string {
  return `${IMPORT}
try {
  ${steps}
  console.log("done");
} catch (failure) {
  console.log(failure instanceof ConduitError ? failure.codeName + ": " + failure.message : failure);
}
`;
}

function listening(options: string): string {
  const server = `const server = new Server({ password: "secret123", ${options} });`;
  return program(`${server}\n  await server.start();\n  await server.stop();`);
}

function connecting(options: string): string {
  const client = `const client = new Client({ password: "secret123", reconnect: { enabled: false }, ${options} });`;
  return program(`${client}\n  await client.connect();\n  await client.disconnect();`);
}

function pem(name: string): string {
  return JSON.stringify(readFileSync(testFile(name), "utf8"));
}

let folder: string;
let ownSocket: string;
/** Servers for the programs that connect. */
let tcp: Server;
let unix: Server;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "netconduit-permissions-"));
  ownSocket = join(folder, "own.sock");
  tcp = new Server({ password: "secret123", host: "127.0.0.1", port: 0 });
  unix = new Server({ password: "secret123", path: join(folder, "app.sock") });
  await Promise.all([tcp.start(), unix.start()]);
});

afterAll(async () => {
  await Promise.all([tcp.stop(), unix.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

interface Case {
  readonly source: () => string;
  /** Real values that replace the documentation's example values. */
  readonly replaced?: () => readonly (readonly [shown: string, here: string])[];
  /** Flags needed in addition to the row's. */
  readonly besides?: string;
}

const pairFiles = `cert: ${JSON.stringify(testFile("server.crt"))}, key: ${JSON.stringify(testFile("server.key"))}`;
const pairText = `cert: ${pem("server.crt")}, key: ${pem("server.key")}`;
const onAnyPort: Case["replaced"] = () => [["8080", "0"]];
const onPortOfServer: Case["replaced"] = () => [["8080", String(tcp.address.port)]];

/** By the table's first column. */
const cases: Readonly<Record<string, Case>> = {
  "listens on 127.0.0.1, port 8080": { source: () => listening('host: "127.0.0.1", port: 0'), replaced: onAnyPort },
  "listens on all addresses, port 8080": { source: () => listening('host: "0.0.0.0", port: 0'), replaced: onAnyPort },
  "listens on localhost, port 8080": { source: () => listening('host: "localhost", port: 0'), replaced: onAnyPort },
  "connects to 127.0.0.1, port 8080": {
    source: () => connecting(`host: "127.0.0.1", port: ${tcp.address.port}`),
    replaced: onPortOfServer,
  },
  "connects to localhost, port 8080": {
    source: () => connecting(`host: "localhost", port: ${tcp.address.port}`),
    replaced: onPortOfServer,
  },
  "listens at /run/a.sock": {
    source: () => listening(`path: ${JSON.stringify(ownSocket)}`),
    replaced: () => [["/run/a.sock", ownSocket]],
  },
  "connects to /run/a.sock": {
    source: () => connecting(`path: ${JSON.stringify(unix.address.path)}`),
    replaced: () => [["/run/a.sock", unix.address.path ?? ""]],
  },
  "reads its certificate and key from files": {
    source: () => listening(`host: "127.0.0.1", port: 0, tls: { ${pairFiles} }`),
    replaced: () => [
      ["server.crt", testFile("server.crt")],
      ["server.key", testFile("server.key")],
    ],
    besides: "--allow-net=127.0.0.1:0",
  },
  "passes them as PEM text": {
    source: () => listening(`host: "127.0.0.1", port: 0, tls: { ${pairText} }`),
    besides: "--allow-net=127.0.0.1:0",
  },
  "serves files of /srv/box": {
    source: () =>
      program(`const options = { host: "127.0.0.1", password: "secret123" };
  const server = new Server({ ...options, port: 0 });
  const dir = ${JSON.stringify(folder)};
  server.files("box", { dir, upload: true, download: true, remove: true, quotaBytes: 1e6 });
  server.onError(({ codeName, cause }) => console.log(codeName + ": " + cause.message));
  await server.start();
  const client = new Client({ ...options, port: server.address.port });
  await client.connect();
  const box = client.files("box");
  try {
    await box.upload(new Uint8Array(5), { name: "a" });
    await box.download("a", dir + "/b", { resume: true });
    await box.remove("a");
    await box.remove("b");
  } catch {
    // The server's hook has printed it.
  }
  await client.disconnect();
  await server.stop();`),
    replaced: () => [["/srv/box", folder]],
    besides: "--allow-net=127.0.0.1",
  },
  "uses compression, and `run()` with SIGTERM": {
    source: () =>
      program(`const options = { host: "127.0.0.1", password: "secret123", enableCompression: true };
  const server = new Server({ ...options, port: 0 });
  server.rpc("long", () => "x".repeat(5000));
  await server.start();
  const client = new Client({ ...options, port: server.address.port });
  await client.connect();
  if ((await client.call("long") as string).length !== 5000) throw new Error("not what was sent");
  await client.disconnect();
  await server.stop();`),
    besides: "--allow-net=127.0.0.1",
  },
};

/** Splits flags by value: `--allow-read=a,b` becomes two. */
function flagsOf(cell: string, { replaced, besides }: Case): string[] {
  let flags = [...cell.matchAll(/`(--[^`]+)`/g)].map(([, flag = ""]) => flag).join(" ");
  for (const [shown, here] of replaced?.() ?? []) flags = flags.replaceAll(shown, here);
  const single = flags.split(" ").flatMap((flag) => {
    const [name, values = ""] = flag.split("=");
    return values.split(",").map((value) => `${name}=${value}`);
  });
  return [...single, besides ?? ""].filter((flag) => flag.includes("=") && !flag.startsWith("="));
}

async function run(source: string, permissions: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram(source, { runtime: "deno", permissions });
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout.trimEnd();
}

describe.runIf(process.platform !== "win32")(`the table "${HEADING}" of RUNTIMES.md`, () => {
  const rows = tableRows(readText(FILE), HEADING, COLUMN);

  test("has exactly the programs that are tested here", () => {
    expect(rows.map((row) => row[COLUMN])).toEqual(Object.keys(cases));
  });

  test.each(Object.entries(cases))(
    "a program that %s runs with the row's flags, and not without any of them",
    SLOW,
    async (...row) => {
      const [title, one] = row;
      const flags = flagsOf(rows.find((other) => other[COLUMN] === title)?.["Flags"] ?? "", one);
      expect(await run(one.source(), flags)).toBe("done");
      for (const missing of flags) {
        const printed = await run(
          one.source(),
          flags.filter((flag) => flag !== missing),
        );
        expect(printed).toMatch(/^(INVALID_CONFIG|PERMISSION_DENIED): /);
        expect(printed).toContain(`${missing.split("=")[0]} flag`);
      }
    },
  );

  test("run() ends on SIGTERM without a permission for it", SLOW, async () => {
    const source = program(`const server = new Server({ password: "secret123", host: "127.0.0.1", port: 0 });
  server.onListening(() => console.log("listening"));
  await server.run();`);
    const flags = ["run", "--quiet", "--no-prompt", "--no-check", "--allow-net=127.0.0.1:0", "--ext=ts", "-"];
    const child = spawn(executable("deno"), flags, { cwd: ROOT });
    let printed = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      printed += text;
      if (text.includes("listening")) child.kill("SIGTERM");
    });
    child.stdin.end(source);
    const [code] = await once(child, "close");
    expect({ code, printed }).toEqual({ code: 0, printed: "listening\ndone\n" });
  });
});
