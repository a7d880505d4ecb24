/** One run: a server and a client process, a forwarder between them, and the actions on them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { CommandedProcess } from "../../conformance/support/commanded-process.ts";
import type { RuntimeName } from "../../docs-tests/lib/runtimes.ts";
import { Random } from "../../packages/core/src/test-support/random.ts";
import { type Action, actionsOf, type TimedAction } from "./actions.ts";
import { planOf } from "./connection-plan.ts";
import { Forwarder, type ForwarderCounts } from "./forwarder.ts";
import { type ReceiverFault, readJournals, type Side } from "./journal.ts";
import type { Network } from "./network.ts";
import { HEARTBEATS, LOOPBACK, type PeerOptions, type PeerReport } from "./peer-options.ts";
import { type Note, startPeer } from "./peer-process.ts";
import { SmallDisk } from "./small-disk.ts";
import { type Tally, tallyOf } from "./tally.ts";
import type { SenderFault } from "./traffic.ts";
import { lanesOf, type Mode, workloadOf } from "./workload.ts";

export interface RunOptions {
  readonly server: RuntimeName;
  readonly client: RuntimeName;
  readonly mode: Mode;
  readonly messages: number;
  readonly seed: number;
  /** Number of times that each action is taken. */
  readonly actions: number;
  /** Average bytes before a connection is cut. */
  readonly meanBytes: number;
  /** The network for the processes in mode `"network"`. Default: the loopback address. */
  readonly network?: Network;
  readonly fault?: ReceiverFault | SenderFault;
  /** Prints events of the run. */
  readonly log?: (line: string) => void;
}

export interface RunResult {
  readonly options: RunOptions;
  readonly tally: Tally;
  readonly forwarder: ForwarderCounts;
  readonly stops: number;
  readonly kills: number;
  readonly jumps: number;
  readonly partitions: number;
  readonly resumes: number;
  readonly replayed: number;
  readonly expired: number;
  readonly seconds: number;
  /** Faults of the run; empty if there were none. */
  readonly faults: readonly string[];
  readonly errors: Readonly<Record<string, number>>;
}

/** A run without progress for this long is considered hanging. Generous, because machines may be busy. */
const STALL_MS = 150_000;
const CHECK_MS = 50;
const REFUSED_MS = 300;
/** The silent connections are selected from this number of connections. */
const SILENT_AMONG = 30;
const ANSWER_MS = 60_000;

