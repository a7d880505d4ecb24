/**
 * `node peer.ts node`, `bun peer.ts bun`, `deno run peer.ts deno`: plays halves of scenarios with the package of that
 * runtime, as the lines on its standard input say (control-lines.ts). Ends when its input does.
 */
import process from "node:process";
import { inspect } from "node:util";
import { ClientHalf } from "./client-half.ts";
import { type FromPeer, readLines, type ToPeer } from "./control-lines.ts";
import type { Half, MatrixSubject } from "./half.ts";
import { ownFacts } from "./own-facts.ts";
import type { Scenario } from "./scenario.ts";
import { scenarioOf } from "./scenarios.ts";
import { ServerHalf } from "./server-half.ts";
import { subjectOf } from "./subject-of.ts";

function say(line: FromPeer): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const subject: MatrixSubject = await subjectOf(process.argv[2] ?? "");
const halves = new Map<number, Half>();

/** Plays one half to its end. */
function begin(run: number, scenario: Scenario, role: "server" | "client"): { half: Half; done: Promise<void> } {
  const line = { tell: (fact: string, value: unknown) => say({ kind: "tell", run, fact, value } as FromPeer) };
  if (role === "server") {
    const half = new ServerHalf(subject, line);
    return { half, done: scenario.server(half) };
  }
  const half = new ClientHalf(subject, line);
  return { half, done: scenario.client(half) };
}

function play(run: number, title: string, role: "server" | "client"): void {
  const { half, done } = begin(run, scenarioOf(title), role);
  halves.set(run, half);
  done.then(
    () => say({ kind: "played", run, error: null }),
    (error: unknown) => say({ kind: "played", run, error: inspect(error) }),
  );
}

function end(run: number): void {
  const half = halves.get(run);
  if (half === undefined) return;
  halves.delete(run);
  const { waitingFor } = half;
  half.end().then(
    () => say({ kind: "ended", run, error: null, waitingFor }),
    (error: unknown) => say({ kind: "ended", run, error: inspect(error), waitingFor }),
  );
}

readLines<ToPeer>(process.stdin, (line) => {
  if (line.kind === "play") play(line.run, line.title, line.role);
  else if (line.kind === "told") halves.get(line.run)?.take(line.fact, line.value);
  else end(line.run);
});
process.stdin.on("end", () => process.exit());
say({ kind: "ready", facts: ownFacts() });
