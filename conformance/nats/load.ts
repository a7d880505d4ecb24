import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { EventLog } from "@netconduit/core/testing";
import { natsCluster } from "@netconduit/nats";
import { Client, Server } from "@netconduit/node";
import { expect } from "vitest";
import { NODE_SOURCES } from "../../docs-tests/lib/runtimes.ts";
import { ROOT } from "../../scripts/lib/packages.ts";
import { HISTORY, type LoadLine, type LoadNodeOptions, type LoadTotals } from "./load-lines.ts";

const PROGRAM = "conformance/nats/load-node.ts";

type Kind = LoadLine[0];
type LineOf<K extends Kind> = Extract<LoadLine, readonly [K, ...unknown[]]>;
type ReadLine = LineOf<"chat">;

/** A run of load-node.ts with its output. */
export class LoadNode {
  readonly options: LoadNodeOptions;
  readonly #lines = new EventLog<LoadLine>();
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #isKilled = false;
  /** Number of lines consumed by `until`. */
  #passed = 0;

  private constructor(options: LoadNodeOptions) {
    this.options = options;
    const args = [...NODE_SOURCES, PROGRAM, JSON.stringify(options)];
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ["pipe", "pipe", "pipe"] });
    this.#child = child;
    this.#closed = once(child, "close");
    // Writing to a process that has exited fails; its exit is reported separately.
    child.stdin!.on("error", () => undefined);
    let errors = "";
    child.stderr!.on("data", (chunk: Buffer) => {
      errors += chunk.toString();
    });
    createInterface({ input: child.stdout! }).on("line", (line) => this.#lines.add(JSON.parse(line) as LoadLine));
    child.once("close", (code, signal) => {
      if (!this.#isKilled) this.#lines.add(["error", `node ${options.run} ended with ${signal ?? code}: ${errors}`]);
    });
  }

  /** Starts a node. Resolves when it is ready. */
  static async start(options: LoadNodeOptions): Promise<LoadNode> {
    const node = new LoadNode(options);
    await node.until("ready");
    return node;
  }

  /** Resolves with the next line of this kind after those already consumed. @throws Error if the node fails */
  async until<K extends Kind>(kind: K, ...values: readonly unknown[]): Promise<LineOf<K>> {
    for (;;) {
      const line = (await this.#lines.count(this.#passed + 1))[this.#passed] as LoadLine;
      this.#passed += 1;
      if (line[0] === "error") throw new Error(line[1]);
      if (line[0] === kind && values.every((value, index) => line[index + 1] === value)) return line as LineOf<K>;
    }
  }

  /** Resolves when this node has read another node's message to `chat`, after the lines already consumed. */
  async hears({ options: { run } }: LoadNode): Promise<void> {
    for (;;) if ((await this.until("chat"))[1].startsWith(`${run}.`)) return;
  }

  all<K extends Kind>(kind: K): readonly LineOf<K>[] {
    return this.#lines.all.filter((line) => line[0] === kind) as LineOf<K>[];
  }

  /** Resolves when the node has stored this many more messages. */
  async stores(count: number): Promise<void> {
    for (let n = 0; n < count; n += 1) await this.until("stored");
  }

  command(command: "write" | "stop" | "mark"): void {
    this.#child.stdin!.write(`${command}\n`);
  }

  pause(): void {
    this.#child.kill("SIGSTOP");
  }

  resume(): void {
    this.#child.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    this.#isKilled = true;
    this.#child.kill("SIGKILL");
    await this.#closed;
  }
}

/** Stops the writers of nodes whose links work. */
export async function stopWriting(nodes: readonly LoadNode[]): Promise<LoadTotals[]> {
  for (const node of nodes) node.command("stop");
  return Promise.all(nodes.map(async (node) => (await node.until("stopped"))[1]));
}

const END = "end";

/**
 * Reads `orders` on a separate node and compares it with what all runs stored and read.
 * @param running the nodes that have read all messages, or will
 */
export async function checkOrders(
  all: readonly LoadNode[],
  running: readonly LoadNode[],
  servers: string,
): Promise<void> {
  const stored = all.flatMap((node) => node.all("stored")).map(([, id, position]) => [id, position] as const);
  const first = all[0]!.all("ready")[0]![1];
  const replicas = all[0]!.options.replicas;
  const log = await readBack(servers, first, replicas);
  const ids = log.map(({ id }) => id);
  const places = new Map(log.map(({ id, position }) => [id, position]));
  expect(places.size, "no id is there twice").toBe(ids.length);
  expect(stored.length, "something was stored").toBeGreaterThan(100);
  expect(
    stored.filter(([id, position]) => places.get(id) !== position),
    "each acknowledged id is at its place",
  ).toEqual([]);
  const lanes = Map.groupBy(ids.slice(0, -1), (id) => id.split(".")[0]!);
  for (const lane of lanes.values()) {
    const numbers = lane.map((id) => Number(id.split(".")[1]));
    expect(numbers, "each writer's are in its order, without a gap").toEqual(numbers.map((_, index) => index + 1));
  }
  for (const node of running) await node.until("orders", END);
  for (const node of all) {
    const read = node.all("orders");
    const begin = Number(node.all("ready")[0]![1].split(":")[1]);
    const wanted = log.slice(begin, begin + read.length);
    expect(read.map(([, id, position]) => ({ id, position }))).toEqual(wanted);
    expect(read.filter(([, , , recovered, dropped]) => !recovered || dropped > 0)).toEqual([]);
  }
}

/** Reads all of `orders`, starting at a position. */
async function readBack(
  servers: string,
  since: string,
  replicas: 1 | 3,
): Promise<{ readonly id: string; readonly position: string }[]> {
  const password = "secret123";
  const cluster = natsCluster({ servers, name: "fleet", nodeId: "auditor", replicas });
  const server = new Server({ host: "127.0.0.1", port: 0, password, scramIterations: 4096, cluster });
  const orders = server.topic<string>("orders", { history: HISTORY });
  await server.start();
  const client = new Client({ host: "127.0.0.1", port: server.address.port, password });
  try {
    await client.connect();
    await orders.append(END, { id: END });
    const subscription = client.subscribe<string>("orders", { since, buffer: 1_000_000 });
    await subscription.ready;
    expect(subscription.recovered).toBe(true);
    const log: { id: string; position: string }[] = [];
    for await (const id of subscription) {
      log.push({ id, position: subscription.position ?? "" });
      if (id === END) break;
    }
    return log;
  } finally {
    await client.disconnect();
    await server.stop({ drainMs: 0 });
  }
}

/** A message to `chat` as read by a node. */
interface Heard {
  readonly number: number;
  readonly line: ReadLine;
}

/** Returns a run's messages to `chat` that a node read. */
function heardOf(reader: LoadNode, run: string): Heard[] {
  return reader
    .all("chat")
    .map((line) => ({ line, number: Number(line[1].split(".")[1]) }))
    .filter(({ line }) => line[1].startsWith(`${run}.`));
}

/** Returns the number of messages of `run` missing between the first and the last that a node read. */
export function missingOf(reader: LoadNode, run: string): number {
  const heard = heardOf(reader, run);
  return heard.length === 0 ? 0 : heard.at(-1)!.number - heard[0]!.number + 1 - heard.length;
}

/**
 * Checks the guarantees for `chat`: each publisher's messages arrive in order and at most once. Where some are
 * missing, the subscription's position has another epoch after the gap, and `recovered` is false.
 */
export async function checkChat(all: readonly LoadNode[], running: readonly LoadNode[]): Promise<void> {
  await Promise.all(running.map((reader) => hearAll(reader, running)));
  for (const reader of all) {
    for (const { options } of all) {
      const heard = heardOf(reader, options.run);
      const title = `${options.run}'s messages at ${reader.options.run}`;
      for (const [index, { number, line }] of heard.entries()) {
        const before = heard[index - 1];
        if (before === undefined) continue;
        expect(number, `${title} are in order, once`).toBeGreaterThan(before.number);
        if (number === before.number + 1) continue;
        expect(reader.options.run, "a node's own clients miss nothing").not.toBe(options.run);
        expect(epochOf(line), `${title}: a gap before ${number} is told`).not.toBe(epochOf(before.line));
        expect(line[3]).toBe(false);
      }
    }
  }
}

function epochOf([, , position]: ReadLine): string {
  return position.slice(0, position.lastIndexOf(":"));
}

/** Resolves when a node has received one more message from each of the others. */
async function hearAll(reader: LoadNode, publishers: readonly LoadNode[]): Promise<void> {
  for (const publisher of publishers) {
    const before = heardOf(reader, publisher.options.run).length;
    while (heardOf(reader, publisher.options.run).length === before) {
      publisher.command("mark");
      await reader.until("chat");
    }
  }
}
