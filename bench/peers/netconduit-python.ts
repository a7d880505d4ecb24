/** netconduit for Python: server and client each run in a Python process that implements the bench's commands. */
import { fileURLToPath } from "node:url";
import { pythonEnvironment } from "../../interop/python-environment.ts";
import type { Peer, Side } from "../lib/peer.ts";

async function program(side: Side): Promise<readonly [string, ...string[]]> {
  const { python } = await installed();
  return [python, "-B", fileURLToPath(new URL(`python/${side}.py`, import.meta.url))];
}

async function installed(): Promise<{ readonly python: string; readonly version: string }> {
  const environment = await pythonEnvironment();
  if (environment.python === null) throw new Error(`netconduit for Python is missing: ${environment.reason}`);
  return environment;
}

async function notInThisProcess(): Promise<never> {
  throw new Error("netconduit for Python runs in its own processes, see Peer.program");
}

export const peer: Peer = {
  name: "netconduit-python",
  title: "netconduit (Python)",
  usage:
    "Server and client on Python's asyncio, with the bench's loops in Python; parameters are a pydantic model. Its " +
    "replies to messages have no request id, so the client matches them by an id in the data.",
  documentation: "https://pypi.org/project/netconduit/",
  runtimes: { server: ["node"], client: ["node"] },
  mixed: false,
  lacks: { tls: "its descriptors have options for TLS, but its sockets make no use of them" },
  maxConnections: {
    count: 1000,
    reason: "each connection wakes a task every second, on both ends, which is all that one core can do for more",
  },
  async missing() {
    const environment = await pythonEnvironment();
    return environment.python === null ? `there is no Python with netconduit: ${environment.reason}` : null;
  },
  version: async () => (await installed()).version,
  program,
  startServer: notInThisProcess,
  connect: notInThisProcess,
};
