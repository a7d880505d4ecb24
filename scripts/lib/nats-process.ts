import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "./free-port.ts";
import type { NatsInstallation } from "./nats-server.ts";

export interface NatsProcessOptions {
  /** Configuration text, without `port`, `http` and `jetstream`. Default: empty. */
  readonly config?: string;
  /** Default: true. */
  readonly hasJetStream?: boolean;
  /** Name of the server. Default: `nats`. */
  readonly name?: string;
  /** Client port. Default: a free port. */
  readonly port?: number;
  /** Whether the server also accepts WebSockets. Default: false. */
  readonly takesWebSockets?: boolean;
}

/** Number of attempts to start: a free port may be taken before the server listens, by another test or by itself. */
const START_ATTEMPTS = 5;
/** Time limit of a start on a busy machine. */
const START_TIMEOUT_MS = 30_000;
/** A nats-server in a separate process, with JetStream in a temporary folder. Must be disposed. */
export class NatsProcess {
  readonly port: number;
  readonly monitorPort: number;
  readonly #webSocketPort: number | null;
  readonly #program: string;
  readonly #folder: string;
  readonly #configFile: string;
  readonly #baseConfig: string;
  #child: ChildProcess | null = null;
  /** The most recent lines of output, for errors. */
  #lines: string[] = [];

  private constructor(
    program: string,
    folder: string,
    baseConfig: string,
    ports: { readonly clients: number; readonly monitor: number; readonly webSockets: number | null },
  ) {
    this.#program = program;
    this.#folder = folder;
    this.#configFile = join(folder, "nats.conf");
    this.#baseConfig = baseConfig;
    this.port = ports.clients;
    this.monitorPort = ports.monitor;
    this.#webSocketPort = ports.webSockets;
  }

