/**
 * `node --import ./docs-tests/lib/sources-hook.ts bench/nodes.ts` (`--help` lists its options): measures several
 * nodes connected through NATS. Each node, and each of the two halves of the clients, is a process. Needs
 * nats-server, and Linux for NATS's CPU time. A turn is limited to 999 messages, because overflowing send queues
 * would disconnect subscribers.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { amount, commandLine, counts, text } from "../scripts/lib/command-line.ts";
import { Child, cpuMsOf } from "./lib/child.ts";
import { formatNumber, formatTable } from "./lib/format.ts";
import { rssOf } from "./lib/memory.ts";
import { percentile } from "./lib/statistics.ts";
import type { BurstResult, NodeArgs, Roles } from "./nodes-process.ts";
import { NatsServer } from "./peers/support/nats-server.ts";

const MEASUREMENTS = ["deliveries", "receiving", "crossing", "latency", "idle", "messages", "topics"] as const;
const { values, names } = commandLine({
  name: "node --import ./docs-tests/lib/sources-hook.ts bench/nodes.ts",
  about: "Measures several nodes connected through NATS.",
  names: { help: "measurements; default: all", choices: MEASUREMENTS },
  options: {
    seconds: amount("duration of each measurement", 2),
    "per-turn": counts("messages published per turn of the event loop", [1, 10, 100]),
    only: text("only contenders of deliveries whose titles contain one of these texts, separated by commas", "TITLES"),
  },
});
const { seconds } = values;
const WARMUP_SECONDS = 1;
const SUBSCRIBERS = 1000;
/** Number of processes that clients are distributed over. */
const HALVES = 2;

/** The processes of a measurement, which are stopped together. */
class Site {
  readonly nats: NatsServer;
  readonly nodes: Child<Roles["node"]>[] = [];
  readonly ports: number[] = [];
  readonly clients: Child<Roles["clients"]>[] = [];
  /** Port of the first node, or of the publisher. */
  signalPort = 0;

  private constructor(nats: NatsServer) {
    this.nats = nats;
  }

  static async with<T>(work: (site: Site) => Promise<T>): Promise<T> {
    const nats = await NatsServer.start({ tls: null, maxConnections: 2 * SUBSCRIBERS, maxPayloadBytes: 2 ** 20 });
    const site = new Site(nats);
    try {
      return await work(site);
    } finally {
      await Promise.all([...site.clients, ...site.nodes].map((child) => child.close()));
      await nats.close();
    }
  }

  get url(): string {
    return `nats://127.0.0.1:${this.nats.port}`;
  }

  async startNodes(count: number, { kind = "node", ...options }: Partial<NodeArgs> = {}): Promise<void> {
    this.nodes.push(...Array.from({ length: count }, () => new Child<Roles["node"]>("../nodes-process.ts", ["node"])));
    const started = await Promise.all(
      this.nodes.map((node) => node.request("start", { nats: this.url, kind, ...options })),
    );
    this.ports.push(...started.map(({ port }) => port));
    this.signalPort = started[0]?.signalPort ?? 0;
    if (kind !== "node") return;
    for (const node of this.nodes) while ((await node.request("nodes", null)) < count) await sleep(20);
  }

  async startClients(count: number, ports: readonly number[] | null, processes = HALVES): Promise<void> {
    for (let i = 0; i < processes; i += 1) {
      const half = new Child<Roles["clients"]>("../nodes-process.ts", ["clients"]);
      this.clients.push(half);
      await half.request("connect", { ports, nats: this.url, count: count / processes });
    }
  }

  /** CPU time so far in microseconds: of each node or publisher, of NATS, and of all clients. */
  async cpu(): Promise<{ nodes: number[]; nats: number; clients: number }> {
    const nodes = await Promise.all(this.nodes.map((child) => child.request("cpuUs", null)));
    const halves = await Promise.all(this.clients.map((child) => child.request("cpuUs", null)));
    return { nodes, nats: cpuMsOf(this.nats.processId) * 1000, clients: halves.reduce((a, b) => a + b, 0) };
  }
}

interface Load {
  readonly title: string;
  readonly kind: NodeArgs["kind"];
  readonly nodes: number;
  /** Nodes that clients connect to. */
  readonly served: readonly number[];
  readonly subscribers: number;
  readonly perTurn: number;
}

interface Measured {
  /** Messages per second. */
  readonly messages: number;
  /** CPU time per message in microseconds: of each node or publisher, of NATS, and of all clients. */
  readonly nodes: readonly number[];
  readonly nats: number;
  readonly clients: number;
}

