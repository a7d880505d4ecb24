import { execFile } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, onTestFinished, test } from "vitest";
import { makeFile, newFolder } from "../lib/bench-files.ts";
import { certificates } from "../lib/certificates.ts";
import { runtimeCommand } from "../lib/runtimes.ts";
import { loadPeer } from "./index.ts";
import { exercise } from "./support/exercise.ts";

/** Generous for busy machines, and for pip, which may have to install netconduit. A peer takes at most a second. */
const TIMEOUT_MS = 120_000;
const MAIN: string = fileURLToPath(new URL("support/exercise-main.ts", import.meta.url));
const BENCH: string = fileURLToPath(new URL("..", import.meta.url));

const ON_NODE = ["socket.io", "rpc-websockets", "capnweb", "grpc-js", "nats"] as const;
const ON_OTHERS = [
  { name: "bun-websocket", runtime: "bun" },
  { name: "deno-websocket", runtime: "deno" },
] as const;

/** CI installs all peers. */
function skipIfMissing(reason: string | null, skip: (note: string) => void): void {
  if (reason === null) return;
  if (process.env["CI"] !== undefined) throw new Error(reason);
  skip(reason);
}

describe.each(ON_NODE)("the peer %s", (name) => {
  test.for([
    ["over TCP", null],
    ["over TLS", certificates()],
  ] as const)("does everything it has, %s", { timeout: TIMEOUT_MS }, async ([, tls], { skip }) => {
    const peer = await loadPeer(name);
    skipIfMissing(await peer.missing(), skip);
    await exercise(peer, tls);
  });
});

describe.each(ON_OTHERS)("the peer $name", ({ name, runtime }) => {
  test("does all its operations over TCP and TLS", { timeout: TIMEOUT_MS }, async ({ skip }) => {
    skipIfMissing(await (await loadPeer(name)).missing(), skip);
    const [command, args] = runtimeCommand(runtime);
    // Rejects with the output if the exit code isn't 0.
    await promisify(execFile)(command, [...args, MAIN, name], { cwd: BENCH });
  });
});

// scp is a program of the system, and its server isn't installed everywhere.
test("scp copies files both ways", { timeout: TIMEOUT_MS }, async ({ skip }) => {
  const peer = await loadPeer("scp");
  const reason = await peer.missing();
  if (reason !== null) skip(reason);
  const folder = newFolder();
  onTestFinished(() => rm(folder, { recursive: true }));
  const [sent, fetched] = [join(folder, "sent"), join(folder, "fetched")];
  const sha256 = await makeFile(sent, 100_000);
  const server = await peer.startServer({ tls: null, maxConnections: 1, maxPayloadBytes: 1, methods: 0 });
  onTestFinished(() => server.close());
  const client = await peer.connect(server.target, { tls: null, maxPayloadBytes: 1 });
  const hashes = [await client.sendFile?.(sent), await client.fetchFile?.(fetched)];
  expect(await Promise.all(hashes.map((hash) => (typeof hash === "function" ? hash() : hash)))).toEqual([
    sha256,
    sha256,
  ]);
  await client.close();
});

describe.each([...ON_NODE, ...ON_OTHERS.map(({ name }) => name), "netconduit-python", "scp"])("the peer %s", (name) => {
  test("has a description, documentation and a version", { timeout: TIMEOUT_MS }, async ({ skip }) => {
    const peer = await loadPeer(name);
    expect(peer.name).toBe(name);
    expect(peer.title).not.toBe("");
    expect(peer.usage).toMatch(/\.$/);
    expect(new URL(peer.documentation).protocol).toBe("https:");
    const reason = await peer.missing();
    if (name === "scp" && reason !== null) skip(reason);
    skipIfMissing(reason, skip);
    expect(await peer.version()).toMatch(/^\d+\.\d+/);
  });
});
