/** Honest clients of the server under attack, on Node.js. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "@netconduit/node";
import { serveCommands } from "../bench/lib/serve-commands.ts";
import { type Latencies, latenciesOf } from "./lib/latencies.ts";
import { addressOf, CLIENT_TLS, HOST, PASSWORD, type Place } from "./lib/subject.ts";

/** Timeout of calls and logins. */
const TIMEOUT_MS = 5000;
const CALLERS = 4;
const BETWEEN_CALLS_MS = 4;
const BETWEEN_LOGINS_MS = 100;

let samples: number[] = [];
let reasons: Record<string, number> = {};

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

/** The work of honest clients, and the server they use. */
export interface HonestWork {
  readonly place: Place;
  readonly does: "calls" | "logins";
  /** Name of the user that they log in as; null for the shared password. */
  readonly user: string | null;
  readonly tls: boolean;
  readonly roundTripMs: number;
}

function newClient({ place, user, tls }: HonestWork): Client {
  return new Client({
    ...addressOf(place),
    password: PASSWORD,
    rpcTimeoutMs: TIMEOUT_MS,
    connectTimeoutMs: TIMEOUT_MS,
    reconnect: { enabled: false },
    ...(user === null ? {} : { username: user }),
    ...(tls ? { tls: CLIENT_TLS } : {}),
  });
}

/** Starts a forwarder to a server that delays each byte by half a round trip. */
async function delayed(place: Place, roundTripMs: number): Promise<Place> {
  const forward = (from: Socket, to: Socket): void => {
    const later = (work: () => void): void => void setTimeout(work, roundTripMs / 2);
    from.on("data", (bytes) => later(() => to.write(bytes)));
    from.on("error", () => later(() => to.destroy()));
    from.on("close", () => later(() => to.end()));
  };
  const forwarder = createServer({ noDelay: true }, (near) => {
    const far = connect({ ...addressOf(place), noDelay: true });
    forward(near, far);
    forward(far, near);
  });
  forwarder.listen(0, HOST);
  await once(forwarder, "listening");
  return { port: (forwarder.address() as AddressInfo).port };
}

async function callAgain(client: Client): Promise<void> {
  for (;;) {
    await sleep(BETWEEN_CALLS_MS);
    await timed(() => client.call("echo", { text: "honest" }));
  }
}

async function logInAgain(work: HonestWork): Promise<void> {
  for (;;) {
    await timed(async () => {
      const client = newClient(work);
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

/** Starts clients that make calls, or that log in repeatedly. */
async function start(given: HonestWork): Promise<void> {
  const { does, roundTripMs } = given;
  const work = roundTripMs === 0 ? given : { ...given, place: await delayed(given.place, roundTripMs) };
  for (let n = 0; does === "logins" && n < (roundTripMs === 0 ? 1 : CALLERS); n += 1) void logInAgain(work);
  for (let n = 0; does === "calls" && n < CALLERS; n += 1) {
    const client = newClient(work);
    client.on("news", () => undefined);
    await client.connect();
    void callAgain(client);
  }
}

/** Returns the latencies since the last call of this function. */
function take(): Latencies {
  const taken = latenciesOf(samples, reasons);
  samples = [];
  reasons = {};
  return taken;
}

serveCommands({ start, take });
