import { execFile, execSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Server } from "@netconduit/node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NODE_SOURCES } from "../../docs-tests/lib/runtimes.ts";
import { socketListener } from "../../packages/core/src/test-support/raw-socket.ts";
import { frame, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { testFile } from "../../packages/node/test-data/tls/files.ts";
import { freePort } from "../../scripts/lib/free-port.ts";

const ROOT = join(import.meta.dirname, "../..");
const PASSWORD = "secret";

function run(...args: string[]): Promise<{ code: number; lines: string[]; errors: string }> {
  const all = [...NODE_SOURCES, "conformance/wire/run.ts", ...args];
  return new Promise((resolve) => {
    const env = { ...process.env, NETCONDUIT_PASSWORD: PASSWORD };
    const child = execFile(process.execPath, all, { cwd: ROOT, env }, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, lines: stdout.trimEnd().split("\n"), errors: stderr }),
    );
  });
}

describe("conformance:wire on a server", () => {
  const server = new Server({ password: PASSWORD, host: "127.0.0.1", port: 0, handleSignals: false });
  server.rpc("echo", (params) => params);
  server.onError(() => {});
  beforeAll(() => server.start());
  afterAll(() => server.stop({ drainMs: 0 }));

  test("prints a line for each sentence, skips what the server lacks, and ends with 0", async () => {
    const { code, lines } = await run("--server", `127.0.0.1:${server.address.port}`, "--only", "Correlation ids");
    expect(code).toBe(0);
    expect(lines).toContain("pass     Correlation ids: An answer whose id matches no pending request is ignored.");
    expect(lines).toContain("         the server has no method 'wait'");
    expect(lines.at(-1)).toBe("1 passed, 0 failed, 4 skipped");
  });

  test("leaves out what --except names", async () => {
    const chosen = ["--only", "Correlation ids", "--except", "matches no pending request"];
    const { lines } = await run("--server", `127.0.0.1:${server.address.port}`, ...chosen);
    expect(lines.at(-1)).toBe("0 passed, 0 failed, 4 skipped");
  });
});

test("conformance:wire on a server with TLS checks logins by certificate", async () => {
  const folder = mkdtempSync(join(tmpdir(), "nc-wire-tls-"));
  for (const name of ["ca.crt", "client.crt", "client.key"]) copyFileSync(testFile(name), join(folder, name));
  for (const end of ["crt", "key"]) copyFileSync(testFile(`server.${end}`), join(folder, `stranger.${end}`));
  const server = new Server({
    password: PASSWORD,
    host: "127.0.0.1",
    port: 0,
    tls: { cert: testFile("server.crt"), key: testFile("server.key"), ca: testFile("ca.crt") },
    authenticate: { certificate: ({ peerName }) => (peerName === "test client" ? { name: "wire" } : null) },
  });
  server.onError(() => {});
  await server.start();
  const { port } = server.address;
  const tls = ["--tls", `${port}:${folder}`];
  const { code, lines } = await run("--server", `127.0.0.1:${port}`, ...tls, "--only", "`AUTH_SUCCESS` follows, or");
  await server.stop({ drainMs: 0 });
  rmSync(folder, { recursive: true });
  expect([code, lines.at(-1)]).toEqual([0, "1 passed, 0 failed, 0 skipped"]);
});

describe("conformance:wire on a server that it can kill and start again", () => {
  const folder = mkdtempSync(join(tmpdir(), "nc-wire-store-"));
  const program = [process.execPath, ...NODE_SOURCES, "conformance/wire/server.ts"]
    .map((part) => `"${part}"`)
    .join(" ");
  afterAll(() => {
    process.kill(Number(readFileSync(join(folder, "pid"), "utf8")), "SIGKILL");
    rmSync(folder, { recursive: true });
  });

  test("checks what its store keeps, by kill -9 and a file", async () => {
    const port = await freePort();
    const command = `${program} ${port} "${folder}"`;
    execSync(command, { cwd: ROOT, env: { ...process.env, NETCONDUIT_PASSWORD: PASSWORD }, stdio: "inherit" });
    const restart = ["--restart", command, "--timeout-ms", "60000"];
    const { code, lines } = await run("--server", `127.0.0.1:${port}`, ...restart, "--only", " in a store ");
    expect(lines.filter((line) => /^(pass|fail|skipped)/.test(line)).map((line) => line.slice(0, 41))).toEqual([
      "pass     Once: A server may keep keys and",
      "pass     Resuming: A server that keeps se",
      "skipped  Closing: A server that keeps ses",
    ]);
    expect(code).toBe(0);
  });
});

test("a server that answers everything by AUTH_FAILURE fails sentences by name, and the exit code is 1", async () => {
  const listener = await socketListener((peer) => {
    peer.send(Type.AUTH_FAILURE, { reason: "no", code: 3001 });
    peer.end();
  });
  const { code, lines } = await run("--server", `127.0.0.1:${listener.port}`, "--only", "AUTH_FAILURE: ");
  await listener.close();
  expect(code).toBe(1);
  expect(lines).toContain("fail     AUTH_FAILURE: | 7014 | `UNEXPECTED_FRAME` | a frame other than the expected one |");
});

test("a server that is silent fails sentences for that", async () => {
  const listener = await socketListener((peer) => peer.write(frame(Type.ACK)));
  const { code, lines } = await run(
    ...[
      "--server",
      `127.0.0.1:${listener.port}`,
      "--only",
      "7014 | `UNEXPECTED_FRAME` | a frame",
      "--timeout-ms",
      "200",
    ],
  );
  await listener.close();
  expect([code, lines.at(-1)]).toEqual([1, "0 passed, 1 failed, 0 skipped"]);
});

test("a check that waits in vain says what came", async () => {
  const listener = await socketListener(() => undefined);
  const only = ["--only", "7014 | `UNEXPECTED_FRAME` | a frame", "--timeout-ms", "200"];
  const { lines } = await run("--server", `127.0.0.1:${listener.port}`, ...only);
  await listener.close();
  expect(lines).toContain("         Nothing more came within 200 ms; received: nothing");
});

test("a client that doesn't speak TLS isn't asked for certificates", async () => {
  const program = `const socket = require("node:net").connect({port}, "127.0.0.1"); socket.on("error", () => {}); socket.write("CNDT" + "x".repeat(60))`;
  const command = `"${process.execPath}" -e '${program}'`;
  const { lines } = await run("--client", command, "--only", "`AUTH_SUCCESS` follows, or", "--timeout-ms", "5000");
  expect(lines).toContain("         the client doesn't speak TLS");
});

test("conformance:wire on a client program starts it for each sentence, and ends with 0", async () => {
  const command = `"${process.execPath}" ${NODE_SOURCES.join(" ")} conformance/wire/client.ts {port}`;
  const { code, lines } = await run("--client", command, "--only", "RPC_ERROR: ", "--timeout-ms", "60000");
  expect([code, lines.at(-1)]).toEqual([0, "2 passed, 0 failed, 0 skipped"]);
});

test("arguments that make no sense end with 2 and the usage", async () => {
  for (const args of [
    [],
    ["--server", "nowhere"],
    ["--server", "127.0.0.1:1", "--tls", "1"],
    ["--client", "no port"],
    ["--colour"],
  ]) {
    const { code, errors } = await run(...args);
    expect([code, errors]).toEqual([2, expect.stringContaining("usage:")]);
  }
});
