/** Servers in a process with a low limit on file descriptors. */
import { connect, type Socket } from "node:net";
import process from "node:process";
import { Client } from "@netconduit/node";
import { afterEach, describe, expect, test } from "vitest";
import { RUNTIMES, type RuntimeName } from "../../docs-tests/lib/runtimes.ts";
import { RunningProgram } from "./run-program.ts";

const DESCRIPTORS = 200;
/** Number of connections that fit in addition to the process's own descriptors, and how many of these may be logging in. */
const MAX_SOCKETS = Math.floor((DESCRIPTORS - 32) * 0.8);
const MAX_PENDING = Math.floor(MAX_SOCKETS / 2);
const SHORT = { stage: "accept", code: "CONNECTION_ERROR", message: expect.stringContaining("descriptors") };
/** Only Linux has `prlimit`. */
const LIMITED = { timeout: 60_000, skip: process.platform !== "linux" };

let program: RunningProgram | null = null;
const sockets: Socket[] = [];
const clients: Client[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await Promise.all(clients.splice(0).map((client) => client.disconnect()));
  program?.kill();
  program = null;
});

async function serve(runtime: RuntimeName): Promise<number> {
  program = new RunningProgram(runtime, ["serve"], ["prlimit", `--nofile=${DESCRIPTORS}`]);
  return (await program.next()) as number;
}

async function join(port: number): Promise<Client> {
  const client = new Client({ host: "127.0.0.1", port, password: "secret123", reconnect: { enabled: false } });
  await client.connect();
  clients.push(client);
  return client;
}

async function stopped(): Promise<void> {
  program?.child.stdin?.end();
  await program?.output;
}

describe.each(RUNTIMES)("a server on %s that has few file descriptors", (runtime) => {
  test("lets clients in beside more silent sockets than it has descriptors, and says so once", LIMITED, async () => {
    const port = await serve(runtime);
    let closed = 0;
    for (let count = 0; count < 2 * DESCRIPTORS; count++) {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {}).on("close", () => closed++);
      sockets.push(socket);
    }
    await expect.poll(() => closed, { timeout: 20_000 }).toBeGreaterThanOrEqual(2 * DESCRIPTORS - MAX_PENDING);
    for (let count = 0; count < 3; count++) {
      const client = await join(port);
      expect(await client.call<string>("ping")).toBe("pong");
      await client.disconnect();
    }
    expect(await program?.next()).toMatchObject(SHORT);
    await stopped();
  });

  test("turns clients away while as many are connected as fit, serves those, and recovers", LIMITED, async () => {
    const port = await serve(runtime);
    const results = await Promise.allSettled(Array.from({ length: DESCRIPTORS }, () => join(port)));
    const failures = results.filter((result) => result.status === "rejected").map(({ reason }) => reason.codeName);
    expect(clients.length).toBeGreaterThan(MAX_PENDING - 1);
    expect(clients.length).toBeLessThanOrEqual(MAX_SOCKETS);
    expect(failures.filter((code) => code !== "CONNECTION_CLOSED" && code !== "CONNECTION_RESET")).toEqual([]);
    expect(await Promise.all(clients.map((client) => client.call<string>("ping")))).toEqual(clients.map(() => "pong"));
    expect(await program?.next()).toMatchObject(SHORT);
    await Promise.all(clients.splice(0).map((client) => client.disconnect()));
    expect(await (await join(port)).call<string>("ping")).toBe("pong");
    await stopped();
  });
});

test(
  "a server on Deno that may not read its limit learns it when the system refuses a connection",
  LIMITED,
  async () => {
    const permissions = ["--allow-net", "--allow-env", "--allow-read=.", "--no-prompt"];
    program = new RunningProgram("deno", ["serve"], ["prlimit", `--nofile=${DESCRIPTORS}`], permissions);
    const port = (await program.next()) as number;
    for (let count = 0; count < 2 * DESCRIPTORS; count++) {
      sockets.push(connect(port, "127.0.0.1").on("error", () => {}));
    }
    expect(await program.next()).toMatchObject({ ...SHORT, message: expect.stringContaining("Too many open files") });
    expect(await (await join(port)).call<string>("ping")).toBe("pong");
    await stopped();
  },
);
