/** Honest clients of the server under attack, on Node.js. */
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "@netconduit/node";
import { serveCommands } from "../bench/lib/serve-commands.ts";
import { type Latencies, latenciesOf } from "./lib/latencies.ts";
import { HOST, PASSWORD } from "./lib/subject.ts";

/** A call or login that takes longer has failed. */
const TIMEOUT_MS = 5000;
const CALLERS = 4;
const BETWEEN_CALLS_MS = 4;
const BETWEEN_LOGINS_MS = 100;

const callers: Client[] = [];
let samples: number[] = [];
let reasons: Record<string, number> = {};
let isRunning = false;

async function timed(work: () => Promise<unknown>): Promise<void> {
  const startedAt = performance.now();
  try {
    await work();
    samples.push(performance.now() - startedAt);
  } catch (error) {
    const reason = (error as { codeName?: string }).codeName ?? String(error);
    reasons[reason] = (reasons[reason] ?? 0) + 1;
  }
}

function newClient(port: number, tls: object | undefined): Client {
  return new Client({
    host: HOST,
    port,
    password: PASSWORD,
    rpcTimeoutMs: TIMEOUT_MS,
    connectTimeoutMs: TIMEOUT_MS,
    reconnect: { enabled: false },
    ...(tls === undefined ? {} : { tls }),
  });
}

async function callAgain(client: Client): Promise<void> {
  for (;;) {
    await sleep(BETWEEN_CALLS_MS);
    if (!isRunning) return;
    await timed(() => client.call("echo", { text: "honest" }));
  }
}

async function logInAgain(port: number, tls: object | undefined): Promise<void> {
  while (isRunning) {
    await timed(async () => {
      const client = newClient(port, tls);
      try {
        await client.connect();
        await client.call("echo", {});
      } finally {
        await client.disconnect();
      }
    });
    await sleep(BETWEEN_LOGINS_MS);
  }
}

/** Connects clients that call, or begins to log in again and again. */
async function start(args: { port: number; does: "calls" | "logins"; tls?: object }): Promise<void> {
  isRunning = true;
  if (args.does === "logins") {
    void logInAgain(args.port, args.tls);
    return;
  }
  for (let n = 0; n < CALLERS; n += 1) {
    const client = newClient(args.port, args.tls);
    client.on("news", () => undefined);
    await client.connect();
    callers.push(client);
    void callAgain(client);
  }
}

/** The latencies since the last time. */
function take(): Latencies {
  const taken = latenciesOf(samples, reasons);
  samples = [];
  reasons = {};
  return taken;
}

serveCommands({ start, take });
