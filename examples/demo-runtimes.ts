/**
 * The demo on three runtimes: Node.js, Bun and Deno each run the complete example's server and a client process, and
 * every client connects to every server. This program controls the clients over netconduit, shows the messages and
 * calls, and checks every result; exit code 0 means that all checks passed.
 *
 *     pnpm demo
 */

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Connection, ErrorCode, errorCodeName, Server } from "@netconduit/node";
import type * as v from "valibot";
import { check, timed, waitFor } from "./lib/demo-checks.ts";
import { Mailbox } from "./lib/demo-mailbox.ts";
import { Answered, AnsweredOften, type Ask, LoggedIn, Received, Started } from "./lib/demo-orders.ts";
import { arrow, entry, fact, opening, printError, step, table } from "./lib/demo-output.ts";
import { perform, type Stage } from "./lib/demo-run.ts";
import { examplesFor } from "./lib/port.ts";
import { Program } from "./lib/program.ts";
import { findRuntime, RUNTIMES, type RuntimeName, TITLES } from "./lib/runtimes.ts";

const PASSWORD = "secret123";
const CALLS = 500;
const SUMS = [
  { a: 6, operation: "multiply", b: 7, result: 42 },
  { a: 1, operation: "divide", b: 8, result: 0.125 },
  { a: 2 ** 40, operation: "subtract", b: 1, result: 1_099_511_627_775 },
] as const;

type Data = Received["data"];

/** The complete example's server on one runtime. */
interface Host {
  readonly runtime: RuntimeName;
  readonly program: Program;
  readonly port: number;
}

/** The client process of one runtime, with one client per server. */
class Guest {
  readonly title: string;
  readonly runtime: RuntimeName;
  readonly #connection: Connection;
  readonly #mailbox: Mailbox<Data>;

  constructor(connection: Connection, runtime: RuntimeName, mailbox: Mailbox<Data>) {
    this.title = TITLES[runtime];
    this.runtime = runtime;
    this.#connection = connection;
    this.#mailbox = mailbox;
  }

  logIn({ runtime: server, port }: Host): Promise<v.InferOutput<typeof LoggedIn>> {
    const options = { server, host: "127.0.0.1", port, password: PASSWORD, name: this.title };
    return this.#connection.call("log_in", options, { result: LoggedIn });
  }

  ask(question: v.InferInput<typeof Ask>): Promise<v.InferOutput<typeof Answered>> {
    return this.#connection.call("ask", question, { result: Answered });
  }

  askOften(server: RuntimeName, calls: number): Promise<v.InferOutput<typeof AnsweredOften>> {
    return this.#connection.call("ask_often", { server, calls }, { result: AnsweredOften });
  }

