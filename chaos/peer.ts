/** A process of a run, on any runtime: `peer.ts <runtime> <server|client> <options as JSON>`. Executes commands. */
import process from "node:process";
import { serveCommands } from "../bench/lib/serve-commands.ts";
import type { Subject } from "../conformance/support/subject.ts";
import type { RuntimeName } from "../docs-tests/lib/runtimes.ts";
import { ClientSide } from "./lib/client-side.ts";
import { Journal, type ReceiverFault, type Side } from "./lib/journal.ts";
import { installJumpingClock, jumpTo } from "./lib/jumping-clock.ts";
import type { PeerOptions } from "./lib/peer-options.ts";
import { ServerSide } from "./lib/server-side.ts";
import { type SenderFault, Traffic } from "./lib/traffic.ts";
import { expectedAt, hasKills, hasStore, lanesOf, workloadOf } from "./lib/workload.ts";

const DONE_CHECK_MS = 50;

const [runtime, side, json] = process.argv.slice(2) as [RuntimeName, Side, string];
const options = JSON.parse(json) as PeerOptions;
const { mode, messages, folder, incarnation, fault } = options;

function print(note: object): void {
  process.stdout.write(`${JSON.stringify(note)}\n`);
}

installJumpingClock();
const source = new URL(`../packages/${runtime}/src/index.ts`, import.meta.url).href;
const subject = (await import(source)) as Pick<Subject, "Server" | "Client" | "fileStore">;

const workload = workloadOf(mode, messages);
const store =
  side === "server" && hasStore(mode) ? await subject.fileStore(options.storePath, { fsync: "checkpoint" }) : null;
const journal = new Journal(folder, side, incarnation, hasKills(mode), fault as ReceiverFault, (entries) =>
  print({ progress: entries }),
);
const traffic = new Traffic(journal, workload, fault as SenderFault);
const peer =
  side === "server"
    ? new ServerSide(subject, options, workload, traffic, store)
    : new ClientSide(subject, options, workload, traffic);
const expected = expectedAt(side, lanesOf(mode, workload));

/** In a run with kills, earlier processes may have received any part of the ids. */
function hasReceivedAll(): boolean {
  return hasKills(mode) || journal.entries >= expected;
}

async function watch(): Promise<void> {
  // The report contains the error.
  await peer.sent.catch(() => new Promise(() => undefined));
  const timer = setInterval(() => {
    if (!hasReceivedAll()) return;
    clearInterval(timer);
    print({ progress: journal.entries });
    print({ isDone: true });
  }, DONE_CHECK_MS);
}

serveCommands({
  /** Returns the server's port. */
  async start() {
    const port = await peer.start();
    void watch();
    return port;
  },
  jump: (milliseconds: number) => jumpTo(milliseconds),
  state: () => ({ entries: journal.entries, ...peer.state() }),
  /** Waits until everything has been handled on both sides, and returns a report. */
  async finish() {
    if (peer instanceof ClientSide) await peer.finish();
    return peer.report();
  },
  async close() {
    journal.close();
    await peer.close();
  },
});
