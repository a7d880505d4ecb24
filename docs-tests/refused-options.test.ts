import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { testFile } from "../packages/node/test-data/tls/files.ts";
import { codeIn, readText, tableRows } from "./lib/markdown.ts";
import { runProgram } from "./lib/run-program.ts";
import { ported, RUNTIMES } from "./lib/runtimes.ts";

const FILE = "RUNTIMES.md";
const HEADING = "Unsupported options";

/** Runs a process, possibly on a busy machine. */
const SLOW = { timeout: 120_000 };

function pem(name: string): string {
  return JSON.stringify(readFileSync(testFile(name), "utf8"));
}

const SERVER_PAIR = `cert: ${pem("server.crt")}, key: ${pem("server.key")}`;
const CLIENT_PAIR = `ca: ${pem("ca.crt")}, cert: ${pem("client.crt")}, key: ${pem("client.key")}`;

interface Case {
  readonly server: string;
  readonly client: string;
  /** Options for the server on Deno, where the others would fail before the client runs. */
  readonly serverOnDeno?: string;
  /** Another acceptable outcome of `connect()` where the options are supported. */
  readonly unless?: string;
}

/** Options of a server and its client, by the table's first column. */
const cases: Readonly<Record<string, Case>> = {
  "`tls.ca` of a server": {
    server: `host: "127.0.0.1", port: 0, tls: { ${SERVER_PAIR}, ca: ${pem("ca.crt")} }`,
    client: `host: "127.0.0.1", tls: { ca: ${pem("ca.crt")} }`,
  },
  "`tls.requireClientCertificate` of a server": {
    server: `host: "127.0.0.1", port: 0, tls: { ${SERVER_PAIR}, ca: ${pem("ca.crt")}, requireClientCertificate: true }`,
    client: `host: "127.0.0.1", tls: { ${CLIENT_PAIR} }`,
  },
  "`tls` with `path`, of a server": {
    server: `path, tls: { ${SERVER_PAIR} }`,
    client: `path, tls: { ca: ${pem("ca.crt")}, serverName: "localhost" }`,
  },
  "`tls` with `path`, of a client": {
    server: `path, tls: { ${SERVER_PAIR} }`,
    serverOnDeno: "path",
    client: `path, tls: { ca: ${pem("ca.crt")}, serverName: "localhost" }`,
  },
  "`tls.cert` with a `tls.serverName` other than `host`": {
    server: `host: "127.0.0.1", port: 0, tls: { ${SERVER_PAIR} }`,
    client: `host: "127.0.0.1", tls: { ${CLIENT_PAIR}, serverName: "localhost" }`,
  },
  "`tls.cert` with `ipv6: true` and a name as `host`": {
    server: `host: "::1", port: 0, tls: { ${SERVER_PAIR} }`,
    client: `host: "localhost", ipv6: true, tls: { ${CLIENT_PAIR} }`,
    // Not every machine resolves this name to an IPv6 address.
    unless: "HOST_UNREACHABLE",
  },
};

/** A program that prints the outcomes of `start()` and `connect()`. */
function program(server: string, client: string): string {
  const path = join(tmpdir(), `refused-${process.pid}-${Math.random().toString(36).slice(2)}.sock`);
  return `
import { Client, ConduitError, Server } from "@netconduit/node";

async function outcome(name: string, step: Promise<unknown>): Promise<void> {
  try {
    await step;
    console.log(name + ": done");
  } catch (failure) {
    console.log(name + ": " + (failure instanceof ConduitError ? failure.codeName : failure));
  }
}
const path = ${JSON.stringify(path)};
const server = new Server({ password: "secret123", ${server} });
await outcome("start()", server.start());
if (server.isRunning) {
  const options = { password: "secret123", reconnect: { enabled: false }, ${client} };
  const client = new Client("path" in options ? options : { ...options, port: server.address.port });
  await outcome("connect()", client.connect());
  await client.disconnect();
}
await server.stop();
`;
}

describe(`the table "${HEADING}" of RUNTIMES.md`, () => {
  const rows = tableRows(readText(FILE), HEADING, "Option");

  test("has exactly the cases that are tested here", () => {
    expect(rows.map((row) => row["Option"])).toEqual(Object.keys(cases));
  });

  describe.each(Object.entries(cases))("%s", (option, { server, client, serverOnDeno, unless }) => {
    const row = rows.find((one) => one["Option"] === option) ?? {};
    const step = codeIn(row["Fails in"] ?? "");

    test.each(RUNTIMES)("works, or fails where the table says, on %s", SLOW, async (runtime) => {
      const source = program(runtime === "deno" ? (serverOnDeno ?? server) : server, client);
      const { stdout, stderr } = await runProgram(ported(source, runtime), { runtime, permissions: ["--allow-all"] });
      expect(stderr).toBe("");
      const outcomes = stdout.trimEnd().split("\n");
      const refused = (row["Unsupported on"] ?? "").toLowerCase().split(", ").includes(runtime);
      if (refused) expect(outcomes.at(-1)).toBe(`${step}: INVALID_CONFIG`);
      else if (outcomes.at(-1) !== `connect(): ${unless}`)
        expect(outcomes).toEqual(["start(): done", "connect(): done"]);
    });
  });
});
