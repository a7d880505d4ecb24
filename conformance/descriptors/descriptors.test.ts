/** Servers and clients on Node.js that have run out of file descriptors. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { Client, Server } from "@netconduit/node";
import { afterEach, expect, test } from "vitest";
import { NODE_SOURCES } from "../../docs-tests/lib/runtimes.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Node itself needs about two dozen of these. */
const DESCRIPTORS = 64;
/** Only Linux has `prlimit`. */
const LIMITED = { timeout: 60_000, skip: process.platform !== "linux" };
const password = "secret123";
const host = "127.0.0.1";

const program = (...args: string[]): [string, string[]] => [
  "prlimit",
  [`--nofile=${DESCRIPTORS}`, process.execPath, ...NODE_SOURCES, "conformance/descriptors/program.ts", ...args],
];

let child: ChildProcess | null = null;
let server: Server | null = null;

afterEach(async () => {
  child?.kill("SIGKILL");
  child = null;
  await server?.stop();
  server = null;
});

test(
  "a server without descriptors hangs up on new clients, serves the others, and accepts again",
  LIMITED,
  async () => {
    child = spawn(...program("serve"), { cwd: ROOT, stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const [port] = (await once(child, "message")) as [number];
    const dials = Array.from({ length: 2 * DESCRIPTORS }, async () => {
      const client = new Client({ host, port, password, reconnect: { enabled: false } });
      await client.connect();
      return client;
    });
    const results = await Promise.allSettled(dials);
    const clients = results.filter((result) => result.status === "fulfilled").map(({ value }) => value);
    const codes = results
      .filter((result) => result.status === "rejected")
      .map(({ reason }) => reason.codeName as string);
    expect(clients.length).toBeGreaterThan(0);
    expect(clients.length).toBeLessThan(DESCRIPTORS);
    expect(codes.filter((code) => code !== "CONNECTION_CLOSED" && code !== "CONNECTION_RESET")).toEqual([]);
    expect(await Promise.all(clients.map((client) => client.call<string>("ping")))).toEqual(clients.map(() => "pong"));
    await Promise.all(clients.map((client) => client.disconnect()));
    const next = new Client({ host, port, password });
    await next.connect();
    expect(await next.call<string>("ping")).toBe("pong");
    await next.disconnect();
    const exit = once(child, "exit");
    child.send("stop");
    expect((await exit)[0]).toBe(0);
  },
);

test("a client without a descriptor says so, and connects once there is one", LIMITED, async () => {
  server = new Server({ host, port: 0, password, handleSignals: false });
  server.rpc("ping", () => "pong");
  await server.start();
  const { port } = server.address;
  const { stdout } = await promisify(execFile)(...program("dial", String(port)), { cwd: ROOT });
  expect(JSON.parse(stdout)).toEqual({
    codeName: "CONNECTION_ERROR",
    message: expect.stringContaining(`Cannot connect to ${host}:${port}: connect EMFILE ${host}:${port}`),
    cause: "EMFILE",
    answer: "pong",
  });
});

test("connections that ended, failed or were aborted leave no descriptor open", LIMITED, async () => {
  server = new Server({ host, port: 0, password, handleSignals: false });
  await server.start();
  const { port } = server.address;
  const clientOf = (options: object): Client =>
    new Client({ host, port, password, reconnect: { enabled: false }, ...options });
  const openDescriptors = (): number => readdirSync("/proc/self/fd").length;
  const round = async (): Promise<void> => {
    const ended = clientOf({});
    await ended.connect();
    await ended.disconnect();
    await expect(clientOf({ password: "wrong" }).connect()).rejects.toMatchObject({ codeName: "AUTH_FAILED" });
    await expect(clientOf({ port: 1 }).connect()).rejects.toMatchObject({ codeName: "CONNECTION_REFUSED" });
    const aborted = clientOf({});
    const connecting = expect(aborted.connect()).rejects.toMatchObject({ codeName: "CONNECTION_CLOSED" });
    await aborted.disconnect();
    await connecting;
  };
  await round();
  const before = openDescriptors();
  for (let count = 0; count < 10; count += 1) await round();
  await expect.poll(openDescriptors).toBeLessThanOrEqual(before);
});
