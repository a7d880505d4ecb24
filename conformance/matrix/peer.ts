/**
 * `node peer.ts node`, `bun peer.ts bun`, `deno run peer.ts deno`: runs halves of scenarios with that runtime's
 * package, controlled by lines on standard input (control-lines.ts). Exits when its input ends.
 */
import process from "node:process";
import { inspect } from "node:util";
import { ClientHalf } from "./client-half.ts";
import { type FromPeer, type Json, type Role, readLines, type ToPeer } from "./control-lines.ts";
import type { Half, MatrixSubject } from "./half.ts";
import { ownFacts } from "./own-facts.ts";
import { scenarioOf } from "./scenarios.ts";
import { ServerHalf } from "./server-half.ts";
import { subjectOf } from "./subject-of.ts";

function say(line: FromPeer): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const subject: MatrixSubject = await subjectOf(process.argv[2] ?? "");
const halves = new Map<number, Half>();

function start(run: number, title: string, role: Role): void {
  const scenario = scenarioOf(title);
  const tell = (fact: string, value: Json): void => say({ kind: "tell", run, fact, value });
  let returned: Promise<void>;
  if (role === "server") {
    const half = new ServerHalf(subject, tell);
    halves.set(run, half);
    returned = scenario.server(half);
  } else {
    const half = new ClientHalf(subject, tell);
    halves.set(run, half);
    returned = scenario.client(half);
  }
  returned.then(
    () => say({ kind: "returned", run, error: null }),
    (error: unknown) => say({ kind: "returned", run, error: inspect(error) }),
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
  if (line.kind === "start") start(line.run, line.title, line.role);
  else if (line.kind === "told") halves.get(line.run)?.told(line.fact, line.value);
  else end(line.run);
});
process.stdin.on("end", () => process.exit());
say({ kind: "ready", facts: ownFacts() });