  /** Resolves with the next message of a type from the server on `server`. */
  receives(server: RuntimeName, type: string): Promise<Data> {
    const from = `the message ${type} from the server on ${TITLES[server]} to the client on ${this.title}`;
    return waitFor(from, this.#mailbox.next(`${this.runtime} ${server} ${type}`));
  }
}

/** Starts a server and a client process on each runtime. */
async function start(runtimes: readonly RuntimeName[], { programs, cleanUps }: Stage, mailbox: Mailbox<Data>) {
  const started = new Mailbox<{ connection: Connection; about: v.InferOutput<typeof Started> }>();
  const password = randomUUID();
  const demo = new Server({ name: "Demo", host: "127.0.0.1", port: 0, password });
  demo.rpc("started", Started, (about, { client }) => started.put(about.runtime, { connection: client, about }));
  demo.on("received", Received, ({ info }, { server, type, data }) =>
    mailbox.put(`${info.name} ${server} ${type}`, data),
  );
  cleanUps.push(() => demo.stop());
  await demo.start();

  const hosts: Host[] = [];
  const guests: Guest[] = [];
  const env = { HOST: "127.0.0.1", PORT: "0", PASSWORD, NETCONDUIT: "0" };
  const direction = { DEMO_PORT: String(demo.address.port), DEMO_PASSWORD: password };
  for (const runtime of runtimes) {
    programs.set(`The server on ${TITLES[runtime]}`, new Program("complete/server.ts", { runtime, env }));
    programs.set(`The clients on ${TITLES[runtime]}`, new Program("lib/demo-guest.ts", { runtime, env: direction }));
  }
  for (const runtime of runtimes) {
    const title = TITLES[runtime];
    const program = programs.get(`The server on ${title}`) as Program;
    const [, port = ""] = await waitFor(`the server on ${title}`, program.line(/^Listening on 127\.0\.0\.1:(\d+)$/));
    const { connection, about } = await waitFor(`the clients on ${title}`, started.next(runtime));
    hosts.push({ runtime, program, port: Number(port) });
    guests.push(new Guest(connection, runtime, mailbox));
    entry(
      `${title} ${about.version}`,
      `server on port ${port} (process ${program.pid}), clients in process ${about.pid}`,
    );
    const source = readFileSync(join(examplesFor(runtime), "complete/server.ts"), "utf8");
    entry("", /^import .* from "@netconduit\/.*$/m.exec(source)?.[0] ?? "");
  }
  return { hosts, guests };
}

/** Shows one server with a client from every runtime. */
async function converse({ runtime: server, port, program }: Host, guests: readonly Guest[], turn: number) {
  const ids = new Map<Guest, unknown>();
  for (const [index, guest] of guests.entries()) {
    const { greeting, ms } = await guest.logIn({ runtime: server, port, program });
    arrow(guest.title, "server", "log in", "SCRAM-SHA-256: the password itself is never sent", ms);
    check("The server's name and version", greeting, "ExampleServer 1.0.0");
    for (const other of guests.slice(0, index)) {
      const { id } = await other.receives(server, "user_join");
      arrow("server", other.title, "user_join", { id });
      check("The id of the new client", id, ids.get(guest) ?? id);
      ids.set(guest, id);
    }
  }

  const speaker = guests[turn % guests.length] as Guest;
  const message = `Hello from ${speaker.title}, 世界! 👋`;
  const sent = await speaker.ask({ server, what: "request", name: "chat", data: { message } });
  arrow(speaker.title, "server", "chat", { message });
  arrow("server", speaker.title, "reply", sent.answer, sent.ms);
  check("The reply to chat", sent.answer, { sent: true });
  for (const other of guests.filter((guest) => guest !== speaker)) {
    const { from, message: received } = await other.receives(server, "chat");
    arrow("server", other.title, "chat", { from, message: received });
    check("The message received", received, message);
    check("The sender of the message", from, ids.get(speaker) ?? from);
    ids.set(speaker, from);
  }

  for (const [index, guest] of guests.entries()) {
    const { a, operation, b, result } = SUMS[index % SUMS.length] as (typeof SUMS)[number];
    const { answer, ms } = await guest.ask({ server, what: "call", name: "calculate", data: { a, operation, b } });
    arrow(guest.title, "server", "calculate", { a, operation, b });
    arrow("server", guest.title, "result", answer, ms);
    check(`The result of ${a} ${operation} ${b}`, answer, { result });
  }
  const caller = guests[(turn + 1) % guests.length] as Guest;
  const data = { a: 1, operation: "modulo", b: 2 };
  const refused = await caller.ask({ server, what: "call", name: "calculate", data });
  arrow(caller.title, "server", "calculate", data);
  arrow("server", caller.title, `error ${refused.code}`, refused.answer, refused.ms);
  check("The code", refused.code, ErrorCode.VALIDATION);
}

/** Makes many parallel calls for each pair of runtimes. */
async function load(hosts: readonly Host[], guests: readonly Guest[]): Promise<void> {
  const rows: [string, number[]][] = [];
  for (const guest of guests) {
    const times: number[] = [];
    for (const { runtime } of hosts) {
      const { right, ms } = await guest.askOften(runtime, CALLS);
      check(`The correct results among ${CALLS}, ${guest.title} to ${TITLES[runtime]}`, right, CALLS);
      times.push(ms);
    }
    rows.push([guest.title, times]);
  }
  table(
    hosts.map(({ runtime }) => `to ${TITLES[runtime]}`),
    rows.map(([title, times]) => [`from ${title}`, times]),
  );
}

async function stop({ runtime, program }: Host, guests: readonly Guest[]): Promise<void> {
  const title = TITLES[runtime];
  const { value, ms } = await timed(() => waitFor(`the exit of the server on ${title}`, program.stop("SIGTERM")));
  arrow("demo", title, "SIGTERM", "finish running handlers, tell the clients, exit");
  for (const guest of guests) {
    const { code, message, byPeer } = await guest.receives(runtime, "closed");
    arrow(title, guest.title, "close", message);
    check("The reason told to clients", [errorCodeName(Number(code)), byPeer], ["SERVER_STOPPING", true]);
  }
  fact(`the server on ${title} exited with code ${value.code}`, ms);
  check("The server's exit", value, { code: 0, signal: null });
}

async function play(runtimes: readonly RuntimeName[], stage: Stage): Promise<void> {
  const mailbox = new Mailbox<Data>();
  opening("netconduit: the same program on Node.js, Bun and Deno");
  step("Start a server and clients on each runtime; only the import line differs");
  const { hosts, guests } = await start(runtimes, stage, mailbox);
  for (const [turn, host] of hosts.entries()) {
    step(`A server on ${TITLES[host.runtime]}`);
    await converse(host, guests, turn + 1);
  }
  step(`${CALLS} parallel calls between every pair, each result matched to its call`);
  await load(hosts, guests);
  step("The servers stop gracefully");
  for (const host of hosts) await stop(host, guests);
  check("The number of unexpected messages", mailbox.left, 0);
}

const present = RUNTIMES.filter((runtime) => findRuntime(runtime) !== null);
const missing = RUNTIMES.filter((runtime) => !present.includes(runtime)).map((runtime) => TITLES[runtime]);
process.exitCode = await perform((stage) => play(present, stage));
if (missing.length > 0) {
  printError(`Skipped because they are not on the PATH (run \`pnpm demo\`): ${missing.join(", ")}`);
  process.exitCode = 1;
}
