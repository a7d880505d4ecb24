/** netconduit for Python: its server and its client, each in a Python process that takes the bench's commands. */
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
  throw new Error("netconduit for Python runs as programs of its own, see Peer.program");
}

export const peer: Peer = {
  name: "netconduit-python",
  title: "netconduit (Python)",
  usage:
    "Its server and its client, both on Python's asyncio, the loops of the bench written in Python; parameters are a " +
    "pydantic model. Its replies to messages name no request, so the client tells them apart by an id in the data.",
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
