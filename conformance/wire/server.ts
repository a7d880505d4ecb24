/**
 * `node … server.ts PORT FOLDER`: starts this library's server under test with a store in the folder, and exits when
 * it listens. First kills the server that it started there before, so that it can be used as the command of
 * `--restart`.
 */
import { spawn } from "node:child_process";
import { openSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileStore, Server } from "@netconduit/node";
import { addHandlers } from "./server-program.ts";

const [port = "", folder = "", serves] = process.argv.slice(2);
const pidFile = join(folder, "pid");

async function serve(): Promise<void> {
  const server = new Server({
    password: process.env["NETCONDUIT_PASSWORD"] ?? "",
    host: "127.0.0.1",
    port: Number(port),
    resume: { store: await fileStore(join(folder, "store.db")) },
  });
  server.onError(() => {});
  addHandlers(server);
  await server.start();
  process.send?.("listens");
  process.disconnect?.();
}

/** Kills the former server with SIGKILL, so that it can't do anything more. */
async function killFormer(): Promise<void> {
  const pid = await readFile(pidFile, "utf8").catch(() => null);
  if (pid === null) return;
  await rm(pidFile);
  process.kill(Number(pid), "SIGKILL");
}

async function start(): Promise<void> {
  await killFormer();
  const log = openSync(join(folder, "log"), "a");
  const args = [...process.execArgv, import.meta.filename, port, folder, "serve"];
  const server = spawn(process.execPath, args, { detached: true, stdio: ["ignore", log, log, "ipc"] });
  await writeFile(pidFile, String(server.pid));
  await new Promise<void>((resolve, reject) => {
    server.once("message", () => resolve());
    server.once("exit", (code) => reject(new Error(`The server ended with ${code}; see ${join(folder, "log")}`)));
  });
  server.unref();
}

await (serves === "serve" ? serve() : start());
