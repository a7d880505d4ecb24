/** OpenSSH: files by `scp`, with a separate `sshd` and generated keys. */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { freePort } from "../../scripts/lib/free-port.ts";
import { newFolder, sha256Of } from "../lib/bench-files.ts";
import type { BenchClient, BenchServer, Peer, ServerOptions, Target } from "../lib/peer.ts";
import { closePlain, connectPlain, startPlainServer } from "../lib/plain-server.ts";

const SSHD = "/usr/sbin/sshd";
const PROGRAMS = [SSHD, "/usr/bin/scp", "/usr/bin/ssh-keygen"] as const;
/** The privilege separation directory of Debian's sshd, which is normally created when the system's sshd starts. */
const PRIVILEGE_SEPARATION = "/run/sshd";
const POLL_MS = 20;
const POLLS = 500;

const run = promisify(execFile);

async function makeKey(path: string): Promise<void> {
  await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", path]);
}

async function isListening(port: number): Promise<boolean> {
  const socket = createConnection({ port, host: "127.0.0.1" });
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function startSshd(folder: string, port: number): Promise<ChildProcess> {
  await Promise.all([makeKey(join(folder, "host")), makeKey(join(folder, "user"))]);
  if (userInfo().uid === 0) await mkdir(PRIVILEGE_SEPARATION, { recursive: true, mode: 0o755 });
  const lines = [
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${join(folder, "host")}`,
    `AuthorizedKeysFile ${join(folder, "user.pub")}`,
    // The folder's parent is writable by others.
    "StrictModes no",
    "PidFile none",
    "Subsystem sftp internal-sftp",
  ];
  await writeFile(join(folder, "sshd_config"), `${lines.join("\n")}\n`);
  const sshd = spawn(SSHD, ["-D", "-e", "-f", join(folder, "sshd_config")], { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  sshd.stderr?.on("data", (text) => {
    log += text;
  });
  for (let i = 0; i < POLLS && sshd.exitCode === null; i++) {
    if (await isListening(port)) return sshd;
    await sleep(POLL_MS);
  }
  sshd.kill();
  throw new Error(`sshd did not start:\n${log}`);
}

async function startServer(_options: ServerOptions): Promise<BenchServer> {
  const folder = newFolder();
  const port = await freePort();
  const sshd = await startSshd(folder, port);
  // Each `scp` opens its own connection: this one represents the client.
  const control = await startPlainServer(null, (socket) => void socket.resume());
  process.on("exit", () => sshd.kill());
  return {
    target: { ...control.target, extra: { folder, port: String(port) } },
    connectionCount: () => control.sockets.size,
    async close() {
      await control.close();
      if (sshd.exitCode === null) {
        const ended = once(sshd, "exit");
        sshd.kill();
        await ended;
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function connect(target: Target): Promise<BenchClient> {
  const { folder = "", port = "" } = target.extra ?? {};
  const stored = join(folder, "file");
  const remote = `${userInfo().username}@127.0.0.1:${stored}`;
  const control = await connectPlain(target, null);
  // The host key has just been generated, in the same folder.
  const options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"];
  const common = ["-q", "-P", port, "-i", join(folder, "user"), ...options.flatMap((option) => ["-o", option])];
  return {
    async sendFile(path) {
      await run("scp", [...common, path, remote]);
      return () => sha256Of(stored);
    },
    async fetchFile(path) {
      await run("scp", [...common, remote, path]);
      return () => sha256Of(path);
    },
    close: () => closePlain(control),
  };
}

const NO_MESSAGES = "copies files only";

export const peer: Peer = {
  name: "scp",
  title: "scp (OpenSSH)",
  usage:
    "`scp` of one file at a time, with its default cipher, to an `sshd` on the loopback. It logs in for each file, and " +
    "neither hashes nor syncs it; the bench checks the hash afterwards. Measured in the scenario of files only.",
  documentation: "https://man.openbsd.org/scp",
  runtimes: { server: ["node"], client: ["node"] },
  scenarios: ["files"],
  mixed: false,
  lacks: {
    rpc: NO_MESSAGES,
    request: NO_MESSAGES,
    broadcast: NO_MESSAGES,
    binary: NO_MESSAGES,
    methods: NO_MESSAGES,
    memory: NO_MESSAGES,
    connects: NO_MESSAGES,
    tls: "has encryption of its own",
  },
  async missing() {
    const absent = PROGRAMS.find((path) => !existsSync(path));
    return absent === undefined ? null : `is not installed (no ${absent})`;
  },
  async version() {
    // `ssh -V` prints to standard error: `OpenSSH_9.2p1 Debian-2, OpenSSL …`.
    const { stderr } = await run("ssh", ["-V"]);
    return (/^OpenSSH_([^,]*)/.exec(stderr) ?? [])[1] ?? stderr;
  },
  startServer,
  connect,
};