  /** Starts a server. Resolves when it accepts clients. */
  static async start(installation: NatsInstallation, options: NatsProcessOptions = {}): Promise<NatsProcess> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await NatsProcess.#start(installation, options);
      } catch (error) {
        const isTaken = error instanceof Error && error.message.includes("address already in use");
        if (!isTaken || options.port !== undefined || attempt === START_ATTEMPTS) throw error;
      }
    }
  }

  static async #start({ path }: NatsInstallation, options: NatsProcessOptions): Promise<NatsProcess> {
    const {
      config = "",
      hasJetStream = true,
      name = "nats",
      port = await freePort(),
      takesWebSockets = false,
    } = options;
    const monitorPort = await freePort();
    const webSocketPort = takesWebSockets ? await freePort() : null;
    const webSocket =
      webSocketPort === null ? "" : `websocket { host: "127.0.0.1", port: ${webSocketPort}, no_tls: true }`;
    const folder = mkdtempSync(join(tmpdir(), "netconduit-nats-"));
    const store = join(folder, "store").replaceAll("\\", "/");
    const base = `server_name: "${name}"\nhost: "127.0.0.1"\nport: ${port}\nhttp: "127.0.0.1:${monitorPort}"
${hasJetStream ? `jetstream { store_dir: "${store}" }` : ""}\n${webSocket}`;
    const ports = { clients: port, monitor: monitorPort, webSockets: webSocketPort };
    const server = new NatsProcess(path, folder, base, ports);
    server.configure(config);
    try {
      await server.start();
    } catch (error) {
      server.#removeFolder();
      throw error;
    }
    return server;
  }

  /**
   * Starts several servers as a cluster. Resolves when it accepts clients and JetStream is ready.
   * @param way returns the port for routes from one server to another that listens on `port`. Default: `port`.
   */
  static async startCluster(
    installation: NatsInstallation,
    count: number,
    way: (from: number, to: number, port: number) => Promise<number> = async (_from, _to, port) => port,
  ): Promise<NatsProcess[]> {
    const ports = await Promise.all(Array.from({ length: count }, () => freePort()));
    const servers = await Promise.all(
      ports.map(async (own, from) => {
        const others = [...ports.entries()].filter(([to]) => to !== from);
        const ways = await Promise.all(others.map(([to, port]) => way(from, to, port)));
        const routes = ways.map((port) => `"nats://127.0.0.1:${port}"`).join(", ");
        // Servers advertise the addresses of others. Nothing listens on port 1, so they only use the configured routes.
        const cluster = `name: "test", listen: "127.0.0.1:${own}", advertise: "127.0.0.1:1", routes: [${routes}]`;
        return NatsProcess.start(installation, { name: `nats-${from}`, config: `cluster { ${cluster} }` });
      }),
    );
    for (const server of servers) await server.#untilHealthy();
    return servers;
  }

  /** Waits until the server is healthy, which in a cluster requires a JetStream leader. */
  async #untilHealthy(): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      const { status } = await this.monitor<{ status: string }>("healthz");
      if (status === "ok") return;
      if (performance.now() > deadline) throw this.#failure(`isn't healthy: ${status}`);
      await sleep(50);
    }
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Port for WebSockets. */
  get webSocketPort(): number {
    if (this.#webSocketPort === null) throw new Error("nats-server takes no WebSockets");
    return this.#webSocketPort;
  }

  get pid(): number {
    return this.#running().pid!;
  }

  /** Changes the configuration for the next start. */
  configure(config: string): void {
    writeFileSync(this.#configFile, `${this.#baseConfig}\n${config}\n`);
  }

  /** Restarts the server with the same port and data. */
  async start(): Promise<void> {
    if (this.#child !== null) throw new Error("nats-server is running already");
    const child = spawn(this.#program, ["--config", this.#configFile], { stdio: ["ignore", "ignore", "pipe"] });
    this.#child = child;
    this.#lines = [];
    const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => reject(this.#failure("didn't start in time")), START_TIMEOUT_MS);
    child.once("error", reject);
    child.once("exit", (code) => reject(this.#failure(`exited with ${code}`)));
    createInterface({ input: child.stderr! }).on("line", (line) => {
      this.#lines = [...this.#lines.slice(-20), line];
      if (line.includes("Server is ready")) resolve();
    });
    try {
      await ready;
    } catch (error) {
      await this.kill();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Kills the server by SIGKILL. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Stops the server gracefully. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** Suspends the process: connections stay open, and nothing is read or answered. */
  async pause(): Promise<void> {
    const { pid } = this;
    process.kill(pid, "SIGSTOP");
    while (!isSuspended(pid)) await sleep(1);
  }

  resume(): void {
    // Use the process id: Deno's ChildProcess.kill() only sends one signal.
    process.kill(this.pid, "SIGCONT");
  }

  /** Removes all streams and buckets. The server must be stopped. */
  removeData(): void {
    if (this.#child !== null) throw new Error("nats-server still runs");
    rmSync(join(this.#folder, "store"), { recursive: true, force: true });
  }

  /** Copies the data, like a backup. The server must be stopped. */
  backUpData(): void {
    if (this.#child !== null) throw new Error("nats-server still runs");
    cpSync(join(this.#folder, "store"), join(this.#folder, "backup"), { recursive: true });
  }

  /** Replaces the data with the backup. The server must be stopped. */
  restoreData(): void {
    this.removeData();
    cpSync(join(this.#folder, "backup"), join(this.#folder, "store"), { recursive: true });
  }

  /** Resolves with a monitoring page, such as `connz` or `subsz?subs=1`. */
  async monitor<T>(page: string): Promise<T> {
    const response = await fetch(`http://127.0.0.1:${this.monitorPort}/${page}`);
    return (await response.json()) as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    this.#removeFolder();
  }

  #running(): ChildProcess {
    if (this.#child === null) throw new Error("nats-server doesn't run");
    return this.#child;
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const exited = once(child, "exit");
    child.kill(signal);
    // A suspended process only handles SIGKILL.
    if (signal !== "SIGKILL") child.kill("SIGCONT");
    await exited;
  }

  #removeFolder(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #failure(what: string): Error {
    return new Error(`nats-server ${what}:\n${this.#lines.join("\n")}`);
  }
}

/** Whether all threads are suspended. On a busy Linux, some keep running for a while after SIGSTOP. */
function isSuspended(pid: number): boolean {
  const tasks = `/proc/${pid}/task`;
  if (!existsSync(tasks)) return true;
  return readdirSync(tasks).every((id) => /^State:\tT/m.test(readFileSync(join(tasks, id, "status"), "utf8")));
}
