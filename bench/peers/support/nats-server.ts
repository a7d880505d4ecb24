/** Starts and stops nats-server. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { findNatsServer, HOW_TO_GET_NATS } from "../../../scripts/lib/nats-server.ts";
import type { Certificates } from "../../lib/peer.ts";

/** Lines that the server logs when it is ready; port -1 selects a free port. */
const CLIENT_PORT = /Listening for client connections on 127\.0\.0\.1:(\d+)/;
const MONITOR_PORT = /Starting http monitor on 127\.0\.0\.1:(\d+)/;

/** Starts the server, prints its process id, and kills it when standard input ends, so that it can't outlive its parent. */
const GUARD = '"$0" -c "$1" < /dev/null & echo $!; read -r line; kill $!; wait $!';

export interface NatsServerOptions {
  readonly tls: Certificates | null;
  readonly maxConnections: number;
  readonly maxPayloadBytes: number;
}

/** Counters from the monitoring page. */
export interface NatsFacts {
  readonly connections: number;
  readonly subscriptions: number;
  /** Messages received and delivered since the start. */
  readonly in_msgs: number;
  readonly out_msgs: number;
}

/** A nats-server on free ports of 127.0.0.1. */
export class NatsServer {
  readonly port: number;
  readonly processId: number;
  private readonly monitorPort: number;
  private readonly guard: ChildProcessByStdio<Writable, Readable, Readable>;
  private readonly folder: string;

  private constructor(
    guard: ChildProcessByStdio<Writable, Readable, Readable>,
    folder: string,
    facts: { readonly port: number; readonly monitorPort: number; readonly processId: number },
  ) {
    this.guard = guard;
    this.folder = folder;
    this.port = facts.port;
    this.monitorPort = facts.monitorPort;
    this.processId = facts.processId;
  }

  static async start(options: NatsServerOptions): Promise<NatsServer> {
    const program = await findNatsServer();
    if (program === null) throw new Error(HOW_TO_GET_NATS);
    const folder = await mkdtemp(join(tmpdir(), "nats-"));
    try {
      const file = join(folder, "nats.conf");
      await writeFile(file, await configuration(folder, options));
      const guard = spawn("sh", ["-c", GUARD, program.path, file], { stdio: ["pipe", "pipe", "pipe"] });
      return new NatsServer(guard, folder, await started(guard));
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Number of connections, from the monitoring page. */
  async connectionCount(): Promise<number> {
    return (await this.facts()).connections;
  }

  /** The counters of the monitoring page. */
  async facts(): Promise<NatsFacts> {
    const response = await fetch(`http://127.0.0.1:${this.monitorPort}/varz`);
    return (await response.json()) as NatsFacts;
  }

  async close(): Promise<void> {
    if (this.guard.exitCode === null) {
      const ended = once(this.guard, "exit");
      this.guard.stdin.end();
      await ended;
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function configuration(folder: string, options: NatsServerOptions): Promise<string> {
  const { tls, maxConnections, maxPayloadBytes } = options;
  const lines = [
    'listen: "127.0.0.1:-1"',
    'http: "127.0.0.1:-1"',
    // Includes the service's own connection.
    `max_connections: ${maxConnections + 16}`,
    // At least the default.
    `max_payload: ${Math.max(maxPayloadBytes, 1024 * 1024)}`,
  ];
  if (tls !== null) {
    const [cert, key] = [join(folder, "server.crt"), join(folder, "server.key")];
    await writeFile(cert, tls.cert);
    await writeFile(key, tls.key, { mode: 0o600 });
    lines.push(`tls { cert_file: ${JSON.stringify(cert)}, key_file: ${JSON.stringify(key)} }`);
  }
  return `${lines.join("\n")}\n`;
}

/** Waits until the server accepts connections, and reads its ports from the log. */
function started(
  guard: ChildProcessByStdio<Writable, Readable, Readable>,
): Promise<{ port: number; monitorPort: number; processId: number }> {
  return new Promise((resolve, reject) => {
    let log = "";
    let processId = "";
    const look = (): void => {
      const [port, monitorPort] = [CLIENT_PORT.exec(log)?.[1], MONITOR_PORT.exec(log)?.[1]];
      if (port === undefined || monitorPort === undefined || !processId.endsWith("\n")) return;
      // Read and discard the rest of the log, so that the pipe doesn't fill up.
      guard.stderr.removeAllListeners("data").resume();
      resolve({ port: Number(port), monitorPort: Number(monitorPort), processId: Number(processId) });
    };
    guard.stdin.on("error", () => guard.kill());
    guard.stdout.setEncoding("utf8").on("data", (text: string) => {
      processId += text;
      look();
    });
    guard.stderr.setEncoding("utf8").on("data", (text: string) => {
      log += text;
      look();
      // The guard waits for the end of its input, even if the server has exited.
      if (/\[FTL\]|nats-server: /.test(log)) guard.stdin.end();
    });
    guard.on("error", reject);
    guard.on("close", () => reject(new Error(`nats-server did not start:\n${log.trim()}`)));
  });
}
