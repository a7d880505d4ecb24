import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { leftOverProcesses, processesOf, RUN_VARIABLE } from "./left-over.ts";

const onLinux = { skip: process.platform !== "linux" };

/** A program that starts a child process; both belong to the run. */
const PARENT = `
const { spawn } = require("node:child_process");
const child = spawn(process.execPath, ["-e", "process.stdin.on('end', process.exit).resume()"], {
  stdio: ["inherit", "ignore", "ignore"],
});
child.on("spawn", () => process.stdout.write(String(child.pid), () => process.exit()));
`;

test("a process that outlives its parent is found, until it is gone", onLinux, async () => {
  const id = randomUUID();
  const parent = spawn(process.execPath, ["-e", PARENT], { env: { ...process.env, [RUN_VARIABLE]: id } });
  onTestFinished(() => void parent.stdin.destroy());
  const [pid] = await once(parent.stdout, "data");
  await once(parent, "exit");
  expect(await leftOverProcesses(id, 0)).toEqual([{ pid: Number(pid), command: expect.stringContaining("stdin") }]);
  parent.stdin.end();
  expect(await leftOverProcesses(id)).toEqual([]);
});

test("processes of other runs, and this one, are none", () => {
  expect(processesOf(randomUUID())).toEqual([]);
});