export async function runPair(options: RunOptions): Promise<RunResult> {
  const folder = mkdtempSync(join(tmpdir(), "netconduit-chaos-"));
  const disk = options.mode === "disk" ? await SmallDisk.mount(join(folder, "disk")) : null;
  const run = new PairRun(options, folder, disk);
  try {
    return await run.run();
  } finally {
    await run.stop();
    await disk?.unmount();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One side: its current process, and the number of ids that earlier ones had received. */
interface Part {
  process: CommandedProcess | null;
  incarnation: number;
  isDone: boolean;
  received: number;
  receivedBefore: number;
}

class PairRun {
  readonly #options: RunOptions;
  readonly #folder: string;
  readonly #disk: SmallDisk | null;
  readonly #forwarder: Forwarder;
  readonly #parts: Readonly<Record<Side, Part>> = { server: newPart(), client: newPart() };
  readonly #counts = { stops: 0, kills: 0, jumps: 0, partitions: 0 };
  readonly #faults: string[] = [];
  #port = 0;
  #movedAt = performance.now();

  constructor(options: RunOptions, folder: string, disk: SmallDisk | null) {
    this.#options = options;
    this.#disk = disk;
    this.#folder = folder;
    const random = new Random(options.seed);
    const silent = new Set(
      Array.from({ length: options.actions }, (_, n) => n * SILENT_AMONG + random.below(SILENT_AMONG)),
    );
    this.#forwarder = new Forwarder((number) => planOf(random, number, options.meanBytes, silent));
  }

  async run(): Promise<RunResult> {
    const { mode, messages, seed, actions } = this.#options;
    const startedAt = performance.now();
    const lanes = lanesOf(mode, workloadOf(mode, messages));
    let total = 0;
    for (const count of lanes.values()) total += count;
    this.#port = await this.#forwarder.start();
    await this.#start("server");
    await this.#start("client");
    await this.#disturb(actionsOf(mode, new Random(seed + 1), actions), total);
    await this.#untilDone();
    const reports = await this.#finish();
    const tally = tallyOf(mode, lanes, readJournals(this.#folder));
    const errors: Record<string, number> = {};
    for (const report of reports) {
      this.#faults.push(...report.surprises);
      for (const [code, count] of Object.entries(report.errors)) errors[code] = (errors[code] ?? 0) + count;
    }
    const sum = (what: "resumes" | "replayed" | "expired"): number =>
      reports.reduce((all, report) => all + report[what], 0);
    return {
      options: this.#options,
      tally,
      forwarder: this.#forwarder.counts,
      ...this.#counts,
      resumes: Math.max(0, ...reports.map(({ resumes }) => resumes)),
      replayed: sum("replayed"),
      expired: sum("expired"),
      seconds: (performance.now() - startedAt) / 1000,
      faults: this.#faults,
      errors,
    };
  }

  async stop(): Promise<void> {
    for (const { process } of Object.values(this.#parts)) await process?.kill();
    await this.#forwarder.stop();
  }

  async #start(side: Side): Promise<void> {
    const { mode, messages, network, fault = null } = this.#options;
    const part = this.#parts[side];
    const options: PeerOptions = {
      mode,
      messages,
      fault,
      folder: this.#folder,
      incarnation: part.incarnation,
      storePath: join(this.#disk?.path ?? this.#folder, "store.db"),
      host: network?.serverHost ?? LOOPBACK,
      port: this.#port,
    };
    part.isDone = false;
    part.receivedBefore += part.received;
    part.received = 0;
    const { incarnation } = part;
    const noted = (note: Note): void => {
      // A line of a killed process may arrive late.
      if (part.incarnation !== incarnation) return;
      this.#movedAt = performance.now();
      if ("isDone" in note) part.isDone = true;
      else part.received = note.progress;
    };
    const peer = await startPeer(this.#options[side], side, options, noted, network?.within(side));
    part.process = peer;
    const port = await peer.ask<number>("start");
    if (side !== "server") return;
    this.#forwarder.target = port;
    if (network !== undefined) this.#port = port;
  }

  get #received(): number {
    return Object.values(this.#parts).reduce((sum, { received, receivedBefore }) => sum + received + receivedBefore, 0);
  }

  get #isDone(): boolean {
    return Object.values(this.#parts).every(({ isDone }) => isDone);
  }

  /** Whether there is no progress, or a process has exited unexpectedly. */
  get #isStuck(): boolean {
    const ended = Object.values(this.#parts).find(({ process }) => process !== null && process.exit !== null);
    return ended !== undefined || performance.now() - this.#movedAt > STALL_MS;
  }

  async #disturb(actions: readonly TimedAction[], total: number): Promise<void> {
    for (const { at, action } of actions) {
      while (this.#received < at * total && !this.#isDone && !this.#isStuck) await sleep(CHECK_MS);
      if (this.#isStuck) return;
      this.#options.log?.(`${Math.round(at * 100)} %: ${JSON.stringify(action)}`);
      await this.#act(action);
      this.#movedAt = performance.now();
    }
  }

  async #act(action: Action): Promise<void> {
    const part = "side" in action ? this.#parts[action.side] : null;
    switch (action.kind) {
      case "stop":
        this.#counts.stops += 1;
        part?.process?.signal("SIGSTOP");
        await sleep(2 * HEARTBEATS.heartbeatTimeoutMs);
        part?.process?.signal("SIGCONT");
        return;
      case "kill":
        await this.#kill(action.side);
        await this.#start(action.side);
        return;
      case "jump":
        this.#counts.jumps += 1;
        await part?.process?.ask("jump", action.ms);
        return;
      case "refuse":
        this.#forwarder.isRefusing = true;
        this.#forwarder.cutAll();
        await sleep(REFUSED_MS);
        this.#forwarder.isRefusing = false;
        return;
      case "part":
        this.#counts.partitions += 1;
        await this.#options.network?.part();
        await sleep(action.ms);
        await this.#options.network?.join();
        return;
      case "fill":
        this.#disk?.fill();
        await sleep(action.ms);
        this.#disk?.empty();
        return;
      case "read-only":
        await this.#kill("server");
        await this.#disk?.remount("ro");
        await this.#expectRefusal();
        await this.#disk?.remount("rw");
        await this.#start("server");
    }
  }

  async #kill(side: Side): Promise<void> {
    this.#counts.kills += 1;
    await this.#parts[side].process?.kill();
    this.#parts[side].incarnation += 1;
  }

  /** Requires that a server with a read-only store reports this and doesn't start. */
  async #expectRefusal(): Promise<void> {
    try {
      await this.#start("server");
      this.#faults.push("The server has started with a store that it can't write to");
      await this.#kill("server");
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (!message.includes("STORE_FAILED")) this.#faults.push(`With a read-only store: ${message}`);
    }
  }

  async #untilDone(): Promise<void> {
    while (!this.#isDone && !this.#isStuck) await sleep(CHECK_MS);
    this.#forwarder.isCalm = true;
  }

  async #finish(): Promise<PeerReport[]> {
    const { server, client } = this.#parts;
    const reports: PeerReport[] = [];
    if (!this.#isDone) this.#faults.push(await this.#describeHang());
    for (const { process } of [client, server]) {
      const report = await within(process?.ask<PeerReport>("finish"));
      if (report === null) this.#faults.push("A process can't finish");
      else reports.push(report);
    }
    for (const { process } of [client, server]) {
      if ((await within(process?.ask("close").then(() => true))) === null) this.#faults.push("A process can't close");
    }
    return reports;
  }

  async #describeHang(): Promise<string> {
    const states: unknown[] = [];
    for (const { process } of Object.values(this.#parts)) {
      states.push(process?.exit ?? (await within(process?.ask<object>("state"))));
    }
    return `It hung at ${this.#received} ids: ${JSON.stringify(states)}`;
  }
}

function newPart(): Part {
  return { process: null, incarnation: 0, isDone: false, received: 0, receivedBefore: 0 };
}

/** Resolves with null if there is no answer in time or it fails. */
async function within<T>(answer: Promise<T> | undefined): Promise<T | null> {
  const late = new AbortController();
  const timeout = sleep(ANSWER_MS, null, { signal: late.signal }).catch(() => null);
  try {
    return await Promise.race([answer ?? null, timeout]);
  } catch {
    return null;
  } finally {
    late.abort();
  }
}