function measureLoad({ kind, nodes, served, subscribers, perTurn }: Load): Promise<Measured> {
  return Site.with(async (site) => {
    await site.startNodes(nodes, { kind });
    const [sender] = site.nodes as [Child<Roles["node"]>];
    const ports = kind === "direct" ? null : served.map((index) => site.ports[index] as number);
    const processes = Math.min(subscribers, HALVES);
    await site.startClients(subscribers, ports, processes);
    for (const half of site.clients) await half.request("watch", { signalPort: site.signalPort, perTurn });
    const run = async (duration: number): Promise<BurstResult> => {
      try {
        return await sender.request("burst", { perTurn, seconds: duration, signals: processes });
      } catch (cause) {
        const taken = await Promise.all(site.clients.map((half) => half.request("take", null)));
        const counts = taken.map((half) => half.deliveries).join(" and ");
        throw new Error(`${counts} deliveries to ${subscribers / processes} subscribers each`, { cause });
      }
    };
    await run(WARMUP_SECONDS);
    for (const half of site.clients) await half.request("take", null);
    const before = await site.cpu();
    const { messages, seconds: took } = await run(seconds);
    const after = await site.cpu();
    const taken = await Promise.all(site.clients.map((half) => half.request("take", null)));
    const deliveries = taken.reduce((total, half) => total + half.deliveries, 0);
    if (deliveries !== messages * subscribers) {
      throw new Error(`${deliveries} deliveries of ${messages} messages to ${subscribers}`);
    }
    return {
      messages: messages / took,
      nodes: after.nodes.map((us, i) => (us - (before.nodes[i] as number)) / messages),
      nats: (after.nats - before.nats) / messages,
      clients: (after.clients - before.clients) / messages,
    };
  });
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

interface Contender {
  readonly title: string;
  readonly kind: NodeArgs["kind"];
  readonly nodes: number;
}

const CONTENDERS: readonly Contender[] = [
  { title: "a server without cluster", nodes: 1, kind: "alone" },
  { title: "1 node", nodes: 1, kind: "node" },
  { title: "2 nodes", nodes: 2, kind: "node" },
  { title: "3 nodes", nodes: 3, kind: "node" },
  { title: "nats.js, direct", nodes: 1, kind: "direct" },
];

/** A contender's figures in one run; CPU time in microseconds per delivery. */
interface Deliveries {
  readonly perSecond: number;
  readonly server: number;
  readonly nats: number;
  readonly client: number;
  /** Possible deliveries per second if each server-side process had its own core; the busiest process is the limit. */
  readonly possible: number;
}

async function measureDeliveries({ kind, nodes: count, title }: Contender, perTurn: number): Promise<Deliveries> {
  const served = Array.from({ length: count }, (_, index) => index);
  const load = { title, kind, nodes: count, served, subscribers: SUBSCRIBERS, perTurn };
  const { messages, nodes, nats, clients } = await measureLoad(load);
  return {
    perSecond: messages * SUBSCRIBERS,
    server: (sumOf(nodes) + nats) / SUBSCRIBERS,
    nats: nats / SUBSCRIBERS,
    client: clients / SUBSCRIBERS,
    possible: (1e6 / Math.max(...nodes, nats)) * SUBSCRIBERS,
  };
}

async function deliveries(): Promise<void> {
  const chosen = values.only?.split(",");
  const contenders = CONTENDERS.filter(
    ({ title }) => chosen === undefined || chosen.some((name) => title.includes(name)),
  );
  const rows: string[][] = [];
  const ratios: string[][] = [];
  for (const perTurn of values["per-turn"]) {
    const results = new Map<string, Deliveries>();
    for (const contender of contenders) {
      const result = await measureDeliveries(contender, perTurn);
      results.set(contender.title, result);
      const { perSecond, server, nats, client, possible } = result;
      const figures = [perSecond, server, nats, client, server + client, possible];
      rows.push([`${contender.title}, ${perTurn} in a turn`, ...figures.map((figure) => formatNumber(figure))]);
    }
    const [ours, theirs] = [results.get("2 nodes"), results.get("nats.js, direct")];
    if (ours === undefined || theirs === undefined) continue;
    const sides = (one: Deliveries): number => one.server + one.client;
    const parts = [
      ours.perSecond / theirs.perSecond,
      ours.server / theirs.server,
      ours.client / theirs.client,
      sides(ours) / sides(theirs),
      ours.possible / theirs.possible,
    ];
    ratios.push([`${perTurn} in a turn`, ...parts.map((ratio) => ratio.toFixed(2))]);
  }
  console.log(`\nA topic with ${SUBSCRIBERS} subscribers; CPU time for a delivery\n`);
  const header = [
    "",
    "deliveries/s",
    "server side, µs",
    "NATS of it, µs",
    "client side, µs",
    "both, µs",
    "a core each",
  ];
  console.log(formatTable(header, rows));
  if (ratios.length === 0) return;
  console.log("\n2 nodes by nats.js\n");
  console.log(formatTable(["", "deliveries/s", "server side", "client side", "both", "a core each"], ratios));
}

/** Compares a node's cost of deliveries from another node with those published on the node itself. */
async function receiving(): Promise<void> {
  const subscribers = SUBSCRIBERS / 2;
  const rows: string[][] = [];
  for (const perTurn of values["per-turn"]) {
    for (const [title, kind, nodes, served] of [
      ["a server without cluster", "alone", 1, 0],
      ["published on this node", "node", 1, 0],
      ["published on another node", "node", 2, 1],
    ] as const) {
      const measured = await measureLoad({ title, kind, nodes, served: [served], subscribers, perTurn });
      rows.push([`${title}, ${perTurn} in a turn`, formatNumber((measured.nodes[served] as number) / subscribers)]);
    }
  }
  console.log(`\nA topic with ${subscribers} subscribers on one node; CPU time of this node for a delivery\n`);
  console.log(formatTable(["", "µs"], rows));
}

async function crossing(): Promise<void> {
  const loads: Load[] = [1, 100].flatMap(
    (perTurn) =>
      [
        { title: `same node, ${perTurn} in a turn`, nodes: 1, kind: "node", served: [0], subscribers: 1, perTurn },
        { title: `another node, ${perTurn} in a turn`, nodes: 2, kind: "node", served: [1], subscribers: 1, perTurn },
      ] as const,
  );
  const rows: string[][] = [];
  for (const load of loads) {
    const { messages, nodes, nats } = await measureLoad(load);
    rows.push([load.title, ...[messages, nodes[0] ?? 0, nats, nodes[1] ?? 0].map(formatNumber)]);
  }
  console.log("\nA topic with one subscriber; CPU time for a message\n");
  console.log(formatTable(["", "messages/s", "publishing node, µs", "NATS, µs", "other node, µs"], rows));
}

async function latency(): Promise<void> {
  const count = 3000;
  const measureAt = (ports: (site: Site) => readonly (number | null)[], nodes: number): Promise<number[][]> =>
    Site.with(async (site) => {
      await site.startNodes(nodes);
      const half = new Child<Roles["clients"]>("../nodes-process.ts", ["clients"]);
      site.clients.push(half);
      const all = await half.request("latencies", { ports: ports(site), nats: site.url, count, everyMs: 2 });
      return all.map((values) => values.slice(count / 3));
    });
  const [same = [], other = []] = await measureAt(({ ports }) => ports, 2);
  const [direct = []] = await measureAt(() => [null], 0);
  const added = other.map((ms, index) => ms - (same[index] as number));
  const row = (title: string, ms: readonly number[]): string[] => {
    const sorted = ms.toSorted((a, b) => a - b);
    return [title, ...[50, 99].map((percent) => formatNumber(percentile(sorted, percent) * 1000))];
  };
  console.log("\nFrom publish to delivery, 500 messages/s\n");
  const rows = [
    row("same node", same),
    row("another node", other),
    row("added", added),
    row("nats.js, direct", direct),
  ];
  console.log(formatTable(["", "p50, µs", "p99, µs"], rows));
}

async function idle(): Promise<void> {
  const SECONDS = 5;
  const measureIdle = (title: string, nodes: number, options: Partial<NodeArgs>, count = 0): Promise<string[]> =>
    Site.with(async (site) => {
      await site.startNodes(nodes, options);
      const cpuBefore = await site.cpu();
      if (count > 0) await site.startClients(count, site.ports);
      const connecting = sumOf((await site.cpu()).nodes) - sumOf(cpuBefore.nodes);
      await sleep(1500);
      const before = await site.cpu();
      await sleep(SECONDS * 1000);
      const after = await site.cpu();
      const memory = await (site.nodes[0] as Child<Roles["node"]>).request("memory", null);
      const ms = after.nodes.map((us, index) => (us - (before.nodes[index] as number)) / 1000 / SECONDS);
      return [
        title,
        formatNumber(sumOf(ms) / nodes),
        formatNumber((after.nats - before.nats) / 1000 / SECONDS),
        formatNumber(memory.rssBytes / 2 ** 20),
        formatNumber((memory.heapBytes ?? 0) / 2 ** 20),
        count === 0 ? "—" : formatNumber(connecting / count),
      ];
    });
  const rows = [
    await measureIdle("a server without cluster", 1, { kind: "alone" }),
    await measureIdle("1 node", 1, {}),
    await measureIdle("3 nodes", 3, {}),
    await measureIdle("3 nodes, heartbeatMs 20", 3, { heartbeatMs: 20 }),
    await measureIdle("2,000 clients, heartbeatIntervalMs 1000", 1, { heartbeatIntervalMs: 1000 }, 2000),
  ];
  console.log(
    "\nIdle: CPU time in ms for a second, of a node and of NATS; memory of a node in MiB; CPU time of a node for a login\n",
  );
  console.log(formatTable(["", "node, ms/s", "NATS, ms/s", "resident, MiB", "heap, MiB", "a login, µs"], rows));
}

async function messages(): Promise<void> {
  const rows: string[][] = [];
  for (const [nodes, withMembers] of [
    [2, 0],
    [2, 1],
    [4, 1],
    [4, 3],
    [8, 1],
    [8, 7],
  ] as const) {
    rows.push(await Site.with((site) => countMessages(site, nodes, withMembers)));
  }
  console.log("\nOne node publishes 1,000 messages to a topic: messages between nodes\n");
  const header = [
    "nodes",
    "other nodes with members",
    "sent",
    "bytes of each",
    "received by each of those",
    "received by each without",
    "into NATS",
    "out of NATS",
  ];
  console.log(formatTable(header, rows, 0));
}

async function topics(): Promise<void> {
  const rows: string[][] = [];
  for (const count of [1000, 10_000, 50_000]) {
    const measureTopics = (
      options: Partial<NodeArgs>,
    ): Promise<{ heap: number; nats: number; subscriptions: number }> =>
      Site.with(async (site) => {
        await site.startNodes(1, options);
        await site.startClients(20, site.ports, 1);
        const [node] = site.nodes as [Child<Roles["node"]>];
        const before = await node.request("memory", null);
        const natsBefore = rssOf(site.nats.processId);
        await node.request("join", { topics: count });
        await sleep(300);
        const { subscriptions } = await site.nats.facts();
        const natsBytes = rssOf(site.nats.processId) - natsBefore;
        const after = await node.request("memory", null);
        return {
          heap: ((after.heapBytes ?? 0) - (before.heapBytes ?? 0)) / count,
          nats: natsBytes / count,
          subscriptions,
        };
      });
    const alone = await measureTopics({ kind: "alone" });
    const { heap, nats, subscriptions } = await measureTopics({});
    rows.push([count.toLocaleString("en-US"), ...[alone.heap, heap, nats, subscriptions].map(formatNumber)]);
  }
  console.log("\nTopics with one subscriber: bytes for each\n");
  console.log(
    formatTable(["topics", "heap, no cluster", "heap, node", "resident, NATS", "subscriptions at NATS"], rows, 0),
  );
}

async function countMessages(site: Site, nodes: number, withMembers: number): Promise<string[]> {
  // Avoid heartbeats during the measurement.
  await site.startNodes(nodes, { heartbeatMs: 60_000 });
  await site.startClients(1 + withMembers, site.ports.slice(0, 1 + withMembers), 1);
  const [half] = site.clients as [Child<Roles["clients"]>];
  await half.request("watch", { signalPort: site.signalPort, perTurn: 100 });
  const statsOf = () => Promise.all(site.nodes.map((node) => node.request("stats", null)));
  const [before, natsBefore] = [await statsOf(), await site.nats.facts()];
  await (site.nodes[0] as Child<Roles["node"]>).request("burst", {
    perTurn: 100,
    seconds: 60,
    signals: 1,
    messages: 1000,
  });
  const [after, natsAfter] = [await statsOf(), await site.nats.facts()];
  const received = after.map((stats, i) => (stats?.receivedMessages ?? 0) - (before[i]?.receivedMessages ?? 0));
  const sent = (after[0]?.sentMessages ?? 0) - (before[0]?.sentMessages ?? 0);
  const sentBytes = (after[0]?.sentBytes ?? 0) - (before[0]?.sentBytes ?? 0);
  const range = (counts: readonly number[]): string => {
    const [least, most] = [Math.min(...counts), Math.max(...counts)];
    if (counts.length === 0) return "—";
    return least === most ? formatNumber(least) : `${least} to ${most}`;
  };
  return [
    String(nodes),
    String(withMembers),
    formatNumber(sent),
    formatNumber(sentBytes / sent),
    range(received.slice(1, 1 + withMembers)),
    range(received.slice(1 + withMembers)),
    formatNumber(natsAfter.in_msgs - natsBefore.in_msgs),
    formatNumber(natsAfter.out_msgs - natsBefore.out_msgs),
  ];
}

const measurements: Readonly<Record<(typeof MEASUREMENTS)[number], () => Promise<void>>> = {
  deliveries,
  receiving,
  crossing,
  latency,
  idle,
  messages,
  topics,
};
for (const name of names.length === 0 ? MEASUREMENTS : names) await measurements[name]();
